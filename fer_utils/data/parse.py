"""From the bytes of a data set in a known layout to pixels, labels and usages."""
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from ..errors import DataError
from ..labels import N_CLASSES, UNLABELLED, emotion_index
from .faceset import SIZE, UNLABELLED_USAGE, USAGES
from .layouts import EACH_ROW, IMAGE_PATH, Found, table_usage
from .places import IMAGE_FOLDERS, Place, csv_columns, open_csv, reading_errors

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pixels, labels and usages, as in `FaceSet`."""


def read_found(found: Found) -> dict[str, np.ndarray]:
    """Return the arrays of a `FaceSet`; a `DataError` names the file, the row and what is wrong."""
    pixels, emotion, usage = READERS[found.layout](found)
    return {"pixels": pixels, "emotion": emotion, "usage": usage}


def _read_tables(found: Found) -> Arrays:
    pixels, emotion, usage = (np.concatenate(arrays) for arrays in zip(*(
        part for name in found.names for part in _read_table(found.place, name))))
    return pixels, emotion, usage


def _read_table(place: Place, name: str) -> list[Arrays]:
    label = place.label(name)
    columns = csv_columns(place, name)
    table = table_usage(name, columns)
    wanted = {column: column.strip().lower() for column in columns
              if column.strip().lower() in ("emotion", "pixels", "usage")}

    # In chunks: 300 MB of text are never in memory at once. Threads were measured here and gain nothing.
    with reading_errors(label), open_csv(place, name) as file:
        chunks = pd.read_csv(file, dtype=str, usecols=list(wanted), keep_default_na=False, skip_blank_lines=False,
                             encoding_errors="replace", chunksize=1024)
        parts = [_parse_rows(label, chunk.rename(columns=wanted), table) for chunk in chunks]
    if not sum(len(emotion) for _, emotion, _ in parts):
        raise DataError(f"{label}: has a header and no rows; download or copy it again")
    return parts


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
    return np.concatenate(blocks), emotion, usage


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


def _read_images(found: Found) -> Arrays:
    """Return the faces by usage, then by the last number in the file name."""
    usages = (*USAGES, UNLABELLED_USAGE)

    def facts(name: str) -> tuple[int, int, str, int | None]:
        match = IMAGE_PATH.fullmatch(name)
        assert match, "recognised by this pattern"
        usage = next((usage for usage in USAGES if match["stem"].lower().startswith(usage.lower())),
                     IMAGE_FOLDERS[match["split"].lower()])
        numbers = re.findall(r"\d+", match["stem"])
        return usages.index(usage), int(numbers[-1]) if numbers else -1, name, emotion_index(match["emotion"])

    order, _, names, emotion = zip(*sorted(map(facts, found.names)))

    def decode(start: int) -> list[np.ndarray]:
        return [_read_image(found.place, name) for name in names[start:start + 256]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(decode, range(0, len(names), 256))))
    return pixels, np.array(emotion, np.int8), np.array(usages)[list(order)]


def _read_image(place: Place, name: str) -> np.ndarray:
    with reading_errors(place.label(name)), place.open(name) as file:
        data = file.read()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{place.label(name)}: {len(data)} bytes that are no whole image (cut off or corrupt); "
                        "download or copy it again, or remove it")
    return image if image.shape == (SIZE, SIZE) else cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _read_arrays(found: Found) -> Arrays:
    name, = found.names
    with reading_errors(found.place.label(name)), found.place.open(name) as file, np.load(file) as arrays:
        return arrays["pixels"], arrays["emotion"], arrays["usage"]


READERS: dict[str, Callable[[Found], Arrays]] = {
    "fer2013.csv": _read_tables, "icml": _read_tables, "challenge": _read_tables,
    "folders": _read_images, "validation": _read_images, "arrays": _read_arrays,
}
"""How each layout is read."""
