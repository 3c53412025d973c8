"""From the bytes of a data set in a known layout to pixels, labels and usages."""
import io
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ..errors import DataError
from ..labels import N_CLASSES, UNLABELLED
from .faceset import SIZE, UNLABELLED_USAGE, USAGES, FaceSet
from .joining import Arrays, join
from .layouts import EACH_ROW, Found, image_of, table_usage
from .places import MAX_FACES, Place, csv_columns, open_csv, reading_errors

_GROUP_COLUMNS = ("person", "group")
_CHUNK = 1024  # rows that are read at once
_CHUNK_BYTES = 1 << 26  # of text, at most; a row has 9 kB
_IMAGE_BYTES, _IMAGE_PIXELS = 1 << 26, 50_000_000
_IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")


def read_found(found: Found) -> dict[str, np.ndarray]:
    """Return the arrays of a `FaceSet`, and in `left_out` why files were left out, a line for each.

    A `DataError` names the file, the row and what is wrong, or which files may not belong together.
    """
    (pixels, emotion, usage, group), left_out = READERS[found.layout](found)
    if len(pixels) > MAX_FACES:
        raise DataError(f"{found.source}: {len(pixels):,} faces are more than the {MAX_FACES:,} that are read at most; "
                        "use a part of them")
    if not len(pixels):
        raise DataError(f"{found.source}: holds no faces; download or copy it again")
    if found.doubts and not set(USAGES) <= set(usage):
        raise DataError(f"{found.doubts[0]}. The other files hold {', '.join(sorted(set(usage)))} only, so this one "
                        "may be another part")
    arrays = {"pixels": pixels, "emotion": emotion, "usage": usage, "left_out": np.array(left_out, dtype=np.str_)}
    unknown = np.flatnonzero(group == "")
    if len(unknown) == len(group):
        return arrays
    if len(unknown):
        raise DataError(f"{found.source}: face {unknown[0] + 1} has nothing in the column "
                        f"{' or '.join(_GROUP_COLUMNS)} ({len(unknown):,} such faces), but others have; write "
                        "there who it is, or empty the column")
    return arrays | {"group": group}


def _read_tables(found: Found) -> tuple[Arrays, list[str]]:
    return join(found, [_read_table(found.place, name) for name in found.names])


