"""How a network holds outside FER2013's own crops: other crops, light and cameras, hidden halves, and detectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pandas as pd

from ..data.copies import clean_mask
from ..data.faceset import FaceSet
from ..errors import DataError
from ..metrics import confusion, macro_f1
from ..networks.augment import gray_curve, jpeg
from ..vision.detect import Detection, Detector, crop_face, face_square, make_detector
from ..vision.predict import Predictor
from ..vision.track import overlaps

SCENE = (240, 320)
"""Height and width of the scenes that faces are pasted into, in pixels."""
_MATCHED = 0.3
"""Least overlap (intersection over union) of a pasted face and a detection of it."""


@dataclass(frozen=True)
class Condition:
    """One change of all test faces."""

    kind: str  # what is changed
    level: str  # by how much, in words
    mild: bool  # whether it lies in the milder half of its range
    change: Callable[[np.ndarray, int], np.ndarray]  # uint8 (48, 48) face and its number → uint8 (48, 48)


def _warped(face: np.ndarray, zoom: float, angle: float) -> np.ndarray:
    size = len(face)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
    return cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _hidden(share: float, face: np.ndarray, number: int) -> np.ndarray:
    """Cover one side of a face: left, right, top and bottom in turn."""
    face = face.copy()
    np.rot90(face, number % 4)[:round(len(face) * share)] = 96
    return face


_CHANGES: tuple[tuple[str, str, tuple, tuple, Callable], ...] = (  # kind, level in words, levels, the mild ones, change
    ("crop", "{:g}× as tight", (0.8, 0.9, 1.1, 1.25), (0.9, 1.1), lambda zoom, face, _: _warped(face, zoom, 0)),
    ("roll", "{:+g}°", (-15, -7.5, 7.5, 15), (-7.5, 7.5), lambda angle, face, _: _warped(face, 1, angle)),
    ("gamma", "{:g}", (0.5, 0.71, 1.41, 2), (0.71, 1.41), lambda gamma, face, _: gray_curve(gamma, 1)[face]),
    ("contrast", "{:g}×", (0.5, 0.75, 1.35, 1.7), (0.75, 1.35), lambda factor, face, _: gray_curve(1, factor)[face]),
    ("blur", "sigma {:g} px", (0.7, 1.4), (0.7,), lambda sigma, face, _: cv2.GaussianBlur(face, (0, 0), sigma)),
    ("JPEG", "quality {}", (40, 15), (40,), lambda quality, face, _: jpeg(face, quality)),
    ("hidden", "{:.0%} of a side", (0.25, 0.5), (0.25,), _hidden),
)
CONDITIONS = (
    Condition("none", "as they are", True, lambda face, _: face),
    *(Condition(kind, words.format(level), level in mild, partial(change, level))
      for kind, words, levels, mild, change in _CHANGES for level in levels))
"""Each range with its milder half (crop 0.9 to 1.1, roll to 7.5°, …) and its ends."""


def robustness_table(predictor: Predictor, faces: FaceSet, usage: str = "PrivateTest",
                     clean: bool = False) -> pd.DataFrame:
    """Score a network on test faces changed in each way of `CONDITIONS`, one a row.

    `clean` leaves out the faces of which an exact or near copy is in Training. ``lost`` are the percentage points below
    the unchanged faces. DataError: the part has no labels, or which of its faces are clean is not known, or none is.
    """
    part = faces.of(usage, labelled=True)
    if clean:
        mask = clean_mask(faces, usage)
        if mask is None:
            raise DataError(f"{faces.source}: which {usage} faces have no copy in Training cannot be told here; it "
                            "needs data with a Training part, and test faces")
        if not mask.any():
            raise DataError(f"{faces.source}: each of the {usage} faces has a copy in Training")
        part = part[mask]
    rows = []
    for condition in CONDITIONS:
        changed = np.stack([condition.change(face, i) for i, face in enumerate(part.pixels)])
        answers = _answers(predictor, changed)
        rows.append({"kind": condition.kind, "level": condition.level, "mild": condition.mild,
                     "accuracy": float((answers == part.emotion).mean()),
                     "macro_f1": float(macro_f1(confusion(part.emotion, answers)))})
    table = pd.DataFrame(rows)
    table["lost"] = 100 * (table["accuracy"].iloc[0] - table["accuracy"])
    return table


def _answers(predictor: Predictor, crops: np.ndarray) -> np.ndarray:
    """Return the predicted emotions, int (N,), of many crops, 256 at a time so that memory stays flat."""
    parts = (crops[i:i + 256] for i in range(0, len(crops), 256))
    return np.concatenate([predictor.probabilities(part).argmax(axis=1) for part in parts])


def scene(face: np.ndarray, number: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Paste a FER2013 face, uint8 (48, 48), into a larger scene, with its edges faded into the background.

    `number` decides its side (72 to 144 pixels), its place and the background. Returns the scene, uint8 (240, 320, 3)
    RGB, and where the crop of the face is: left, top, width, height.
    """
    rng = np.random.default_rng([number])
    height, width = SCENE
    side = int(rng.integers(72, 145))
    # Smooth blotches about as bright as the face: a wall, a hedge, a crowd out of focus.
    blotches = rng.normal(face.mean(), 35, (6, 8))
    image = cv2.resize(np.clip(blotches, 0, 255).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    image = (image + rng.normal(0, 4, SCENE)).astype(np.float32)
    # FER2013 cuts off hair and chin: the face's own edge is continued outwards while it fades.
    rim = side // 3
    big = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    big = cv2.copyMakeBorder(big, rim, rim, rim, rim, cv2.BORDER_REPLICATE).astype(np.float32)
    mask = np.zeros(big.shape, np.float32)
    mask[rim // 2:-(rim // 2), rim // 2:-(rim // 2)] = 1
    mask = np.clip(cv2.GaussianBlur(mask, (0, 0), rim / 4) * 2 - 1, 0, 1) ** 0.5
    mask[rim:-rim, rim:-rim] = 1
    left, top = int(rng.integers(rim, width - side - rim + 1)), int(rng.integers(0, height - side + 1))
    canvas = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    place = canvas[top:top + big.shape[0], left:left + big.shape[1]]
    place[:] = place + (big - place) * mask
    image = np.clip(canvas[rim:-rim, rim:-rim], 0, 255).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), (left, top, side, side)


def detection_table(predictor: Predictor, faces: FaceSet, detectors: Sequence[str | Detector] = ("yunet", "haar"),
                    usage: str = "PrivateTest", sample: int = 0) -> pd.DataFrame:
    """Compare a network on test faces as they are with the same faces pasted into scenes, detected and cropped again.

    `sample` takes the first so many faces; 0 takes all. A row for each detector: ``faces``, ``found`` (share of the
    faces, matched by an overlap of at least 0.3), ``false`` (other detections), ``direct`` and ``detected`` (accuracy
    on the found faces, cut by FER2013 and by the detector), ``lost`` (percentage points between the two),
    ``missed_as_wrong`` (accuracy with the missed faces counted as wrong) and ``side`` (the side of the FER2013 crop
    over that of the detector's box, median).
    """
    part = faces.of(usage, labelled=True)
    count = min(sample or len(part), len(part))
    scenes = [scene(part.pixels[i], i) for i in range(count)]
    direct = _answers(predictor, part.pixels[:count]) == part.emotion[:count]
    rows = []
    for named in detectors:
        detector = make_detector(named) if isinstance(named, str) else named
        right, found, false, sides = np.zeros(count, bool), np.zeros(count, bool), 0, []
        for i, (image, square) in enumerate(scenes):
            detections = detector.detect(image)
            match = overlaps([square], [_square(one, detector.margin) for one in detections])[0]
            false += int((match < _MATCHED).sum())
            if len(match) and match.max() >= _MATCHED:
                best = detections[int(match.argmax())]
                found[i] = True
                sides.append(square[2] / max(best.box[2:]))
                crop = crop_face(image, best, detector.margin)
                right[i] = predictor.probabilities([crop])[0].argmax() == part.emotion[i]
        rows.append({"detector": detector.name, "faces": count, "found": found.mean(), "false": false,
                     "direct": direct[found].mean(), "detected": right[found].mean(),
                     "lost": 100 * (direct[found].mean() - right[found].mean()),
                     "missed_as_wrong": right.mean(), "side": float(np.median(sides))})
    return pd.DataFrame(rows)


def _square(detection: Detection, margin: float) -> tuple[float, float, float, float]:
    (cx, cy), side = face_square(detection, margin)
    return cx - side / 2, cy - side / 2, side, side
