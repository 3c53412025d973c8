"""Splits and balancing against imbalanced-learn, scikit-learn and sets counted by hand."""

from collections import Counter
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

from fer_utils.data import split as split_module
from fer_utils.data.faceset import USAGES, FaceSet
from fer_utils.data.split import Split, split
from fer_utils.errors import DataError

from .handmade import face_set as set_of
from .handmade import noise

COUNTS = (12, 3, 14, 30, 20, 10, 17)  # faces of each class in each usage


def face_set(emotion, usage, pixels=None):
    return set_of(noise(len(emotion)) if pixels is None else pixels, emotion, usage)


@pytest.fixture
def faces():
    """Each usage with `COUNTS` faces, shuffled, and five without a label."""
    emotion = np.append(np.tile(np.repeat(range(7), COUNTS), 3), [-1] * 5)
    usage = np.append(np.repeat(USAGES, sum(COUNTS)), ["Test"] * 5)
    order = np.random.default_rng(1).permutation(len(emotion))
    return face_set(emotion[order], usage[order])


def as_set(faces):
    return Counter(face.tobytes() for face in faces.pixels)


# --- protocols ---


def test_official_parts_are_the_official_ones(faces):
    parts = split(faces)
    for part, usage in zip((parts.train, parts.validation, parts.test), USAGES):
        np.testing.assert_array_equal(part.pixels, faces.pixels[faces.usage == usage])
        np.testing.assert_array_equal(part.emotion, faces.emotion[faces.usage == usage])
        assert set(part.usage) == {usage}
    assert (parts.protocol, parts.balance, parts.class_weight) == ("official", "none", None)
    assert not parts.exhibit and parts.label == "official split"
    assert split_module.leak_count(parts) == 0


@pytest.mark.parametrize("balance, each", [("over", 30), ("under", 3), ("smote", 30)])
def test_official_balances_the_training_part_only(faces, balance, each):
    plain, parts = split(faces), split(faces, balance=balance)
    assert np.bincount(parts.train.emotion).tolist() == [each] * 7
    assert set(parts.train.usage) == {"Training"}
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(parts, part).pixels, getattr(plain, part).pixels)
    if balance != "smote":
        assert set(as_set(parts.train)) <= set(as_set(plain.train))


def test_class_weights_leave_the_faces_alone(faces):
    parts = split(faces, balance="class_weights")
    np.testing.assert_array_equal(parts.train.pixels, split(faces).train.pixels)
    assert parts.class_weight == split_module.class_weights(parts.train.emotion)


def test_unlabelled_faces_enter_no_part(faces):
    emotion = faces.emotion.copy()
    emotion[::4] = -1
    faces = FaceSet(faces.pixels, emotion, faces.usage, "hand-made", "arrays")
    for parts in (split(faces), split(faces, "leaky", "over")):
        for part in (parts.train, parts.validation, parts.test):
            assert part.labelled.all() and "Test" not in part.usage


@pytest.mark.parametrize("unlabelled", [False, True])
def test_without_public_test_a_tenth_of_training_is_held_out(unlabelled):
    """The challenge's layout: copies of one face stay on one side, classes keep their shares, PrivateTest is empty."""
    rng = np.random.default_rng(2)
    emotion = np.repeat(range(7), [60, 20, 70, 150, 100, 50, 90])
    pixels = noise(len(emotion))
    for row in rng.choice(len(emotion), 60, replace=False):  # copies of another face of the class
        pixels[row] = pixels[rng.choice(np.flatnonzero(emotion == emotion[row]))]
    usage = np.full(len(emotion), "Training")
    if unlabelled:
        emotion, usage = np.append(emotion, [-1] * 9), np.append(usage, ["Test"] * 9)
        pixels = np.concatenate([pixels, noise(9, seed=5)])
    parts = split(face_set(emotion, usage, pixels))
    assert "held out" in parts.label and not parts.exhibit
    assert len(parts.test) == 0 and len(parts.train) + len(parts.validation) == 540
    assert not set(as_set(parts.train)) & set(as_set(parts.validation))
    shares = np.bincount(parts.validation.emotion, minlength=7) / [60, 20, 70, 150, 100, 50, 90]
    assert (abs(shares - 0.1) < 0.06).all() and len(parts.validation) == pytest.approx(54, abs=6)
    assert split_module.leak_count(parts) == 0
    # Networks of other seeds are chosen and compared on the same faces, which none of them was trained on.
    again = split(face_set(emotion, usage, pixels), seed=1)
    assert as_set(again.validation) == as_set(parts.validation)


def test_held_out_faces_of_few(recwarn):
    parts = split(face_set([0, 1, 2, 3, 3, 3], ["Training"] * 6))
    assert len(parts.validation) >= 1 and len(parts.train) + len(parts.validation) == 6
    assert not recwarn.list


