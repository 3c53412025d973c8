"""The parts of a drawn face: head, eyes, mouth, hair, folds, the relief, and what hides them."""
import numpy as np

from .canvas import HAIR, OTHER, Shape, ellipse_outline, line, mirror_outline, polygon_between, smooth_outline
from .person import EYE_X, EYE_Y, Person, Units

# Curves over a mouth, an eye (-1 to 1) and a brow (0 to 1).
T = np.linspace(-1, 1, 13)
ARC = 1 - T**2
ROUND, BOX = np.sqrt(ARC), 1 - T**6
U = np.linspace(0, 1, 7)
SIDES = (-1, 1)
# Height of the hair's lower edge at seven x, from temple to temple.
_HAIRLINE_X = (-0.9, -0.66, -0.36, 0, 0.36, 0.66, 0.9)
_HAIRLINES = {
    "short": (-0.1, -0.66, -0.86, -0.88, -0.86, -0.66, -0.1),
    "receding": (-0.15, -0.8, -1.02, -0.9, -1.02, -0.8, -0.15),
    "side": (0.0, -0.5, -0.64, -0.84, -0.98, -0.76, -0.1),
    "fringe": (0.6, -0.5, -0.62, -0.62, -0.62, -0.5, 0.6),
    "bob": (0.5, -0.5, -0.78, -0.9, -0.84, -0.55, 0.5),
    "long": (0.7, -0.56, -0.84, -0.92, -0.9, -0.6, 0.7),
    "parted": (0.9, -0.42, -0.84, -0.98, -0.84, -0.42, 0.9),
    "cap": (-0.62, -0.66, -0.7, -0.71, -0.7, -0.66, -0.62),
}
# Left half of the hair behind the face.
_SHORT_BACK = ((-0.3, -1.25), (-0.8, -1.1), (-0.98, -0.6), (-0.92, 0.1), (-0.6, 0.3))
_LONG_BACK = ((-0.35, -1.35), (-0.85, -1.15), (-1.08, -0.5), (-1.08, 0.2), (-1.05, 0.8), (-0.95, 1.6))
_BOB_BACK = ((-0.35, -1.35), (-0.85, -1.15), (-1.12, -0.4), (-1.12, 0.3), (-0.9, 0.75), (-0.4, 0.8))
_BACKS = {"long": _LONG_BACK, "parted": _LONG_BACK, "fringe": _LONG_BACK, "bob": _BOB_BACK}


def _curve(x: np.ndarray, y: np.ndarray, tone: float, width: float) -> Shape:
    """Return the line y over x on the front of the face."""
    return line(np.stack([x, y], 1), tone, width)


def face_shapes(person: Person, units: Units, rng: np.random.Generator) -> list[Shape]:
    """Return all that is painted, from back to front."""
    return [*_behind(person), *_head(person, units), *_eyes(person, units, rng), *_nose(person, units),
            *_mouth(person, units), *_brows(person, units), *_front_hair(person), *_glasses(rng),
            *_occluder(person, rng)]


def _behind(person: Person) -> list[Shape]:
    """Clothes, and the hair that falls behind the face."""
    shoulders = Shape(mirror_outline(((-0.35, 1.0), (-1.2, 1.18), (-1.8, 2))), person.cloth, 0, OTHER)
    if person.style == "bald":
        return [shoulders]
    back = smooth_outline(mirror_outline(_BACKS.get(person.style, _SHORT_BACK)))
    return [Shape(back, 0.85 * person.hair, 0, HAIR), shoulders]


def _head(person: Person, units: Units) -> list[Shape]:
    """Neck, ears and the outline of the face; an open mouth takes the chin down."""
    width, jaw, chin = person.width, person.jaw * person.width, person.chin + 0.1 * units.open
    neck = mirror_outline([(-0.5, 0.4), (-0.46, 0.95), (-0.6, 1.3), (-1, 1.6)])
    outline = mirror_outline([(-0.18, -1.16), (-0.55, -1.08), (-0.8 * width, -0.66), (-0.81 * width, -0.15),
                              (-0.78 * width, 0.25), (-0.66 * jaw, 0.66), (-0.38 * jaw, chin - 0.04),
                              (-0.14, chin + 0.07)])
    ears = [Shape(ellipse_outline(side * x * width, -0.05, a, b), tone * person.skin, -0.15)
            for side in SIDES for x, a, b, tone in ((0.8, 0.1, 0.2, 0.88), (0.82, 0.045, 0.12, 0.65)) if person.ears]
    return [Shape(neck, 0.62 * person.skin, 0.2), *ears, Shape(smooth_outline(outline), person.skin, 0.08)]


