"""Drawn people: several faces each, in two styles."""

import numpy as np
import pytest

from fer_utils.data.drawn_people import STYLES, draw_people


def test_people_have_several_faces_each_and_one_seed_gives_one_set():
    faces = draw_people(6, 5, 3)
    assert faces.group.tolist() == np.repeat([f"person {i}" for i in range(1, 7)], 5).tolist()
    assert np.bincount(faces.emotion).tolist() == [5, 5, 4, 4, 4, 4, 4] and set(faces.usage) == {"Training"}
    assert np.array_equal(faces.pixels, draw_people(6, 5, 3).pixels)
    assert not np.array_equal(faces.pixels, draw_people(6, 5, 4).pixels)
    assert len(np.unique(faces.pixels, axis=0)) == 30 and faces.drawn


def test_faces_of_one_person_are_more_alike_than_those_of_two():
    faces = draw_people(12, 4, 0, emotions=("neutral",))
    flat = faces.pixels.reshape(48, -1).astype(float)
    alike = np.corrcoef(flat)
    same = faces.group[:, None] == faces.group
    assert alike[same & ~np.eye(48, dtype=bool)].mean() > alike[~same].mean() + 0.2


def test_a_negative_shows_the_same_people_with_light_and_dark_exchanged():
    photo, negative = (draw_people(3, 4, 1, style) for style in STYLES)
    assert np.array_equal(photo.pixels, 255 - negative.pixels) and np.array_equal(photo.emotion, negative.emotion)


@pytest.mark.parametrize("arguments, message", [
    ({"persons": 0}, "0 persons with 7 faces"), ({"style": "oil"}, "no style 'oil'; choose one of photo, negative"),
    ({"emotions": ("bored",)}, "emotions are bored; choose some of angry"), ({"emotions": ()}, "emotions are none")])
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_people(**arguments)
