"""The one class order of FER2013, with names, colours, valences and the FER+ mapping."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Class names in FER2013's own order: ``EMOTIONS[i]`` is the name of label ``i``."""
N_CLASSES = len(EMOTIONS)
UNLABELLED = -1
"""The label of a face whose emotion is not known (the challenge's ``test.csv``)."""
COLOURS = dict(zip(EMOTIONS, ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#7F7F7F")))
"""Okabe and Ito's colour-blind safe palette (2008), with gray instead of black for neutral."""
VALENCES = ("negative", "neutral", "positive")
VALENCE = dict(zip(EMOTIONS, ("negative", "negative", "negative", "positive", "negative", "neutral", "neutral")))
"""The valence of each emotion. Surprise may be pleasant or not, so it counts as neutral."""
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
                 "contempt", "unknown", "NF")
"""Vote columns of FER+'s ``fer2013new.csv`` (Barsoum et al., ICMI 2016), in its order; NF = no face."""
FERPLUS_TO_FER2013 = (6, 3, 5, 4, 0, 1, 2, UNLABELLED, UNLABELLED, UNLABELLED)
"""FER2013's label for each FER+ column; contempt, unknown and NF have none."""
_ALIASES = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happiness": "happy", "joy": "happy", "sadness": "sad", "surprised": "surprise",
}


def emotion_index(name: object) -> int | None:
    """Return FER2013's label for a class name, None when it names no emotion.

    A name of `EMOTIONS`, a common variant ("anger", "Happiness"), or the label's digit ("0" … "6"). Case, blanks and a
    leading number ("3_happy") do not matter.

    >>> emotion_index("Happiness")
    3
    """
    key = str(name).strip().lower()
    if key.isdecimal():
        return int(key) if int(key) < N_CLASSES else None
    key = key.lstrip("0123456789 ._-")
    key = _ALIASES.get(key, key)
    return EMOTIONS.index(key) if key in EMOTIONS else None
