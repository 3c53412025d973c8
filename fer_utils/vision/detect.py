"""Face detectors behind one small interface, and crops that look like FER2013's faces."""
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import cv2
import numpy as np

from .. import paths
from ..errors import DataError
from .images import shrunk, to_rgb

DETECTORS = ("yunet", "haar")
YUNET = "face_detection_yunet_2023mar.onnx"
YUNET_URL = ("https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
             "face_detection_yunet_2023mar.onnx")
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SEARCH_SIDES = (640, 1600)
"""Pixels on the longer side at which photos are searched: small for faces that fill a photo, large for a crowd's."""
TILED_FROM, TILED_AT, TILE, TILE_OVERLAP = 6400, 3, 1600, 320
"""From so many pixels on the longer side a photo (a panorama) is searched also at a third of its size, in tiles of so
many pixels: its smaller faces are too small for the network only when it is shrunk as a whole."""
FACE_SIDE = 128  # a picture of at most so many pixels, as those of data sets, may be a face already
MIN_YUNET_SCORE = 0.7
MAX_OVERLAP = 0.3  # of two boxes (intersection over union); of those that overlap more, the surest is kept
MIN_HAAR_FACE = 24  # pixels; smaller ones are mostly mistakes
LIVE_SIDE = 640  # pixels on the longer side at which live frames are searched for faces


@dataclass(frozen=True)
class Detection:
    """One face found in an image.

    `box` is (left, top, width, height) in pixels and may reach over the image's edges. `score` is the detector's
    confidence, 0 to 1 (Haar gives none: 1).
    """

    box: tuple[float, float, float, float]
    score: float = 1.0


