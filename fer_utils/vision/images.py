"""Photos as people have them, read into one form: uint8 RGB, upright."""
import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

from ..errors import DataError
from ..files import why_unreadable

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_T = TypeVar("_T")
MAX_PIXELS = 150_000_000
"""Larger photos are refused: a small file can claim a size that no memory holds (a decompression bomb).

Reading takes 4 to 12 bytes a pixel for a moment, WebP with transparency 16 (measured), and keeps 3.
"""
MAX_SCANS = 100
"""A progressive JPEG of more scans is refused: a small file of thousands keeps a processor busy for minutes."""
_STRIP = 256  # rows that are converted at a time, so that conversions need little memory
# Pillow reads forty formats, some by starting other programs (EPS); an uploaded file must not reach those.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000", "HEIF")


def read_photo(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photo: turned upright by its EXIF, first frame of an animation, transparency on white.

    JPEG, PNG (8 or 16 bit), WebP, BMP, TIFF, GIF, PPM, AVIF or JPEG 2000 in any colour mode; HEIC where pillow-heif is
    installed. Numbers of other kinds than 8 bit (see `_to_bytes`) are scaled. Returns uint8 (H, W, 3), RGB. Raises
    `DataError` where the photo is missing, damaged, no image, or larger than `max_pixels`; the message says which.
    """
    from PIL import Image, UnidentifiedImageError

    name, head = source if isinstance(source, (str, Path)) else "this photo", b""
    try:
        with _open(source) as file:
            head = file.read(12)
            image = _open_image(file)
            if image.width * image.height > max_pixels:
                raise DataError(f"{name}: {image.width}×{image.height} pixels are too many (at most "
                                f"{max_pixels // 10**6} million); shrink it first")
            if image.info.get("progressive") and (scans := _count_scans(file)) > MAX_SCANS:
                raise DataError(f"{name}: a JPEG of {scans} scans takes too long to read (at most {MAX_SCANS}); save "
                                "it again")
            return _upright_rgb(image)
    except UnidentifiedImageError as error:
        if not heic_readable() and head[4:] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
            raise DataError(f"{name}: HEIC cannot be read here (pip install pillow-heif); save it as JPEG") from error
        if head[:4] in (b"II*\0", b"MM\0*"):
            raise DataError(f"{name}: a TIFF of a kind that is not read here; save it as PNG") from error
        raise DataError(f"{name}: not an image that can be read (JPEG, PNG, WebP, BMP, TIFF, GIF)") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: too many pixels (at most {max_pixels // 10**6} million)") from error
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files make decoders and EXIF readers raise errors of any kind
        raise DataError(f"{name}: damaged or cut short ({error})") from error


def look_at_photo(source: str | Path | bytes, look: Callable[[np.ndarray], _T],
                  max_pixels: int = MAX_PIXELS) -> tuple[_T | None, str]:
    """Read a photo and return what `look` finds in it, and why that failed: "" where it did not.

    Whatever one photo breaks in a decoder or detector, the photos after it can still be looked at.
    """
    try:
        return look(read_photo(source, max_pixels)), ""
    except DataError as error:
        return None, str(error)
    except Exception as error:
        kind = type(error).__name__
        if isinstance(source, (str, Path)):
            return None, f"{source}: could not be looked at ({kind}: {error})"
        return None, f"this photo: could not be looked at ({kind})"  # a sent photo is private; `error` may quote it


def _open(source: str | Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if problem := why_unreadable(source):  # before it is opened: a pipe would wait for ever
        raise DataError(f"{source}: {problem}")
    return open(source, "rb")


def _open_image(file: IO[bytes]) -> "PillowImage.Image":
    """Open an image file by Pillow, which reads its header only; only the formats of `read_photo` are known."""
    from PIL import Image

    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    # `MAX_PIXELS` decides what is too large, errors say what is damaged. The warnings are ignored for good: a filter
    # set for a while in one of several threads may stay, and then for all warnings.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def read_exif(source: str | Path | bytes) -> dict[int, Any]:
    """Return a photo's EXIF tags by their numbers, with those of its inner directory; none where it has none."""
    with contextlib.suppress(Exception), _open(source) as file:  # damaged EXIF raises errors of many kinds
        exif = _open_image(file).getexif()
        return {**exif, **exif.get_ifd(0x8769)}
    return {}


def is_photo(path: str | Path) -> bool:
    """Return whether `read_photo` knows a file's format, whatever its name; only the header is read."""
    with contextlib.suppress(Exception), _open(path) as file:
        return bool(_open_image(file))
    return False


def is_animated(source: str | Path | bytes) -> bool:
    """Return whether an image file has more than one frame; False where it cannot be read. No frame is decoded."""
    with contextlib.suppress(Exception), _open(source) as file:
        return getattr(_open_image(file), "is_animated", False)
    return False


def _count_scans(file: IO[bytes]) -> int:
    """Count the scans of a JPEG file; within a scan's data its marker cannot occur."""
    place = file.tell()
    file.seek(0)
    scans = sum(part.count(b"\xff\xda") for part in iter(lambda: file.read(1 << 20), b""))
    file.seek(place)
    return scans


def heic_readable() -> bool:
    """Return whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def _upright_rgb(image: "PillowImage.Image") -> np.ndarray:
    """Return a Pillow image as uint8 RGB, turned as its EXIF says, a strip of rows at a time."""
    image.load()
    orientation = 1
    with contextlib.suppress(Exception):  # damaged EXIF does not make a photo unreadable
        orientation = image.getexif().get(0x0112, 1)
    width, height = image.size
    upright = np.empty((width, height, 3) if orientation in (5, 6, 7, 8) else (height, width, 3), np.uint8)
    as_stored = {2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
                 6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1)
                 }.get(orientation, upright)
    deep = image.mode == "F" or image.mode.startswith("I")
    numbers = _to_bytes(np.asarray(image), image.format or "") if deep else None
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        as_stored[rows] = to_rgb(_eight_bit(image.crop((0, top, width, rows.stop))) if numbers is None
                                 else numbers[rows])
    return upright


def _eight_bit(image: "PillowImage.Image") -> np.ndarray:
    """Return an image of a colour mode with 8 bits as gray or RGB(A)."""
    transparent = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
    if image.mode in ("L", "RGB", "RGBA") and not transparent:
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _to_bytes(values: np.ndarray, form: str) -> np.ndarray:
    """Return gray values of any kind, (H, W), as uint8.

    PNG, PPM and JPEG 2000 say what white is. A TIFF does not: its numbers go from 0 to 1, 255, 4095 or 65535 where they
    fill over a quarter of that, else from about their least to about their largest; what is not a number gets black.
    """
    finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones(1, bool)
    if not finite.any():
        raise ValueError("none of its pixels has a value")
    some = values[finite] if not finite.all() else values.ravel()
    low, high = float(some.min()), float(some.max())
    scales = (65535,) if form in ("PNG", "PPM", "JPEG2000") and values.dtype.kind != "f" else (1, 255, 4095, 65535)
    white = next((top for top in scales if low >= 0 and top / 4 < high <= top), scales[0] if len(scales) == 1 else 0)
    if white:
        low, high = 0.0, float(white)
    else:  # a few broken pixels must not make the others black
        low, high = np.quantile(some[::max(some.size // 10**6, 1)], (0.0005, 0.9995)).tolist()
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _STRIP):
        rows = slice(top, top + _STRIP)
        scaled = (values[rows].astype(np.float64) - low) * (255 / ((high - low) or 1))
        result[rows] = np.rint(np.nan_to_num(np.clip(scaled, 0, 255)))
    return result


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image as uint8 (H, W, 3) RGB; the very array where it is that already.

    `image` is uint8 or uint16: (H, W) or (H, W, 1) gray, (H, W, 3) RGB, or (H, W, 4) RGBA, which is laid on white.
    """
    image = np.asarray(image)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"an image must be uint8 or uint16, got {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or image.size == 0:
        raise ValueError(f"an image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got shape {image.shape}")
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.uint16)
        return ((image[:, :, :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    return image


def shrunk(image: np.ndarray, max_side: int) -> tuple[np.ndarray, float]:
    """Return an image with at most `max_side` pixels on its longer side, and by how much it was scaled, at most 1."""
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image, 1.0
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def encode_image(image: np.ndarray, jpeg_quality: int | None = None) -> bytes:
    """Return an image, uint8 RGB or RGBA, as a PNG file, or as a JPEG file of a quality from 0 to 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    if jpeg_quality is None:
        return cv2.imencode(".png", bgr)[1].tobytes()
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1].tobytes()