class _Limited(io.RawIOBase):
    """A file of which not more than so many bytes are read before `left` is set anew."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self.file, self.label, self.left = file, label, _CHUNK_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.file.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise DataError(f"{self.label}: has a row of many million bytes, where a face has 9,000; remove this row, "
                            "or download the file again")
        buffer[:len(data)] = data
        return len(data)


def _read_table(place: Place, name: str) -> Arrays:
    label = place.label(name)
    columns = csv_columns(place, name)
    table = table_usage(name, columns)
    wanted = {column: column.strip().lower() for column in columns
              if column.strip().lower() in ("emotion", "pixels", "usage")}
    who = [column for known in _GROUP_COLUMNS for column in columns if column.strip().lower() == known][:1]
    wanted |= dict.fromkeys(who, "group")

    # In chunks: 300 MB of text are never in memory at once. Threads were measured here and gain nothing.
    parts = []
    with reading_errors(label), open_csv(place, name) as file:
        limited = _Limited(file, label)
        for chunk in pd.read_csv(limited, dtype=str, usecols=list(wanted), keep_default_na=False,
                                 skip_blank_lines=False, encoding_errors="replace", chunksize=_CHUNK):
            if chunk.index.max() > MAX_FACES:
                raise DataError(f"{label}: has more than the {MAX_FACES:,} rows that are read at most; use a part")
            parts.append(_parse_rows(label, chunk.rename(columns=wanted), table))
            limited.left = _CHUNK_BYTES
    if not sum(len(part[1]) for part in parts):
        raise DataError(f"{label}: has a header and no rows; download or copy it again")
    pixels, emotion, usage, group = (np.concatenate(arrays) for arrays in zip(*parts))
    return pixels, emotion, usage, group


def _parse_rows(label: str, chunk: pd.DataFrame, table: str | None) -> Arrays:
    """Turn rows of text into arrays; `table` is the table's usage, the index counts rows from 0 under the header."""
    chunk = chunk[(chunk != "").any(axis=1)]  # blank lines are often at the end
    problems: list[tuple[int, str]] = []  # row and what is wrong there, the first of each kind

    def check(wrong: np.ndarray, describe: Callable[[int], str]) -> None:
        if wrong.any():
            first = int(np.argmax(wrong))
            problems.append((chunk.index[first], describe(first)))

    n = len(chunk)
    if table == UNLABELLED_USAGE:
        emotion = np.full(n, UNLABELLED, np.int8)
    else:
        number = pd.to_numeric(chunk["emotion"].str.strip(), errors="coerce")
        check(~number.isin(range(N_CLASSES)).to_numpy(),
              lambda i: f"emotion {chunk['emotion'].iloc[i][:20]!r} is not one of 0–{N_CLASSES - 1}")
        emotion = number.fillna(UNLABELLED).to_numpy().clip(UNLABELLED, N_CLASSES).astype(np.int8)
    if table == EACH_ROW:
        usage = chunk["usage"].str.strip().to_numpy().astype("<U11")
        check(~chunk["usage"].str.strip().isin(USAGES).to_numpy(),
              lambda i: f"unknown usage {chunk['usage'].iloc[i][:20]!r}, not one of {', '.join(USAGES)}")
    else:
        usage = np.full(n, table, "<U11")
    texts = chunk["pixels"].tolist()
    blocks = [np.empty((0, SIZE, SIZE), np.uint8)]
    for start in range(0, n, 128):  # blocks that fit the processor's cache
        block = texts[start:start + 128]
        pixels = _parse_pixels(block)
        if pixels is None:
            wrong = [(chunk.index[row], problem) for row, text in enumerate(block, start)
                     if (problem := _pixel_problem(text))]
            if wrong:
                problems.append(wrong[0])
                break
            pixels = np.array([text.split() for text in block]).astype(np.uint8).reshape(-1, SIZE, SIZE)
        blocks.append(pixels)
    if problems:
        row, problem = min(problems)
        raise DataError(f"{label}, row {row + 2}: {problem}; if the file was cut off, download or copy it again, "
                        "else correct or remove this row")
    group = chunk["group"].str.strip().to_numpy(np.str_) if "group" in chunk else np.full(n, "", "<U1")
    return np.concatenate(blocks), emotion, usage, group


def _parse_pixels(texts: list[str]) -> np.ndarray | None:
    """Return the pixels, uint8 (n, 48, 48), of blank-separated decimals; None unless all is as it should be.

    It reads all bytes at once, several times as fast as splitting and converting each row.
    """
    data = np.frombuffer(f"   {' '.join(texts)} ".encode(), np.uint8)
    digit = data - np.uint8(ord("0"))
    is_digit = digit < 10
    if not (is_digit | (data == ord(" "))).all():
        return None
    if (is_digit[3:] & is_digit[2:-1] & is_digit[1:-2] & is_digit[:-3]).any():
        return None  # a number of four digits
    digit *= is_digit
    tens = digit.copy()  # at each digit: the number that it makes with the digit before it
    tens[1:] += digit[:-1] * np.uint8(10)
    tens *= is_digit
    ends = np.flatnonzero(is_digit[:-1] & ~is_digit[1:])
    lengths = 3 + np.cumsum([len(text) + 1 for text in texts])
    each = SIZE * SIZE * np.arange(1, len(texts) + 1)
    if not np.array_equal(np.searchsorted(ends, lengths), each):
        return None
    values = digit[ends] + tens[ends - 1] * np.uint16(10)
    return None if values.max() > 255 else values.astype(np.uint8).reshape(-1, SIZE, SIZE)


def _pixel_problem(text: str) -> str:
    """Return what is wrong with a row's pixels, "" where nothing is."""
    values = text.split()
    for number, value in enumerate(values, 1):
        if not re.fullmatch(r"-?[0-9]+", value):
            return f"pixel {number} is {value[:20]!r}, not a whole number"
        if value.startswith("-") or len(value.lstrip("0")) > 3 or int(value) > 255:
            return f"pixel {number} is {value[:20]}, outside 0–255"
    return "" if len(values) == SIZE * SIZE else f"{len(values)} pixel values instead of {SIZE * SIZE}"


