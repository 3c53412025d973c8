"""What varies between drawn faces: the expression, the person and the pose.

An expression is a row of facial action units (Ekman & Friesen, *Facial Action Coding System*, 1978; the prototypes
follow their EMFACS table): how far the brows, lids, cheeks and lips have moved from rest. The person and the pose are
drawn at random and say nothing about the emotion.

Face coordinates: the crop is -1 to 1 both ways (x to the right, y down), and the face fills it as in FER2013.
"""
from typing import NamedTuple

import numpy as np

from ...labels import EMOTIONS, N_CLASSES

EYE_X, EYE_Y = 0.34, -0.24
"""Where a mean face has its right eye."""
HAIR_STYLES = {"bald": 0.07, "short": 0.24, "receding": 0.09, "side": 0.12, "fringe": 0.11, "bob": 0.1, "long": 0.12,
               "parted": 0.09, "cap": 0.06}
"""Each style's share of the persons."""
SUBTLE, MIXED, HABIT = 0.08, 0.06, 0.08
"""Shares of faces that hardly show their emotion or mix it with another; spread of the units at rest."""


class Units(NamedTuple):
    """Facial action units, 0 at rest and 1 fully shown; brows, lids and corners also go below rest."""

    inner: float = 0.0  # inner ends of the brows up (AU 1; below 0: AU 4)
    outer: float = 0.0  # outer ends of the brows up (AU 2; below 0: AU 4)
    gather: float = 0.0  # brows drawn together (AU 4)
    lids: float = 0.0  # upper lids up (AU 5; below 0: drooping)
    squint: float = 0.0  # lower lids tight (AU 7)
    cheeks: float = 0.0  # cheeks up (AU 6)
    wrinkle: float = 0.0  # nose wrinkled (AU 9)
    upper: float = 0.0  # upper lip up (AU 10)
    corners: float = 0.0  # lip corners up (AU 12; below 0: AU 15)
    stretch: float = 0.0  # mouth wide (AU 20; below 0: narrow)
    open: float = 0.0  # jaw down (AU 26, 27)
    press: float = 0.0  # lips tight (AU 23, 24)
    square: float = 0.0  # lips funnelled so that both rows of teeth show (AU 22)
    skew: float = 0.0  # one side of the face stronger


PROTOTYPES = {
    "angry": (
        Units(inner=-1, outer=0.1, gather=1, squint=0.5, corners=-0.4, stretch=-0.15, press=1),
        Units(inner=-1, outer=0.2, gather=1, lids=0.3, wrinkle=0.35, upper=0.4, stretch=0.15, open=0.55, square=1),
    ),
    "disgust": (
        Units(inner=-0.6, outer=-0.45, gather=0.4, lids=-0.3, squint=0.9, cheeks=0.4, wrinkle=1, upper=1, corners=-0.55,
              open=0.12, skew=1),
        Units(inner=-0.6, outer=-0.5, gather=0.3, lids=-0.5, squint=1, cheeks=0.5, wrinkle=1, upper=1, corners=-0.75,
              stretch=-0.1, open=0.32, skew=0.6),
    ),
    "fear": (
        Units(inner=1, outer=0.15, gather=0.8, lids=0.85, corners=-0.3, stretch=0.9, open=0.3, square=0.4),
        Units(inner=1, outer=0.2, gather=0.8, lids=1, corners=-0.45, stretch=0.55, open=0.6, square=0.5),
    ),
    "happy": (
        Units(squint=0.45, cheeks=0.7, corners=1, stretch=0.4),
        Units(squint=0.5, cheeks=0.9, corners=1, stretch=0.6, open=0.3, upper=0.15),
        Units(inner=0.15, outer=0.2, squint=0.7, cheeks=1, corners=1, stretch=0.55, open=0.65),
    ),
    "sad": (
        Units(inner=0.9, outer=-0.7, gather=0.4, lids=-0.45, corners=-1, stretch=-0.1, press=0.15),
        Units(inner=0.8, outer=-0.8, gather=0.6, lids=-0.5, squint=0.6, cheeks=0.3, corners=-1, stretch=0.15, open=0.3),
    ),
    "surprise": (
        Units(inner=0.9, outer=1, lids=0.9, stretch=-0.5, open=1),
        Units(inner=0.9, outer=1, lids=0.9, stretch=-0.4, open=0.6),
    ),
    "neutral": (Units(),),
}
"""How each emotion may show."""


