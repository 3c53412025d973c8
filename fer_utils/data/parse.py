"""From the bytes of a data set to pixels, labels and usages; what was read is kept in a cache."""
import hashlib
import json
import os
import re
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from .. import paths
from ..errors import DataError
from ..labels import N_CLASSES, UNLABELLED, emotion_index
from .faceset import SIZE, UNLABELLED_USAGE, USAGES, FaceSet
from .layouts import FOLDER_USAGES, IMAGE_PATH, open_table, reading_errors, table_columns, table_role

CACHE_VERSION = 1


# ---- reading ----


def read_faces(found, cache):
    key = _cache_key(found) if cache and found.layout != "arrays" else None
    file = paths.CACHE / f"{hashlib.sha256(str(found.source.resolve()).encode()).hexdigest()[:16]}.npz"
    if key and (faces := read_cache(file, key, str(found.source), found.layout)):
        return faces
    read = {"arrays": _read_arrays, "folders": _read_images, "validation": _read_images}.get(found.layout, _read_tables)
    faces = FaceSet(*read(found), str(found.source), found.layout)
    if key:
        write_cache(file, key, faces)
    return faces


def _read_tables(found):
    parts = [_read_table(found.place, name) for name in found.names]
    return [np.concatenate(arrays) for arrays in zip(*parts)]


def _read_table(place, name):
    label = place.label(name)
    columns = table_columns(place, name)
    role = table_role(name, columns)
    wanted = {column: column.strip().lower() for column in columns
              if column.strip().lower() in ("emotion", "pixels", "usage")}

    def parse(chunk):
        chunk = chunk.rename(columns=wanted)
        chunk = chunk[(chunk != "").any(axis=1)]  # blank lines, often one at the end
        return _parse_rows(label, chunk, role)

    # In chunks: 300 MB of text never stand in memory at once. Threads were measured here and gain nothing.
    with reading_errors(label), open_table(place, name) as file:
        chunks = pd.read_csv(file, dtype=str, usecols=list(wanted), keep_default_na=False, skip_blank_lines=False,
                             encoding_errors="replace", chunksize=1024)
        parts = [parse(chunk) for chunk in chunks]
    if not sum(len(emotion) for _, emotion, _ in parts):
        raise DataError(f"{label}: has a header and no rows; download or copy it again")
    return [np.concatenate(arrays) for arrays in zip(*parts)]


def _parse_rows(label, chunk, role):
    """Turn rows of text into pixels, labels and usages; the index counts rows from 0 under the header."""
    problems = []  # (row, what), the first of each kind

    def check(wrong, describe):
        if wrong.any():
            first = int(np.argmax(wrong))
            problems.append((chunk.index[first], describe(first)))

    n = len(chunk)
    if role == UNLABELLED_USAGE:
        emotion = np.full(n, UNLABELLED, np.int8)
    else:
        number = pd.to_numeric(chunk["emotion"].str.strip(), errors="coerce")
        check(~number.isin(range(N_CLASSES)).to_numpy(),
              lambda i: f"emotion {chunk['emotion'].iloc[i][:20]!r} is not one of 0–{N_CLASSES - 1}")
        emotion = number.fillna(UNLABELLED).to_numpy().clip(UNLABELLED, N_CLASSES).astype(np.int8)
    if role == "all":
        usage = chunk["usage"].str.strip().to_numpy().astype("<U11")
        check(~chunk["usage"].str.strip().isin(USAGES).to_numpy(),
              lambda i: f"unknown usage {chunk['usage'].iloc[i][:20]!r}, not one of {', '.join(USAGES)}")
    else:
        usage = np.full(n, role, "<U11")
    texts = chunk["pixels"].tolist()
    blocks = []
    for start in range(0, n, 128):  # blocks that fit the processor's cache
        block = texts[start:start + 128]
        pixels = _parse_pixels(block)
        if pixels is None:
            pixels, bad, problem = _parse_slowly(block)
            if problem:
                problems.append((chunk.index[start + bad], problem))
                break
        blocks.append(pixels)
    if problems:
        row, problem = min(problems)
        raise DataError(f"{label}, row {row + 2}: {problem}; if the file was cut off, download or copy it again, "
                        "else correct or remove this row")
    return np.concatenate(blocks) if blocks else np.empty((0, SIZE, SIZE), np.uint8), emotion, usage


