"""How a network holds outside FER2013's own framing: other crops, light and cameras, hidden halves, and detectors."""
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from ..errors import DataError
from ..vision.detect import crop_face, face_square, make_detector
from ..vision.track import overlaps

SCENE = (240, 320)
"""Height and width of the scenes that faces are pasted into, in pixels."""


@dataclass(frozen=True)
class Condition:
    """One change of all test faces.

    Parameters
    ----------
    kind : str
        What is changed.
    level : str
        By how much, in words.
    mild : bool
        Whether it lies in the milder half of its range.
    change : callable
        uint8 (48, 48) face, its number → uint8 (48, 48).
    """

    kind: str
    level: str
    mild: bool
    change: object


def _warped(face, zoom=1.0, angle=0.0):
    size = len(face)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
    return cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _curved(face, gamma=1.0, contrast=1.0):
    level = np.linspace(0, 1, 256) ** gamma * 255
    return np.rint(np.clip((level - 127.5) * contrast + 127.5, 0, 255)).astype(np.uint8)[face]


def _jpeg(face, quality):
    return cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def _hidden(face, number, share):
    """Cover one side of a face, another for each face in turn: left, right, top or bottom."""
    face = face.copy()
    np.rot90(face, number % 4)[:round(len(face) * share)] = 96
    return face


CONDITIONS = (
    Condition("none", "as they are", True, lambda f, i: f),
    *(Condition("crop", f"{z:g}× as tight", z in (0.9, 1.1), lambda f, i, z=z: _warped(f, zoom=z))
      for z in (0.8, 0.9, 1.1, 1.25)),
    *(Condition("roll", f"{a:+g}°", abs(a) < 10, lambda f, i, a=a: _warped(f, angle=a)) for a in (-15, -7.5, 7.5, 15)),
    *(Condition("gamma", f"{g:g}", 0.7 < g < 1.5, lambda f, i, g=g: _curved(f, gamma=g)) for g in (0.5, 0.71, 1.41, 2)),
    *(Condition("contrast", f"{c:g}×", 0.7 < c < 1.4, lambda f, i, c=c: _curved(f, contrast=c))
      for c in (0.5, 0.75, 1.35, 1.7)),
    *(Condition("blur", f"sigma {s:g} px", s < 1, lambda f, i, s=s: cv2.GaussianBlur(f, (0, 0), s))
      for s in (0.7, 1.4)),
    *(Condition("JPEG", f"quality {q}", q > 30, lambda f, i, q=q: _jpeg(f, q)) for q in (40, 15)),
    *(Condition("hidden", f"{s:.0%} of a side", s < 0.3, lambda f, i, s=s: _hidden(f, i, s)) for s in (0.25, 0.5)),
)
"""Each range with its milder half (crop 0.9 to 1.1, roll to 7.5°, …) and its ends."""


def robustness_table(predictor, faces, usage="PrivateTest", clean=False):
    """Score a network on test faces changed in each way of `CONDITIONS`.

    Parameters
    ----------
    predictor : Predictor
    faces : FaceSet
    usage : str
    clean : bool
        Leave out the faces of which an exact or near copy stands in Training (`evaluate.clean_mask`).

    Returns
    -------
    DataFrame
        A row a condition: ``kind``, ``level``, ``mild``, ``accuracy``, ``macro_f1`` and ``lost``, the percentage
        points below the unchanged faces.

    Raises
    ------
    DataError
        The usage is absent or unlabelled; or `clean` is asked of Training, of data without it, or leaves no face.
    """
    from sklearn.metrics import f1_score

    from ..data.copies import clean_mask

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
        guess = batched(predictor, changed).argmax(axis=1)
        rows.append({"kind": condition.kind, "level": condition.level, "mild": condition.mild,
                     "accuracy": float((guess == part.emotion).mean()),
                     "macro_f1": float(f1_score(part.emotion, guess, average="macro"))})
    table = pd.DataFrame(rows)
    table["lost"] = 100 * (table["accuracy"].iloc[0] - table["accuracy"])
    return table


