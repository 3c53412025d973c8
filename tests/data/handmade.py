"""Face sets made by hand."""

import numpy as np

from fer_utils.data.faceset import FaceSet


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def face_set(pixels, emotion=None, usage=None):
    n = len(pixels)
    emotion = np.zeros(n, np.int8) if emotion is None else np.array(emotion, np.int8)
    usage = np.full(n, "Training") if usage is None else np.array(usage)
    return FaceSet(np.asarray(pixels), emotion, usage, "hand-made", "arrays")