def _eyes(person: Person, units: Units, rng: np.random.Generator) -> list[Shape]:
    """Whites, irises and lids. Everything inside an eye is cut off at its lids."""
    gaze = rng.normal(0, (0.03, 0.012))
    if rng.random() < 0.12:
        gaze[0] += 0.07 * rng.choice(SIDES)
    upper = person.eye_h * max(0.12, 1 + 0.75 * units.lids - 0.3 * units.squint - 0.2 * units.wrinkle)
    lower = person.eye_h * (0.6 + 0.25 * max(units.lids, 0) - 0.5 * units.squint - 0.4 * units.cheeks)
    lower = max(lower, 0.05 * person.eye_h - 0.6 * upper)
    lash = 0.28 * person.skin * (1 - 0.5 * person.lash)
    shapes = []
    for side in SIDES:
        outward = T * side
        x = side * person.eye_x + person.eye_w * T
        y = person.eye_y - person.slant * outward - 0.012 * units.wrinkle
        droop = 0.035 * max(0.0, -units.outer) * (outward + 0.3) - 0.025 * max(0.0, -units.inner) * (0.3 - outward)
        top = y - upper * ARC**0.75 + np.maximum(droop, -0.02) * ARC
        bottom = np.maximum(y + lower * ARC**0.9, top + 0.004)
        shapes.append(Shape(polygon_between(x, top, bottom), min(0.45 * person.skin + 125, 235)))
        iris_x, iris_y = side * person.eye_x + gaze[0], person.eye_y - 0.012 + gaze[1]
        for radius, tone in ((0.088, person.iris), (0.04, 8)):
            disc = ellipse_outline(iris_x, iris_y, radius, radius)
            disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, top), np.interp(disc[:, 0], x, bottom))
            shapes.append(Shape(disc, tone))
        if upper > 0.5 * person.eye_h:
            shapes.append(Shape(ellipse_outline(iris_x - 0.03, iris_y - 0.03, 0.017, 0.017), 235))
        fold = top - 0.045 - 0.02 * max(units.lids, 0) + 0.02 * T**2
        shapes += [_curve(x[1:-1], fold[1:-1], 0.72 * person.skin, 0.022), _curve(x, bottom, 0.62 * person.skin, 0.016),
                   _curve(x, top - 0.006, lash, 0.03 + 0.025 * person.lash)]
    return shapes


def _brows(person: Person, units: Units) -> list[Shape]:
    tone = min(0.5 * person.skin, 0.35 * person.skin + 0.35 * person.hair)
    half = person.brow_w * np.array((0.75, 1, 1, 0.95, 0.8, 0.55, 0.2))
    start = 0.135 - 0.06 * units.gather
    x = start + (0.56 - start) * U
    middle = (person.brow_y - person.arch * np.sin(np.pi * 0.8 * U) - 0.125 * units.inner * (1 - U) ** 1.3
              - 0.13 * units.outer * U**1.2 + 0.02 * units.gather * (1 - U) + 0.03 * units.wrinkle)
    heights = [(side, middle - 0.03 * units.skew * side) for side in SIDES]
    return [Shape(polygon_between(side * x, y - half, y + half), tone) for side, y in heights]


def _nose(person: Person, units: Units) -> list[Shape]:
    y = person.nose_y - 0.035 * units.wrinkle - 0.015 * units.upper
    wide = person.nose_w * (1 + 0.15 * units.wrinkle + 0.06 * max(units.corners, 0))
    shapes = []
    for side in SIDES:
        wing = np.array(((0.105, -0.06), (0.155, -0.01), (0.15, 0.06), (0.1, 0.08))) * (side * wide, 1) + (0, y)
        shapes += [line(smooth_outline(wing, closed=False), 0.7 * person.skin, 0.022),
                   Shape(ellipse_outline(side * 0.07 * wide, y + 0.075, 0.042 * wide, 0.02), 0.38 * person.skin)]
    return shapes