def batched(predictor, crops, size=256):
    """Return `Predictor.probabilities` of many crops, `size` at a time so that memory stays flat."""
    return np.concatenate([predictor.probabilities(crops[i:i + size]) for i in range(0, len(crops), size)])


def scene(face, number, side=None):
    """Paste a FER2013 face into a larger scene, its edges faded into the background.

    Parameters
    ----------
    face : ndarray
        uint8 (48, 48).
    number : int
        Decides place, size and background; one number gives one scene.
    side : int, optional
        The face's side in the scene in pixels, by default 72 to 144.

    Returns
    -------
    image : ndarray
        uint8 (240, 320, 3), RGB.
    square : (int, int, int, int)
        Where the face's crop lies: left, top, width, height.
    """
    rng = np.random.default_rng([number])
    height, width = SCENE
    side = side or int(rng.integers(72, 145))
    # Smooth blotches about as bright as the face: a wall, a hedge, a crowd out of focus.
    blotches = rng.normal(face.mean(), 35, (6, 8))
    image = cv2.resize(np.clip(blotches, 0, 255).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 4, image.shape)
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
    place += (big - place) * mask
    image = np.clip(canvas[rim:-rim, rim:-rim], 0, 255).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), (left, top, side, side)


def detection_table(predictor, faces, detectors=("yunet", "haar"), usage="PrivateTest", sample=0):
    """Compare a network on test faces as they are with the same faces pasted into scenes, found and cropped again.

    Parameters
    ----------
    predictor : Predictor
    faces : FaceSet
    detectors : sequence of str or detector
    usage : str
    sample : int
        The first so many faces; 0 for all.

    Returns
    -------
    DataFrame
        A row a detector: ``faces``, ``found`` (share of the faces, matched by an overlap of at least 0.3), ``false``
        (other detections), ``direct`` and ``detected`` (accuracy on the found faces, cut by FER2013 and by the
        detector), ``lost`` (percentage points between the two), ``missed_as_wrong`` (accuracy with the missed faces
        counted as wrong), ``side`` (the FER2013 crop's side over the detector's box, median).

    Raises
    ------
    DataError
        The usage is absent or unlabelled.
    """
    part = faces.of(usage, labelled=True)
    count = min(sample or len(part), len(part))
    scenes = [scene(part.pixels[i], i) for i in range(count)]
    direct = batched(predictor, part.pixels[:count]).argmax(axis=1) == part.emotion[:count]
    rows = []
    for detector in detectors:
        detector = make_detector(detector) if isinstance(detector, str) else detector
        right, found, false, sides = np.zeros(count, bool), np.zeros(count, bool), 0, []
        for i, (image, square) in enumerate(scenes):
            detections = detector.detect(image)
            squares = [_square(d, detector.margin) for d in detections]
            match = overlaps([square], squares)[0]
            false += int((match < 0.3).sum())
            if len(match) and match.max() >= 0.3:
                best = detections[int(match.argmax())]
                found[i] = True
                sides.append(square[2] / max(best.box[2:]))
                right[i] = _answer(predictor, detector, image, best) == part.emotion[i]
        rows.append({"detector": detector.name, "faces": count, "found": found.mean(), "false": false,
                     "direct": direct[found].mean(), "detected": right[found].mean(),
                     "lost": 100 * (direct[found].mean() - right[found].mean()),
                     "missed_as_wrong": right.mean(), "side": float(np.median(sides))})
    return pd.DataFrame(rows)


def _square(detection, margin):
    (cx, cy), side = face_square(detection, margin)
    return cx - side / 2, cy - side / 2, side, side


def _answer(predictor, detector, image, detection):
    return predictor.probabilities([crop_face(image, detection, detector.margin)])[0].argmax()
