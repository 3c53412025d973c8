"""Drawn people of whom each has several faces, in FER2013's style or in another one: "own faces" for trials."""
import numpy as np

from ..labels import EMOTIONS, emotion_index
from .drawn_face import draw_face
from .faceset import FaceSet

STYLES = ("photo", "negative")
"""As FER2013's photos; or as film negatives, light where a photo is dark, a shift that a network has never seen."""


def draw_people(persons: int = 30, each: int = 7, seed: int = 0, style: str = "photo",
                emotions: tuple[str, ...] = EMOTIONS) -> FaceSet:
    """Draw people with so many faces each, who show the `emotions` in turn; the groups are the persons.

    One person's faces differ in expression, background and photograph, and have one head, hair and light in common.
    All are Training: `divide_groups` divides them. One seed gives the same people and expressions in each of `STYLES`.

    >>> draw_people(2, 3).group.tolist()
    ['person 1', 'person 1', 'person 1', 'person 2', 'person 2', 'person 2']
    """
    if persons < 1 or each < 1:
        raise ValueError(f"draw_people: {persons} persons with {each} faces each; ask for one at least")
    if style not in STYLES:
        raise ValueError(f"draw_people: no style {style!r}; choose one of {', '.join(STYLES)}")
    rng = np.random.default_rng(seed)
    labels = [emotion_index(name) for name in emotions]
    if None in labels or not labels:
        raise ValueError(f"draw_people: emotions are {', '.join(map(str, emotions)) or 'none'}; choose some of "
                         f"{', '.join(EMOTIONS)}")
    emotion = np.array([labels[i % len(labels)] for i in range(persons * each)], np.int8)
    looks = np.repeat(rng.integers(2**31, size=persons), each)
    pixels = np.stack([draw_face(label, rng, person=look) for label, look in zip(emotion.tolist(), looks.tolist())])
    if style == "negative":
        pixels = 255 - pixels
    group = np.repeat([f"person {i + 1}" for i in range(persons)], each)
    return FaceSet(pixels, emotion, np.full(len(emotion), "Training"), "drawn people", "drawn", group=group)