def _lips(person: Person, units: Units) -> tuple[np.ndarray, ...]:
    """Curves of the mouth over x: outer and inner edge of the upper lip, inner and outer edge of the lower lip."""
    wide = person.mouth_w * (1 + 0.3 * units.stretch + 0.14 * max(units.corners, 0) - 0.1 * units.press)
    uneven = 1 + 0.6 * units.skew * T
    seam = (person.mouth_y + 0.05 * units.open - 0.05 * units.upper - 0.16 * units.corners * (T**2 - 0.4)
            + (0.05 * units.skew * T * max(units.upper, 0)))
    shape = (1 - min(units.square, 1)) * ROUND + min(units.square, 1) * BOX
    gap = 0.36 * units.open
    upper_inner = seam - (0.3 * gap + 0.045 * units.upper * uneven) * shape
    lower_inner = seam + (0.7 * gap + 0.01 * units.upper) * shape
    thick = person.lip * max(0.15, 1 - 0.75 * units.press - 0.2 * max(units.stretch, 0) - 0.15 * units.open)
    bow = ARC**0.6 * (1 - 0.3 * np.exp(-((T / 0.14) ** 2)))
    pout = 1 + 0.25 * max(0.0, -units.corners) * (units.press < 0.5)
    return (wide * T, upper_inner - 0.06 * thick * bow, upper_inner,
            lower_inner, lower_inner + 0.075 * thick * pout * ARC**0.7)


def _mouth(person: Person, units: Units) -> list[Shape]:
    x, upper_outer, upper_inner, lower_inner, lower_outer = _lips(person, units)
    lip = person.lip_tone * person.skin
    shapes = [Shape(polygon_between(x, upper_outer, upper_inner), 0.9 * lip),
              Shape(polygon_between(x, lower_inner, lower_outer), 1.08 * lip)]
    gap = lower_inner - upper_inner
    if gap.max() <= 0.035:
        return [*shapes, _curve(x, (upper_inner + lower_inner) / 2, 0.3 * person.skin, 0.028)]
    shapes.append(Shape(polygon_between(x, upper_inner, lower_inner), 28))
    if gap.max() > 0.16:
        tongue = np.minimum(0.45 * gap, 0.1) * ARC
        shapes.append(Shape(polygon_between(x, lower_inner - tongue, lower_inner), 0.5 * person.skin))
    x, gap, upper_inner, lower_inner = (curve[np.abs(T) < 0.95] for curve in (x, gap, upper_inner, lower_inner))
    bare = min(1.0, max(0.25, 1.1 * units.corners, 1.2 * units.square, 0.8 * units.upper))
    height = np.minimum((0.42 if units.square > 0.3 else 1) * gap, 0.105 * bare)
    teeth = 95 + 0.55 * person.skin
    shapes.append(Shape(polygon_between(x, upper_inner, upper_inner + height), teeth))
    if units.square > 0.3:
        height = np.minimum(0.4 * gap, 0.075 * units.square)
        shapes.append(Shape(polygon_between(x, lower_inner - height, lower_inner), 0.9 * teeth))
    return shapes


def _front_hair(person: Person) -> list[Shape]:
    if person.style == "bald":
        return []
    edge = smooth_outline(np.stack([_HAIRLINE_X, _HAIRLINES[person.style] + person.hairline], 1), closed=False)
    above = [(1.05, edge[-1, 1]), (1.08, -0.6), (0.9, -1.5), (-0.9, -1.5), (-1.08, -0.6), (-1.05, edge[0, 1])]
    outline = np.concatenate([edge, above])
    if person.style != "cap":
        return [Shape(outline, person.hair, 0.25, HAIR)]
    return [Shape(outline, person.cloth, 0.25, OTHER), line(edge, 0.7 * person.cloth, 0.05, 0.25, OTHER)]