class Detector(Protocol):
    """What finds faces. `margin` is the side of a FER2013 crop over the longer side of this detector's box."""

    name: str
    margin: float

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Return the faces of an image, uint8 (H, W, 3) RGB, largest first."""


class HaarDetector(Detector):
    """OpenCV's own frontal-face cascade (Viola & Jones 2001): always there, misses turned and small faces.

    An image is searched at no more than `max_side` pixels on its longer side; with `tiled`, one of `TILED_FROM` or more
    at a third of its size.
    """

    name = "haar"
    margin = 1.0  # measured in notebook 06

    def __init__(self, max_side: int = 1280, tiled: bool = True):
        self._cascade = haar_cascade()
        self.max_side, self.tiled = max_side, tiled

    def detect(self, image: np.ndarray) -> list[Detection]:
        longest = max(np.shape(image)[:2])
        side = longest // TILED_AT if self.tiled and longest >= TILED_FROM else self.max_side
        small, scale = shrunk(cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2GRAY), side)
        if min(small.shape) < MIN_HAAR_FACE:
            return []
        boxes = self._cascade.detectMultiScale(small, 1.1, 5, minSize=(MIN_HAAR_FACE, MIN_HAAR_FACE))
        return sorted((Detection(tuple(box)) for box in (np.reshape(boxes, (-1, 4)) / scale).tolist()),
                      key=lambda d: -d.box[2])


def haar_cascade() -> "cv2.CascadeClassifier":
    """Load OpenCV's frontal-face cascade; raises `DataError` where this OpenCV has none."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / "haarcascade_frontalface_default.xml"
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        raise DataError(f"OpenCV {cv2.__version__} has no Haar cascades (version 5 dropped them): "
                        'install version 4: pip install "opencv-python>=4.10,<5"')
    cascade = cv2.CascadeClassifier()
    # Not by its path: on Windows OpenCV opens none with letters beyond ASCII, and says nothing.
    text = cv2.FileStorage(path.read_text(encoding="utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    if not cascade.read(text.getFirstTopLevelNode()):
        raise DataError(f"{path}: OpenCV {cv2.__version__} cannot read it; install OpenCV again: "
                        'pip install --force-reinstall "opencv-python>=4.10,<5"')
    return cascade


class YuNetDetector(Detector):
    """YuNet (Wu et al. 2023), a small network that finds faces and their eyes, nose and mouth.

    `path` is its ONNX file, by default `yunet_file`'s; `DataError` where that is another network's. The image is
    searched at each of `max_sides` (pixels on its longer side) that it exceeds, or once as it is; with `tiled`, one of
    `TILED_FROM` pixels or more also in tiles.
    """

    name = "yunet"
    # FER2013's crops measure 0.94 to 0.98 of the box's height; on PublicTest slightly tighter ones score best.
    margin = 0.9

    def __init__(self, path: str | Path | None = None, max_sides: tuple[int, ...] = SEARCH_SIDES,
                 tiled: bool = True):
        path = Path(path) if path else yunet_file()
        if path is None:
            raise DataError(f"no YuNet file: put {YUNET} into {paths.MODELS} or name it in FER_YUNET")
        try:
            # Not by its path: on Windows OpenCV opens none with letters beyond ASCII.
            self._network = cv2.FaceDetectorYN.create("onnx", np.fromfile(path, np.uint8), np.empty(0, np.uint8),
                                                      (320, 320), MIN_YUNET_SCORE, MAX_OVERLAP, 5000)
            self._search(np.zeros((64, 64, 3), np.uint8))  # another network fails only when it is asked
        except (cv2.error, OSError) as error:
            named = "FER_YUNET names" if os.environ.get("FER_YUNET") == str(path) else "this is"
            raise DataError(f"{path}: {named} no YuNet file that OpenCV {cv2.__version__} reads; fetch {YUNET} again "
                            "(github.com/opencv/opencv_zoo)") from error
        self.max_sides, self.tiled = max_sides, tiled

    def detect(self, image: np.ndarray) -> list[Detection]:
        bgr = cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2BGR)
        longest = max(bgr.shape[:2])
        sides = {min(side, longest) for side in self.max_sides}
        if self.tiled and longest >= TILED_FROM:
            sides.add(longest // TILED_AT)
        parts: list[np.ndarray] = []
        scale = 1.0
        for side in sorted(sides, reverse=True):
            # Each size is made from the one before: a large photo is shrunk as a whole only once.
            bgr, step = shrunk(bgr, side)
            scale *= step
            for left, top in _tiles(bgr.shape[1], bgr.shape[0]) if side > max(self.max_sides) else [(0, 0)]:
                rows = self._search(bgr[top:top + TILE, left:left + TILE] if side > max(self.max_sides) else bgr)
                rows[:, :2] += left, top
                parts.append(rows / np.array([scale, scale, scale, scale, 1], np.float32))
        found = np.vstack(parts)
        if len(parts) > 1 and len(found):  # where several searches found one face, the surest is kept
            kept = cv2.dnn.NMSBoxes(found[:, :4].tolist(), found[:, 4].tolist(), 0.0, MAX_OVERLAP)
            found = found[np.reshape(kept, -1)]
        return sorted((Detection((x, y, width, height), score) for x, y, width, height, score in found.tolist()),
                      key=lambda d: -d.box[2])

    def _search(self, bgr: np.ndarray) -> np.ndarray:
        """Return left, top, width, height and score of each face: (N, 5)."""
        nothing = np.empty((0, 5), np.float32)
        if min(bgr.shape[:2]) < 8:
            return nothing
        # With a side of 32 pixels or less YuNet (of OpenCV 4.14) returns what happens to be in memory.
        height, width = bgr.shape[:2]
        bgr = cv2.copyMakeBorder(bgr, 0, max(64 - height, 0), 0, max(64 - width, 0), cv2.BORDER_CONSTANT)
        self._network.setInputSize((bgr.shape[1], bgr.shape[0]))
        rows = self._network.detect(bgr)[1]
        return nothing if rows is None else rows[np.isfinite(rows).all(axis=1)][:, [0, 1, 2, 3, 14]]


def _tiles(width: int, height: int) -> list[tuple[int, int]]:
    """Return left and top of the tiles that cover an image and overlap: a face on an edge is whole in another one."""
    lefts, tops = (range(0, max(size - TILE_OVERLAP, 1), TILE - TILE_OVERLAP) for size in (width, height))
    return [(left, top) for top in tops for left in lefts]


class WholePicture(Detector):
    """No search: each picture is taken for one face, as it is."""

    name = "whole picture"
    margin = 1.0

    def detect(self, image: np.ndarray) -> list[Detection]:
        return [Detection((0, 0, image.shape[1], image.shape[0]))]


class DetectorPool(Detector):
    """As many equal detectors as `count` behind one: several threads may call `detect`, each takes a free one."""

    def __init__(self, make: Callable[[], Detector], count: int):
        self._free: SimpleQueue[Detector] = SimpleQueue()
        for _ in range(count):
            detector = make()
            self._free.put(detector)
        self.name, self.margin = detector.name, detector.margin

    def detect(self, image: np.ndarray) -> list[Detection]:
        detector = self._free.get()
        try:
            return detector.detect(image)
        finally:
            self._free.put(detector)


def yunet_file(download: bool = True) -> Path | None:
    """Find YuNet's ONNX file: ``FER_YUNET`` (`DataError` where it names no file), then models/, then a download.

    Without `download` only this computer is searched. Returns None where the file is not here and cannot be fetched.
    """
    if named := os.environ.get("FER_YUNET"):
        if not Path(named).is_file():
            raise DataError(f"FER_YUNET={named}: there is no such file")
        return Path(named)
    if found := sorted(paths.MODELS.glob("face_detection_yunet*.onnx"), key=lambda p: ("int8" in p.name, p.name)):
        return found[0]
    kept = paths.CACHE / YUNET
    if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == YUNET_SHA256:
        return kept
    return _fetch_yunet(YUNET_URL, YUNET_SHA256, paths.CACHE) if download else None


@cache  # without a network the wait is long: once is enough
def _fetch_yunet(url: str, sha256: str, folder: Path) -> Path | None:
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        return Path(pooch.retrieve(url, f"sha256:{sha256}", YUNET, folder,
                                   downloader=pooch.HTTPDownloader(timeout=20)))
    except (requests.RequestException, OSError, ValueError):  # offline, refused, or another file than expected
        return None


def make_detector(name: str = "auto", max_sides: tuple[int, ...] | None = None) -> HaarDetector | YuNetDetector:
    """Make a detector: "yunet", "haar", or "auto", which is YuNet where its file is or can be fetched, else Haar.

    Photos are searched at `SEARCH_SIDES`, and large ones in tiles. `max_sides` (see `YuNetDetector`) says otherwise,
    without tiles; Haar takes the largest of them. Where "auto" falls back to Haar, a line on stderr says so. Raises
    `DataError` where the named detector's file is not there.
    """
    if name not in (*DETECTORS, "auto"):
        raise ValueError(f"no detector is called {name!r}; there are auto, {', '.join(DETECTORS)}")
    if name == "auto" and yunet_file() is None:
        print(f"YuNet's file is not here and could not be fetched: finding faces by Haar, which misses more. "
              f"Put {YUNET} (github.com/opencv/opencv_zoo) into {paths.MODELS}.", file=sys.stderr)
        name = "haar"
    if name == "haar":
        return HaarDetector(max(max_sides), tiled=False) if max_sides else HaarDetector()
    return YuNetDetector(max_sides=max_sides or SEARCH_SIDES, tiled=max_sides is None)


def live_detector(name: str = "auto") -> HaarDetector | YuNetDetector:
    """Make a detector for live frames: as `make_detector`, but it searches only at `LIVE_SIDE` pixels."""
    return make_detector(name, (LIVE_SIDE,))


def face_square(detection: Detection, margin: float) -> tuple[tuple[float, float], float]:
    """Return centre (x, y) and side of a face's square, in pixels: `margin` times the longer side of its box."""
    x, y, width, height = detection.box
    return (x + width / 2, y + height / 2), max(width, height) * margin


def crop_face(image: np.ndarray, detection: Detection, margin: float = 1.0) -> np.ndarray:
    """Cut a face out as FER2013's faces are cut: square, from the forehead to the chin; `margin` is the detector's.

    The image is uint8 (H, W) or (H, W, 3); where the square reaches over its edge, the edge is continued.
    """
    (cx, cy), exact = face_square(detection, margin)
    height, width = image.shape[:2]
    side = max(round(exact), 1)
    left, top = round(cx - side / 2), round(cy - side / 2)
    # A box may lie outside the image: at least one row and column of it are continued.
    x0, x1 = min(max(left, 0), width - 1), max(min(left + side, width), 1)
    y0, y1 = min(max(top, 0), height - 1), max(min(top + side, height), 1)
    inside = image[y0:y1, x0:x1]
    above, below = max(y0 - top, 0), max(top + side - y1, 0)
    before, after = max(x0 - left, 0), max(left + side - x1, 0)
    if not (above or below or before or after):
        return inside
    return cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REPLICATE)
