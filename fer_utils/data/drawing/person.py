"""What varies between drawn faces: the expression, the person and the pose.

An expression is a row of facial action units (Ekman & Friesen, *Facial Action Coding System*, 1978; the prototypes
follow their EMFACS table): how far the brows, lids, cheeks and lips have moved from rest. The person and the pose are
drawn at random and say nothing about the emotion.
"""
from dataclasses import astuple, dataclass

import numpy as np

from ...labels import EMOTIONS, N_CLASSES

# Face coordinates: the crop is -1 to 1 both ways (x to the right, y down), and the face fills it as it fills a FER2013
# crop. Here are the parts of a mean face.
EYE_X, EYE_Y, BROW_Y, NOSE_Y, MOUTH_Y, CHIN_Y = 0.34, -0.24, -0.43, 0.2, 0.54, 1.0
HAIR_STYLES = {"bald": 0.07, "short": 0.24, "receding": 0.09, "side": 0.12, "fringe": 0.11, "bob": 0.1, "long": 0.12,
               "parted": 0.09, "cap": 0.06}
"""Each style's share of the persons."""
SUBTLE, MIXED, HABIT = 0.08, 0.06, 0.08
"""Shares of faces that hardly show their emotion or mix it with another; spread of the units at rest."""


@dataclass
class Units:
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
_PROTOTYPE_VALUES = {emotion: np.array([astuple(variant) for variant in variants], float)
                     for emotion, variants in PROTOTYPES.items()}


@dataclass(frozen=True)
class Person:
    """Who is drawn: places in face coordinates, tones in gray levels."""

    skin: float
    age: float  # 0 to 1, for folds
    hair: float
    style: str  # of `HAIR_STYLES`
    cloth: float
    width: float  # of the face and of the jaw: factors
    jaw: float
    chin: float
    eye_x: float
    eye_y: float
    eye_w: float
    eye_h: float
    slant: float
    iris: float
    brow_y: float
    brow_w: float
    arch: float
    nose_w: float  # a factor
    nose_y: float
    mouth_y: float
    mouth_w: float
    lip: float  # thickness, a factor
    lip_tone: float  # a factor of the skin's
    lash: float  # 0 to 1
    beard: float  # 0 to 1
    hairline: np.ndarray  # how far each of its seven points is off
    ears: bool


@dataclass(frozen=True)
class Pose:
    """How the head is held and cropped: angles in radians, the rest in face coordinates."""

    yaw: float
    roll: float
    pitch: float
    scale: float
    x: float
    y: float


def random_units(emotion: str, rng: np.random.Generator) -> Units:
    """Draw an expression: a prototype of the emotion, weak or strong, sometimes mixed with another emotion."""
    def prototype(emotion: str) -> np.ndarray:
        return _PROTOTYPE_VALUES[emotion][rng.integers(len(PROTOTYPES[emotion]))]

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
    values = values + rng.normal(0, HABIT, len(values))
    units = Units(*values.tolist())
    for name in ("gather", "squint", "cheeks", "wrinkle", "upper", "open", "press", "square"):  # these only contract
        setattr(units, name, max(0.0, getattr(units, name)))
    units.open = max(0.0, units.open - 0.08)  # most mouths at rest are shut
    units.skew *= rng.choice((-1, 1))
    return units


def random_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    normal = rng.normal(0, 1, 16).tolist()
    skin = rng.uniform(95, 220)
    age = rng.beta(1.2, 2.5)
    hair = rng.choice((18, 35, 60, 95, 150, 195), p=(0.25, 0.27, 0.18, 0.12, 0.08, 0.1)) + rng.uniform(-10, 15)
    style = tuple(HAIR_STYLES)[rng.choice(len(HAIR_STYLES), p=tuple(HAIR_STYLES.values()))]
    short = style in ("bald", "short", "receding", "cap")
    return Person(
        skin=skin, age=age, hair=min(hair, skin + 30), style=style, cloth=rng.uniform(15, 235),
        width=1 + 0.05 * normal[0], jaw=1 + 0.07 * normal[1], chin=CHIN_Y + 0.04 * normal[2],
        eye_x=EYE_X + 0.015 * normal[3], eye_y=EYE_Y + 0.015 * normal[4], eye_w=0.165 * (1 + 0.08 * normal[5]),
        eye_h=0.072 * (1 + 0.13 * normal[6]), slant=0.012 * normal[7], iris=rng.uniform(20, 90),
        brow_y=BROW_Y + 0.02 * normal[8], brow_w=0.036 * (1 + 0.22 * normal[9]), arch=0.03 + 0.015 * normal[10],
        nose_w=1 + 0.12 * normal[11], nose_y=NOSE_Y + 0.02 * normal[12],
        mouth_y=MOUTH_Y + 0.02 * normal[13], mouth_w=0.275 * (1 + 0.07 * normal[14]), lip=1 + 0.22 * normal[15],
        lip_tone=rng.uniform(0.55, 0.85), lash=rng.uniform(0, 1) if not short else 0.0,
        beard=rng.uniform(0.3, 1) if short and rng.random() < 0.3 else 0.0,
        hairline=rng.normal(0, 0.03, 7), ears=short or style == "side",
    )


def random_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose."""
    return Pose(yaw=rng.normal(0, 0.22), roll=rng.normal(0, 0.1), pitch=rng.normal(0, 0.05),
                scale=rng.normal(1.05, 0.06), x=rng.normal(0, 0.04), y=rng.normal(0, 0.04))