def _glasses(rng: np.random.Generator) -> list[Shape]:
    """Glasses on one face in ten."""
    if rng.random() > 0.1:
        return []
    tone, width = rng.uniform(10, 70), rng.uniform(0.02, 0.045)
    a, b = rng.uniform(0.2, 0.25), rng.uniform(0.13, 0.2)
    dark = rng.random() < 0.15
    shapes = []
    for side in SIDES:
        rim = ellipse_outline(side * EYE_X, EYE_Y + 0.02, a, b)
        arm = [(side * (EYE_X + a), EYE_Y), (side * 0.85, EYE_Y - 0.02)]
        shapes += [Shape(rim, tone, 1.05, OTHER)] if dark else []
        shapes += [line([*rim, rim[0]], tone, width, 1.05, OTHER), line(arm, tone, width, 0.6, OTHER)]
    bridge = [(a - EYE_X, EYE_Y), (0, EYE_Y - 0.03), (EYE_X - a, EYE_Y)]
    return [*shapes, line(bridge, tone, width, 1.05, OTHER)]


def _occluder(person: Person, rng: np.random.Generator) -> list[Shape]:
    """What hides part of one face in twelve: a hand, a microphone, a lock of hair, the edge of something."""
    chance = rng.random()
    if chance > 0.085:
        return []
    side = rng.choice(SIDES)
    if chance < 0.035:
        return _hand(person, side, rng)
    if chance < 0.05:
        x, y = side * rng.uniform(0.1, 0.45), rng.uniform(0.65, 0.85)
        return [line([(x, y), (x + side * 0.25, 1.5)], 30, 0.12, 0, OTHER),
                Shape(ellipse_outline(x, y, 0.17, 0.19), 50, 0, OTHER),
                Shape(ellipse_outline(x - 0.05, y - 0.06, 0.06, 0.06), 80, 0, OTHER)]
    if chance < 0.07:
        lock = np.array([(0.1, -1.2), (0.2, -0.5), (0.42, 0), (0.62, 0.7), (1.1, 0.9), (1.1, -1.2)]) * (side, 1)
        return [Shape(smooth_outline(lock), person.hair, 0.2, HAIR)]
    edge = rng.uniform(0.45, 0.7)
    outline = np.array([(edge, -2), (edge + 0.2, 2), (2, 2), (2, -2)]) * (side, 1)
    return [Shape(outline, rng.uniform(10, 200), 0, OTHER)]


def _hand(person: Person, side: int, rng: np.random.Generator) -> list[Shape]:
    """Four fingers along the cheek, their gaps in shadow."""
    tip = np.array((side * rng.uniform(0.5, 0.75), rng.uniform(0.25, 0.6)))
    finger = tip + ((0, 0), (side * 0.3, 0.265), (side * 0.6, 0.45))
    shapes = []
    for k in range(4):
        bone = finger + (side * 0.02 * k, 0.17 * k)
        shapes += [line(bone + (0, 0.03), 0.55 * person.skin, 0.19, 0), line(bone, 0.95 * person.skin, 0.15, 0)]
    return shapes