def _parse_pixels(texts):
    """Return the pixels, uint8 (n, 48, 48), of blank-separated decimals; None unless all is exactly as it should be.

    Works on all the bytes at once, several times as fast as splitting and converting each row.
    """
    data = np.frombuffer(f"   {' '.join(texts)} ".encode(), np.uint8)
    digit = data - np.uint8(ord("0"))
    is_digit = digit < 10
    if not (is_digit | (data == ord(" "))).all():
        return None
    if (is_digit[3:] & is_digit[2:-1] & is_digit[1:-2] & is_digit[:-3]).any():
        return None  # a number of four digits
    digit *= is_digit
    tens = digit.copy()  # at each digit: what it and the digit before it say
    tens[1:] += digit[:-1] * np.uint8(10)
    tens *= is_digit
    ends = np.flatnonzero(is_digit[:-1] & ~is_digit[1:])
    lengths = 3 + np.cumsum([len(text) + 1 for text in texts])
    each = SIZE * SIZE * np.arange(1, len(texts) + 1)
    if not np.array_equal(np.searchsorted(ends, lengths), each):
        return None
    values = digit[ends] + tens[ends - 1] * np.uint16(10)
    return None if values.max() > 255 else values.astype(np.uint8).reshape(-1, SIZE, SIZE)


def _parse_slowly(texts):
    """Return the pixels as `_parse_pixels` does, or else the first row in which something is wrong, and what."""
    rows = [text.split() for text in texts]
    for i, values in enumerate(rows):
        for j, value in enumerate(values):
            if not re.fullmatch(r"-?[0-9]+", value):
                return None, i, f"pixel {j + 1} is {value[:20]!r}, not a whole number"
            if value.startswith("-") or len(value.lstrip("0")) > 3 or int(value) > 255:
                return None, i, f"pixel {j + 1} is {value[:20]}, outside 0–255"
        if len(values) != SIZE * SIZE:
            return None, i, f"{len(values)} pixel values instead of {SIZE * SIZE}"
    return np.array(rows).astype(np.uint8).reshape(-1, SIZE, SIZE), None, None


def _read_images(found):
    usages = (*USAGES, UNLABELLED_USAGE)

    def facts(name):
        match = IMAGE_PATH.fullmatch(name)
        usage = next((usage for usage in USAGES if match["stem"].lower().startswith(usage.lower())),
                     FOLDER_USAGES[match["split"].lower()])
        numbers = re.findall(r"\d+", match["stem"])
        return usages.index(usage), int(numbers[-1]) if numbers else -1, name, emotion_index(match["emotion"])

    def decode(batch):
        return np.stack([_read_image(found.place, name) for name in batch])

    ordered = sorted(facts(name) for name in found.names)
    names = [name for _, _, name, _ in ordered]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(decode, (names[i:i + 256] for i in range(0, len(names), 256)))))
    return (pixels, np.array([emotion for *_, emotion in ordered], np.int8),
            np.array([usages[index] for index, *_ in ordered], "<U11"))


def _read_image(place, name):
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


def _read_arrays(found):
    label = found.place.label(found.names[0])
    with reading_errors(label), found.place.open(found.names[0]) as file, np.load(file) as arrays:
        return arrays["pixels"], arrays["emotion"], arrays["usage"]


# ---- the cache ----


def _cache_key(found):
    """Return what changes when a source does: paths, sizes, times, and the hash of each file's first MiB."""
    facts = [CACHE_VERSION, found.layout, found.names]
    files = found.place.real_files(found.names)
    for file in files:
        status = file.stat()
        facts.append([str(file.resolve()) if len(files) < 9 else str(file), status.st_size, status.st_mtime_ns])
        if len(files) < 9:  # not of each of 35,887 images
            with open(file, "rb") as start:
                facts.append(hashlib.sha256(start.read(1 << 20)).hexdigest())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_cache(file, key, source, layout):
    try:
        with np.load(file) as arrays:
            if str(arrays["key"]) == key:
                return FaceSet(arrays["pixels"], arrays["emotion"], arrays["usage"], source, layout)
    except Exception:
        pass  # whatever is wrong with the cache, the source is still there
    return None


def write_cache(file, key, faces):
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as output:
                np.savez(output, pixels=faces.pixels, emotion=faces.emotion, usage=faces.usage, key=key)
            os.replace(part, file)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        warnings.warn(f"{file.parent}: the data set could not be cached ({error}); it will be read anew each time",
                      stacklevel=3)