def random_units(emotion: str, rng: np.random.Generator) -> Units:
    """Draw an expression: a prototype of the emotion, weak or strong, sometimes mixed with another emotion."""
    def prototype(emotion: str) -> np.ndarray:
        return np.array(PROTOTYPES[emotion][rng.integers(len(PROTOTYPES[emotion]))])

    values = prototype(emotion)
    chance = rng.random()
    if chance < SUBTLE:
        values = values * rng.uniform(0.15, 0.5)
    elif chance < SUBTLE + MIXED:
        other = EMOTIONS[rng.integers(N_CLASSES)]
        share = rng.uniform(0.3, 0.5)
        values = (1 - share) * values + share * prototype(other)
    else:
        values = values * rng.uniform(0.65, 1.2)
    units = Units(*(values + rng.normal(0, HABIT, len(values))).tolist())
    contracting = ("gather", "squint", "cheeks", "wrinkle", "upper", "press", "square")  # never below rest
    return units._replace(**{name: max(0.0, getattr(units, name)) for name in contracting},
                          open=max(0.0, units.open - 0.08),  # most mouths at rest are shut
                          skew=units.skew * rng.choice((-1, 1)))


class Person:
    """A person drawn at random: places in face coordinates, tones in gray levels."""

    def __init__(self, rng: np.random.Generator) -> None:
        normal = rng.normal(0, 1, 16).tolist()
        self.width, self.jaw = 1 + 0.05 * normal[0], 1 + 0.07 * normal[1]  # factors
        self.chin = 1 + 0.04 * normal[2]
        self.eye_x, self.eye_y = EYE_X + 0.015 * normal[3], EYE_Y + 0.015 * normal[4]
        self.eye_w, self.eye_h = 0.165 * (1 + 0.08 * normal[5]), 0.072 * (1 + 0.13 * normal[6])
        self.slant = 0.012 * normal[7]
        self.brow_y, self.brow_w = -0.43 + 0.02 * normal[8], 0.036 * (1 + 0.22 * normal[9])
        self.arch = 0.03 + 0.015 * normal[10]
        self.nose_w, self.nose_y = 1 + 0.12 * normal[11], 0.2 + 0.02 * normal[12]  # a factor, and a place
        self.mouth_y, self.mouth_w = 0.54 + 0.02 * normal[13], 0.275 * (1 + 0.07 * normal[14])
        self.lip = 1 + 0.22 * normal[15]  # thickness, a factor
        self.skin = rng.uniform(95, 220)
        self.age = rng.beta(1.2, 2.5)  # 0 to 1, for folds
        hair = rng.choice((18, 35, 60, 95, 150, 195), p=(0.25, 0.27, 0.18, 0.12, 0.08, 0.1)) + rng.uniform(-10, 15)
        self.hair = min(hair, self.skin + 30)
        self.style = tuple(HAIR_STYLES)[rng.choice(len(HAIR_STYLES), p=tuple(HAIR_STYLES.values()))]
        short = self.style in ("bald", "short", "receding", "cap")
        self.ears = short or self.style == "side"
        self.cloth = rng.uniform(15, 235)
        self.iris = rng.uniform(20, 90)
        self.lip_tone = rng.uniform(0.55, 0.85)  # a factor of the skin's
        self.lash = rng.uniform(0, 1) if not short else 0.0
        self.beard = rng.uniform(0.3, 1) if short and rng.random() < 0.3 else 0.0
        self.hairline = rng.normal(0, 0.03, 7)  # how far each of its seven points is off


class Pose:
    """How a head is held and cropped, at random: angles in radians, the rest in face coordinates."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.yaw, self.roll, self.pitch = rng.normal(0, 0.22), rng.normal(0, 0.1), rng.normal(0, 0.05)
        self.scale = rng.normal(1.05, 0.06)
        self.x, self.y = rng.normal(0, 0.04), rng.normal(0, 0.04)