def crease_shapes(person: Person, units: Units) -> list[Shape]:
    """Folds and shadows of the skin; a shape's tone is how much light it takes away, 0 to 255."""
    x, upper_outer, _, _, lower_outer = _lips(person, units)
    smile, age, y, end = max(units.corners, 0), person.age, person.nose_y, x[-1] + 0.07
    shapes = []
    if person.beard:
        for grow, share in ((0.1, 0.4), (0.05, 0.7), (0, 1)):
            beard = mirror_outline([(-0.16, y + 0.2 - 0.3 * grow), (-0.42, y + 0.36 - grow), (-0.72, 0.2 - grow),
                                    (-0.78, 0.5), (-0.5, 1.15)])
            shapes.append(Shape(smooth_outline(beard), share * (30 + 95 * person.beard), 0.6))
        shapes.append(Shape(polygon_between(1.05 * x, upper_outer - 0.01, lower_outer + 0.02), 0))
    raised = (max(units.inner, 0) + max(units.outer, 0)) / 2
    bend = 0.02 - 0.05 * max(units.outer, 0) * ARC
    shapes += [_curve(0.42 * T, height + bend, 14 * age + 55 * raised * (height > -0.8), 0.035)
               for height in (-0.64, -0.74, -0.84)]
    fold = min(12 + 35 * age + 70 * max(0.8 * smile, units.wrinkle, units.upper, 0.5 * units.square), 110)
    bag = min(20 + 45 * age + 45 * max(units.squint, units.cheeks), 110)
    foot = 18 * age + 50 * units.cheeks * (units.corners > 0.2)
    furrow = min(12 * age + 110 * units.gather, 140)
    under = person.eye_y + 0.11 + 0.05 * ARC - 0.02 * units.cheeks
    for side, corner in zip(SIDES, upper_outer[[0, -1]]):
        naso = [(side * 0.15, y - 0.02), (side * (0.24 + 0.04 * smile), y + 0.1), (side * end, person.mouth_y - 0.07),
                (side * (end + 0.01), person.mouth_y + 0.06)]
        shapes += [
            line(smooth_outline(naso, closed=False), fold, 0.05),
            _curve(side * person.eye_x + 0.15 * T[2:-2], under[2:-2], bag, 0.03),
            *(line([(side * 0.58, person.eye_y + 0.3 * rise), (side * 0.7, person.eye_y + rise)], foot, 0.022)
              for rise in (-0.06, 0.0, 0.06)),
            line([(side * 0.055, person.brow_y - 0.1), (side * 0.045, person.brow_y + 0.08)], furrow, 0.03),
            Shape(ellipse_outline(side * (x[-1] + 0.015), corner, 0.03, 0.03), 70)]
    sulk = max(0.0, -units.corners) * max(0.0, 1 - units.open)
    return [*shapes,
            *(_curve(0.09 * T, height - 0.03 * T**2, min(125 * units.wrinkle, 140), 0.03)
              for height in (-0.22, -0.14, -0.06)),
            _curve(0.13 * T, y + 0.12 - 0.03 * T**2, 55, 0.05),  # under the nose
            _curve(0.6 * x, lower_outer.max() + 0.05 - 0.02 * T**2, 60, 0.06),  # under the lip
            _curve(0.16 * T, person.chin - 0.2 - 0.05 * ARC, min(70 * sulk, 90), 0.05)]


def relief_bumps(person: Person, units: Units) -> np.ndarray:
    """Return the Gaussian bumps of the face's relief: rows of x, y, half width, half height and rise, float32."""
    nose, mouth = person.nose_y, person.mouth_y
    middle = [  # y, half width, half height, rise
        (-0.72, 0.4, 0.2, 0.05), (person.brow_y, 0.07, 0.08, 0.02 + 0.04 * units.gather),
        (nose - 0.24, 0.065 * person.nose_w, 0.2, 0.13), (nose, 0.085 * person.nose_w, 0.075, 0.15),
        (mouth - 0.07, 0.19, 0.05, 0.03), (mouth + 0.06 + 0.25 * units.open, 0.14, 0.045, 0.045),
        (mouth + 0.16 + 0.25 * units.open, 0.15, 0.04, -0.03), (person.chin - 0.13, 0.17, 0.1, 0.09),
    ]
    sides = [  # x, y, half width, half height, rise
        (0.3, person.brow_y + 0.01 - 0.06 * units.inner, 0.2, 0.06, 0.045), (0.3, person.eye_y, 0.15, 0.1, -0.075),
        (person.eye_x, person.eye_y, 0.1, 0.065, 0.05), (0.12 * person.nose_w, nose + 0.03, 0.045, 0.05, 0.05),
        (0.43, 0.1 - 0.06 * units.cheeks, 0.17, 0.14, 0.055 + 0.06 * units.cheeks),
        (0.5, 0.45, 0.13, 0.2, -0.05 * person.age), (0.62, -0.55, 0.1, 0.2, -0.03),
    ]
    return np.array([(0, *bump) for bump in middle] + [(side * x, *bump) for x, *bump in sides for side in SIDES],
                    np.float32)
