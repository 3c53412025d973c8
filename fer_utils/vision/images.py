"""Photos as people have them, read into one form: uint8 RGB, upright."""
import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_T = TypeVar("_T")
MAX_PIXELS = 150_000_000
"""Larger photos are refused: a small file can claim a size that no memory holds (a decompression bomb)."""
# Pillow reads forty formats, some by starting other programs (EPS); an uploaded file must not reach those.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000", "HEIF")


def read_photo(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photo: turned upright by its EXIF, first frame of an animation, transparency on white.

    JPEG, PNG (8 or 16 bit), WebP, BMP, TIFF, GIF, PPM, AVIF or JPEG 2000 in any colour mode; HEIC where pillow-heif is
    installed. Returns uint8 (H, W, 3), RGB. Raises `DataError` where the photo is missing, damaged, no image, or
    larger than `max_pixels`; the message says which.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name, head = source if isinstance(source, (str, Path)) else "this photo", b""
    try:
        with _open(source) as file:
            head = file.read(12)
            image = _open_image(file)
            if image.width * image.height > max_pixels:
                raise DataError(f"{name}: {image.width}×{image.height} pixels are too many (at most "
                                f"{max_pixels // 10**6} million); shrink it first")
            return to_rgb(_pixels(ImageOps.exif_transpose(image)))
    except FileNotFoundError as error:
        raise DataError(f"{name}: there is no such file") from error
    except UnidentifiedImageError as error:
        if not heic_readable() and head[4:] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
            raise DataError(f"{name}: HEIC cannot be read here (pip install pillow-heif); save it as JPEG") from error
        raise DataError(f"{name}: not an image that can be read (JPEG, PNG, WebP, BMP, TIFF, GIF)") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: too many pixels (at most {max_pixels // 10**6} million)") from error
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files make decoders and EXIF readers raise errors of any kind
        reason = "is a folder" if isinstance(error, IsADirectoryError) else f"damaged or cut short ({error})"
        raise DataError(f"{name}: {reason}") from error


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
    return open(source, "rb") if isinstance(source, (str, Path)) else io.BytesIO(source)


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


def is_animated(source: str | Path | bytes) -> bool:
    """Return whether an image file has more than one frame; False where it cannot be read."""
    with contextlib.suppress(Exception), _open(source) as file:
        return getattr(_open_image(file), "is_animated", False)
    return False


def heic_readable() -> bool:
    """Return whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def _pixels(image: "PillowImage.Image") -> np.ndarray:
    """Return a Pillow image's pixels as gray or RGB(A), 8 or 16 bit."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return np.clip(np.asarray(image, np.int64), 0, 65535).astype(np.uint16)
    if image.mode in ("L", "RGB", "RGBA"):
        return np.asarray(image)
    transparent = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


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
