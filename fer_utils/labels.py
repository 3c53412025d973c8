"""The one class order of FER2013, with names, emoji, colours and the FER+ mapping."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Class names in FER2013's own order: ``EMOTIONS[i]`` names label ``i``."""
N_CLASSES = len(EMOTIONS)
UNLABELLED = -1
"""The label of a face whose emotion is not known (the challenge's ``test.csv``)."""
EMOJI = dict(zip(EMOTIONS, "😠 🤢 😨 😄 😢 😲 😐".split()))
COLOURS = dict(zip(EMOTIONS, ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#7F7F7F")))
"""Okabe and Ito's colour-blind safe palette (2008), its black replaced by gray for neutral."""
VALENCE = dict(zip(EMOTIONS, ("negative", "negative", "negative", "positive", "negative", "neutral", "neutral")))
"""Surprise may be pleasant or not, so it counts as neutral."""
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
                 "contempt", "unknown", "NF")
"""Vote columns of FER+'s ``fer2013new.csv`` (Barsoum et al., ICMI 2016), in its order; NF = no face."""
FERPLUS_TO_FER2013 = (6, 3, 5, 4, 0, 1, 2, UNLABELLED, UNLABELLED, UNLABELLED)
"""FER2013's label for each FER+ column; contempt, unknown and NF have none."""
_ALIASES = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happiness": "happy", "joy": "happy", "sadness": "sad", "surprised": "surprise",
}


def emotion_index(name):
    """Return FER2013's label for a class name.

    Parameters
    ----------
    name : str
        A name of `EMOTIONS`, a common variant ("anger", "Happiness"), or the label's digit ("0" … "6");
        case, blanks and a leading number ("3_happy") do not matter.

    Returns
    -------
    int or None
        0 to 6, or None when the name is no emotion.
    """
    key = str(name).strip().lower()
    if key.isdigit():
        return int(key) if int(key) < N_CLASSES else None
    key = key.lstrip("0123456789 ._-")
    key = _ALIASES.get(key, key)
    return EMOTIONS.index(key) if key in EMOTIONS else None


VALENCES = ("negative", "neutral", "positive")