def test_held_out_faces_are_not_balanced():
    faces = face_set(np.repeat([0, 3], [20, 80]), ["Training"] * 100)
    parts = split(faces, balance="over")
    assert np.bincount(parts.validation.emotion).tolist() == [2, 0, 0, 8]
    assert np.bincount(parts.train.emotion).tolist() == [72, 0, 0, 72]
    assert not set(as_set(parts.train)) & set(as_set(parts.validation))


def test_leaky_is_over_sampling_and_then_splitting(faces):
    """What projects A and E wrote down, with the libraries themselves."""
    known = faces[faces.labelled]
    flat, emotion = RandomOverSampler(random_state=4).fit_resample(known.pixels.reshape(len(known), -1), known.emotion)
    expected = train_test_split(flat, emotion, test_size=0.1, stratify=emotion, random_state=4)
    parts = split(faces, "leaky", "over", seed=4)
    np.testing.assert_array_equal(parts.train.pixels.reshape(len(parts.train), -1), expected[0])
    np.testing.assert_array_equal(parts.test.pixels.reshape(len(parts.test), -1), expected[1])
    np.testing.assert_array_equal(parts.train.emotion, expected[2])
    np.testing.assert_array_equal(parts.test.emotion, expected[3])
    assert len(parts.train) + len(parts.test) == 7 * 90
    np.testing.assert_array_equal(parts.validation.pixels, parts.test.pixels)
    assert parts.exhibit and "exhibit" in parts.label
    assert set(parts.test.usage) == set(USAGES)  # each face's own


def test_leaky_refuses_other_balances(faces):
    for balance in set(split_module.BALANCES) - {"over"}:
        with pytest.raises(ValueError, match="balance must be 'over', not"):
            split(faces, "leaky", balance)


def test_bad_calls_say_what_is_known(faces):
    with pytest.raises(ValueError, match="unknown protocol 'honest'; known: official, leaky"):
        split(faces, "honest")
    with pytest.raises(ValueError, match="unknown balance 'adasyn'; known: none, over, under, smote, class_weights"):
        split(faces, balance="adasyn")
    with pytest.raises(ValueError, match="unknown balance"):
        split_module.balance(faces.pixels, faces.emotion, "more")
    with pytest.raises(DataError, match="no labelled Training faces"):
        split(faces[faces.usage != "Training"])
    with pytest.raises(DataError, match="too few to hold some out"):
        split(face_set([3, 3], ["Training"] * 2, np.zeros((2, 48, 48), np.uint8)))
    with pytest.raises(DataError, match="too few for the leaky"):
        split(face_set([0, 3], ["Training"] * 2), "leaky", "over")


@pytest.mark.parametrize("protocol, balance", [("official", "over"), ("official", "under"), ("official", "smote"),
                                               ("leaky", "over")])