def _read_images(found: Found) -> tuple[Arrays, list[str]]:
    """Return the faces by usage, then by the last number in the file name."""
    usages = (*USAGES, UNLABELLED_USAGE)

    def facts(name: str) -> tuple[int, int, str, int | None]:
        image = image_of(name)
        assert image, "recognised by this function"
        numbers = re.findall(r"\d+", name.rpartition("/")[2].rpartition(".")[0])
        return usages.index(image.usage), int(numbers[-1][-18:]) if numbers else -1, name, image.emotion

    order, _, names, emotion = zip(*sorted(map(facts, found.names)))

    # For good: a filter that is set for a while in one of several threads may stay, and then for all warnings.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

    def decode(start: int) -> list[np.ndarray]:
        return [_read_image(found.place, name) for name in names[start:start + 256]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(decode, range(0, len(names), 256))))
    nobody = np.full(len(names), "", "<U1")
    return (pixels, np.array(emotion, np.int8), np.array(usages)[list(order)], nobody), []


def _read_image(place: Place, name: str) -> np.ndarray:
    label = place.label(name)
    with reading_errors(label), place.open(name) as file:
        data = file.read(_IMAGE_BYTES + 1)
    if len(data) > _IMAGE_BYTES:
        raise DataError(f"{label}: is larger than {_IMAGE_BYTES:,} bytes; cut out the face, or remove the image")
    _check_image(data, label)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    if image is None:
        raise _damaged(data, label)
    return image if image.shape == (SIZE, SIZE) else cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _damaged(data: bytes, label: str) -> DataError:
    return DataError(f"{label}: {len(data)} bytes that are no whole image (cut off or corrupt); "
                     "download or copy it again, or remove it")


def _check_image(data: bytes, label: str) -> None:
    """Raise a `DataError` for an image whose header claims too many pixels, or pixels that OpenCV makes black."""
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            (width, height), mode = image.size, image.mode
    except Image.DecompressionBombError:
        width, height, mode = _IMAGE_PIXELS, 2, ""
    except Exception:  # damaged files make Pillow's readers raise errors of any kind
        raise _damaged(data, label) from None
    if width * height > _IMAGE_PIXELS:
        raise DataError(f"{label}: has more than {_IMAGE_PIXELS // 10**6} million pixels; cut out the face, or "
                        "remove the image")
    if mode in ("F", "I"):
        raise DataError(f"{label}: its pixels are numbers of 32 bits; save it with 8 bits (0 to 255), or remove it")


def _read_arrays(found: Found) -> tuple[Arrays, list[str]]:
    return join(found, [_read_array_file(found.place, name) for name in found.names])


def _read_array_file(place: Place, name: str) -> Arrays:
    label = place.label(name)
    with reading_errors(label), place.open(name) as file:
        with zipfile.ZipFile(file) as members:
            for array in ("pixels", "emotion", "usage"):
                _check_array(members, array, label)
        file.seek(0)
        with np.load(file) as arrays:
            pixels, emotion, usage = arrays["pixels"], arrays["emotion"], arrays["usage"]
    faces = FaceSet(pixels, emotion, usage, label, "arrays")
    return faces.pixels, faces.emotion, faces.usage, np.full(len(faces), "", "<U1")


def _check_array(members: zipfile.ZipFile, name: str, label: str) -> None:
    """Raise a `DataError` for an array whose header claims more than the file holds, or more than is read."""
    with members.open(f"{name}.npy") as member:
        start = io.BytesIO(member.read(20_000))
    read = np.lib.format.read_array_header_1_0 if np.lib.format.read_magic(start) == (1, 0) else \
        np.lib.format.read_array_header_2_0
    shape, _, dtype = read(start)
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and not 0 <= size <= min(members.getinfo(f"{name}.npy").file_size, MAX_FACES * SIZE * SIZE):
        raise DataError(f"{label}: its array {name} claims the shape {str(shape)[:60]}, which is more than the file "
                        f"holds or than is read ({MAX_FACES:,} faces); save it again with numpy.savez")


READERS: dict[str, Callable[[Found], tuple[Arrays, list[str]]]] = {
    "fer2013.csv": _read_tables, "icml": _read_tables, "challenge": _read_tables,
    "folders": _read_images, "validation": _read_images, "arrays": _read_arrays,
}
"""How each layout is read."""
