"""Own faces with a column of persons: read, and never one person on two sides."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from fer_utils.data import load
from fer_utils.data.drawn_people import draw_people
from fer_utils.data.faceset import USAGES, FaceSet
from fer_utils.data.grouped import divide_groups
from fer_utils.data.split import split
from fer_utils.errors import DataError

from .handmade import noise


def people(sizes, seed=0):
    """Faces of persons with so many faces each, of random emotions."""
    group = np.repeat([f"person {i}" for i in range(len(sizes))], sizes)
    emotion = np.random.default_rng(seed).integers(0, 7, len(group)).astype(np.int8)
    return FaceSet(noise(len(group), seed), emotion, np.full(len(group), "Training"), "hand-made", "arrays",
                   group=group)


def write(path, faces, column="person"):
    rows = [f"emotion,pixels,Usage,{column},source"]
    rows += [f'{e},{" ".join(map(str, p.ravel()))},{u},"{g}",photo.jpg'
             for p, e, u, g in zip(faces.pixels, faces.emotion, faces.usage, faces.group)]
    path.write_text("\n".join(rows))
    return path


@pytest.mark.parametrize("column", ["person", " Group"])
def test_a_column_of_persons_is_read_also_from_the_cache(tmp_path, column):
    faces = people([3, 2, 4, 1, 2])
    path = write(tmp_path / "fer2013.csv", faces, column)
    for read in (load.load(path), load.load(path)):
        assert read.group.tolist() == faces.group.tolist()
        assert np.array_equal(read.pixels, faces.pixels) and set(read.usage) == set(USAGES)
    assert replace(read, group=None).fingerprint() != read.fingerprint(), "other persons are other data"


def test_persons_all_unknown_are_none_and_some_unknown_are_refused(tmp_path):
    faces = people([2, 2, 2])
    nobody = replace(faces, group=np.full(6, ""))
    assert load.load(write(tmp_path / "fer2013.csv", nobody)).group is None
    faces.group[3] = " "
    with pytest.raises(DataError, match=r"face 4 has nothing in the column person or group \(1 such faces\)"):
        load.load(write(tmp_path / "train.csv", faces))


def test_no_person_is_on_two_sides_and_each_fifth_is_kept():
    for seed in range(5):
        sizes = np.random.default_rng(seed).integers(4, 12, 40)
        parts = split(people(sizes, seed))
        sides = [set(part.group) for part in (parts.train, parts.validation, parts.test)]
        assert len(set.union(*sides)) == sum(map(len, sides)) == 40
        assert len(parts.train) + len(parts.validation) + len(parts.test) == sizes.sum()
        for part in (parts.validation, parts.test):
            assert len(part) == pytest.approx(sizes.sum() / 5, rel=0.25)
            shares = np.bincount(part.emotion, minlength=7) / len(part)
            assert abs(shares - np.bincount(people(sizes, seed).emotion, minlength=7) / sizes.sum()).max() < 0.08
    assert parts.label == "own parts, by person" and parts.chosen_by == "PublicTest"


def test_persons_with_a_copy_of_one_face_stay_together():
    faces = people([5] * 10)
    faces.pixels[49] = faces.pixels[0]
    parts = divide_groups(faces)
    assert parts.usage[49] == parts.usage[0] and len(set(parts.usage[faces.group == "person 0"])) == 1


def test_a_name_that_is_typed_otherwise_is_the_same_person():
    faces = people([3] * 6)
    usage = divide_groups(faces).usage
    other = faces.group[np.flatnonzero(usage != usage[0])[0]]
    named = replace(faces, group=np.where(faces.group == other, " PERSON  0", faces.group))
    assert len(set(divide_groups(named).usage[np.isin(faces.group, ["person 0", other])])) == 1


def test_persons_with_a_near_copy_of_one_face_stay_together():
    faces = draw_people(6, 3)
    usage = divide_groups(faces).usage
    other = int(np.flatnonzero(usage != usage[0])[0])
    faces.pixels[other] = faces.pixels[0, :, ::-1] // 2 + 60  # mirrored, and paler
    parts = divide_groups(faces)
    assert len(set(parts.usage[np.isin(faces.group, faces.group[[0, other]])])) == 1
    assert set(parts.usage) == set(USAGES)


def test_a_person_with_most_faces_is_learnt_from():
    usage = divide_groups(people([200, 3, 4, 5, 3])).usage
    assert set(usage[:200]) == {"Training"} and set(usage[200:]) >= {"PublicTest", "PrivateTest"}


@pytest.mark.parametrize("sizes", [[9], [4, 5], [1, 1, 1], [1, 2, 1, 1]])
def test_few_persons_are_refused_or_divided(sizes, recwarn):
    faces = people(sizes)
    if len(sizes) < 3:
        with pytest.raises(DataError, match=f"faces of {len(sizes)} persons are too few"):
            split(faces)
    else:
        parts = split(faces)
        assert len(parts.train) and len(parts.validation) and len(parts.test) and not recwarn.list


def test_parts_of_their_own_are_kept_and_a_person_in_two_of_them_is_said():
    faces = people([4, 4, 4])
    own = replace(faces, usage=np.repeat(["Training", "PublicTest", "PrivateTest"], 4))
    assert np.array_equal(divide_groups(own).usage, own.usage)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split(own)
    mixed = replace(own, group=np.append(own.group[:11], "person 0"))
    with pytest.warns(UserWarning, match="1 persons are in two parts of the data, such as 'person 0'"):
        split(mixed)


def test_faces_without_persons_are_divided_as_before():
    faces = replace(people([20] * 5), group=None)
    assert divide_groups(faces) is faces
    assert split(faces).chosen_by == "validation"