def test_one_seed_gives_one_split(faces, protocol, balance):
    one, same, other = (split(faces, protocol, balance, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.train.pixels, same.train.pixels)
    assert as_set(one.train) != as_set(other.train)


def test_a_split_is_not_changed(faces):
    with pytest.raises(FrozenInstanceError):
        split(faces).protocol = "leaky"


# --- balancing ---


@pytest.fixture
def rare(faces):
    part = faces[faces.usage == "Training"]
    return part.pixels, part.emotion


@pytest.mark.parametrize("how, sampler", [("over", RandomOverSampler), ("under", RandomUnderSampler)])
def test_random_sampling_is_imbalanced_learns(rare, how, sampler):
    pixels, emotion = rare
    flat, expected = sampler(random_state=6).fit_resample(pixels.reshape(len(pixels), -1), emotion)
    balanced, labels = split_module.balance(pixels, emotion, how, seed=6)
    assert balanced.dtype == np.uint8 and balanced.shape[1:] == (48, 48)
    assert sorted(zip(labels, map(bytes, balanced.reshape(len(labels), -1)))) == sorted(zip(expected, map(bytes, flat)))
    first = balanced[:len(pixels)] if how == "over" else balanced
    positions = [next(k for k, face in enumerate(pixels) if (face == one).all()) for one in first]
    assert positions == sorted(positions)


def test_smote_is_imbalanced_learns_rounded(rare):
    pixels, emotion = rare
    flat, expected = SMOTE(random_state=6, k_neighbors=2).fit_resample(pixels.reshape(len(pixels), -1).astype(float),
                                                                       emotion)
    balanced, labels = split_module.balance(pixels, emotion, "smote", seed=6)
    np.testing.assert_array_equal(labels, expected)
    assert balanced.dtype == np.uint8 and (balanced[:len(pixels)] == pixels).all()
    assert abs(balanced.reshape(len(labels), -1) - flat).max() <= 0.51


def test_smote_faces_lie_between_two_of_their_class():
    dark, light = np.full((48, 48), 10, np.uint8), np.full((48, 48), 250, np.uint8)
    pixels = np.stack([dark, light, *noise(9)])
    balanced, labels = split_module.balance(pixels, np.array([1, 1] + [3] * 9), "smote")  # two faces: one neighbour
    made = balanced[11:]
    assert (labels[11:] == 1).all() and len(made) == 7
    assert all(face.min() == face.max() and 10 <= face.min() <= 250 for face in made)
    assert len({face.min() for face in made}) > 3


def test_smote_of_a_single_face_is_refused():
    with pytest.raises(ValueError, match="single face of disgust; use balance 'over'"):
        split_module.balance(noise(6), np.array([1, 3, 3, 3, 0, 0]), "smote")


@pytest.mark.parametrize("how", split_module.BALANCES)
def test_one_class_or_balanced_classes_stay_as_they_are(how):
    for emotion in ([3, 3, 3, 3], [1, 3, 1, 3]):
        pixels, labels = split_module.balance(noise(4), np.array(emotion), how)
        np.testing.assert_array_equal(pixels, noise(4))
        np.testing.assert_array_equal(labels, emotion)


@pytest.mark.parametrize("how", ["none", "class_weights"])
def test_nothing_changes_where_nothing_is_asked(rare, how):
    assert split_module.balance(*rare, how) == rare


def test_class_weights_by_hand_and_as_scikit_learn(rare):
    assert split_module.class_weights(np.array([0, 3, 3, 3])) == {**dict.fromkeys(range(7), 0.0), 0: 2.0, 3: 4 / 6}
    emotion = rare[1]
    expected = compute_class_weight("balanced", classes=np.arange(7), y=emotion)
    weights = split_module.class_weights(emotion)
    np.testing.assert_allclose([weights[label] for label in range(7)], expected)
    assert all(type(label) is int and type(weight) is float for label, weight in weights.items())
    assert np.mean([weights[int(label)] for label in emotion]) == pytest.approx(1)


# --- the leak ---


def test_leak_count_counts_test_faces_in_the_training_part(faces):
    pixels = faces.pixels.copy()
    training, private = (np.flatnonzero(faces.usage == usage) for usage in ("Training", "PrivateTest"))
    pixels[private[:4]] = pixels[training[0]]
    pixels[private[4]] = pixels[private[5]]  # on one side only
    copied = FaceSet(pixels, faces.emotion, faces.usage, "hand-made", "arrays")
    assert split_module.leak_count(split(copied)) == 4
    leaky = split(faces, "leaky", "over")
    known = set(as_set(leaky.train))
    assert split_module.leak_count(leaky) == sum(face.tobytes() in known for face in leaky.test.pixels)
    assert split_module.leak_count(leaky) > len(leaky.test) / 2


def test_memoriser_is_the_nearest_face(faces):
    parts = split(faces)
    train, test = (part.pixels.reshape(len(part), -1).astype(float) for part in (parts.train, parts.test))
    nearest = ((test[:, None] - train[None]) ** 2).sum(axis=2).argmin(axis=1)
    expected = (parts.train.emotion[nearest] == parts.test.emotion).mean()
    assert split_module.memoriser_accuracy(parts, size=48) == pytest.approx(expected)


def test_memoriser_knows_what_it_has_seen(faces):
    parts = split(faces)
    seen = Split(parts.train, parts.train, parts.train[::3], "official", "none")
    assert split_module.memoriser_accuracy(seen) == 1 == split_module.memoriser_accuracy(seen, limit=5)
    honest, leaky = (split_module.memoriser_accuracy(part) for part in (parts, split(faces, "leaky", "over")))
    assert honest < 0.4 < 0.6 < leaky  # the faces are noise: there is nothing else to learn


def test_validation_is_reported_where_there_is_no_test_part(faces):
    whole, without = split(faces), split(faces[faces.usage != "PrivateTest"])
    assert whole.reported is whole.test and without.reported is without.validation
    swapped = Split(whole.train, whole.test, whole.validation, "official", "none")
    assert split_module.memoriser_accuracy(without) == split_module.memoriser_accuracy(swapped)
    seen = Split(without.train, without.train[:5], without.test, "official", "none")
    assert split_module.leak_count(seen) == 5 and split_module.memoriser_accuracy(seen) == 1


# --- the real data set ---


def test_the_leak_of_fer2013(fer2013):
    official, leaky = split(fer2013), split(fer2013, "leaky", "over")
    assert split_module.leak_count(official) == 291
    assert len(leaky.train) + len(leaky.test) == 62_923 == 7 * 8_989
    assert split_module.leak_count(leaky) > 4_000
    assert split_module.memoriser_accuracy(official, limit=1_000) < 0.45
    assert split_module.memoriser_accuracy(leaky, limit=1_000) > 0.75
