"""Copies planted by hand must be found, and nothing else."""

import sys
from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_utils import paths
from fer_utils.data import copies, near_copies
from fer_utils.data.drawn import draw_face
from fer_utils.data.faceset import USAGES

from .handmade import face_set, noise


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def photos():
    """Sixty drawn faces at twice the size, so that crops of them can be taken."""
    rng = np.random.default_rng(3)
    return [draw_face(k % 7, rng, size=96) for k in range(60)]


def crop(photo, left=6, top=6, side=84):
    return cv2.resize(photo[top:top + side, left:left + side], (48, 48), interpolation=cv2.INTER_AREA)


def jpeg(face, quality=60):
    return cv2.imdecode(cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_GRAYSCALE)


def watermarked(face):
    marked = cv2.putText(face.copy(), "stock", (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 230)
    return cv2.addWeighted(face, 0.8, marked, 0.2, 0)


VERSIONS = {
    "darker": lambda photo: (crop(photo) * 0.6).astype(np.uint8),
    "compressed": lambda photo: jpeg(crop(photo)),
    "shifted": lambda photo: crop(photo, left=10, top=3),
    "tighter": lambda photo: crop(photo, 12, 13, 70),
    "wider": lambda photo: crop(photo, 0, 0, 96),
    "mirrored": lambda photo: crop(photo)[:, ::-1],
    "mirrored and tighter": lambda photo: crop(photo, 12, 12, 72)[:, ::-1],
    "watermarked": lambda photo: watermarked(crop(photo)),
}


# --- exact copies ---


@pytest.fixture
def small():
    """Tiny images of few values, so that many are equal by chance."""
    return np.random.default_rng(0).integers(0, 2, (200, 2, 3), dtype=np.uint8)


def test_face_ids_are_equal_where_the_bytes_are(small):
    ids = copies.face_ids(small)
    assert ids.dtype == np.int64 and ids.shape == (200,)
    for i, j in combinations(range(200), 2):
        assert (ids[i] == ids[j]) == (small[i].tobytes() == small[j].tobytes())
    assert set(ids) == set(range(len({face.tobytes() for face in small})))


def test_face_ids_do_not_depend_on_the_order(small):
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(copies.face_ids(small[order]), copies.face_ids(small)[order])


def test_face_ids_of_a_mirrored_view_and_of_nothing(small):
    np.testing.assert_array_equal(copies.face_ids(small[:, :, ::-1]), copies.face_ids(small[:, :, ::-1].copy()))
    assert len(copies.face_ids(small[:0])) == 0 and copies.exact_copies(small[:0]) == 0


def test_exact_copies_are_rows_minus_distinct_faces(small):
    assert copies.exact_copies(small) == 200 - len({face.tobytes() for face in small})
    assert copies.exact_copies(np.unique(small, axis=0)) == 0


def test_copies_in_training_by_hand():
    a, b, c, d = noise(4)
    faces = face_set([a, a, b, a, a, c, b, d], usage=["Training"] * 3 + ["PublicTest"] * 3 + ["PrivateTest"] * 2)
    assert copies.copies_in_training(faces) == {"PublicTest": 2, "PrivateTest": 1}
    assert copies.copies_in_training(faces[:3]) == {"PublicTest": 0, "PrivateTest": 0}


def test_conflicting_groups_by_hand():
    a, b, c, d = noise(4)
    pixels = np.stack([d, a, b, a, c, b, c, d, a])
    emotion = np.array([5, 0, 1, 3, 2, 1, 2, -1, 0])
    assert [group.tolist() for group in copies.conflicting_groups(pixels, emotion)] == [[1, 3, 8]]
    emotion[5] = 4
    assert [group.tolist() for group in copies.conflicting_groups(pixels, emotion)] == [[1, 3, 8], [2, 5]]


def test_blank_faces_are_those_without_contrast():
    black, gray = np.zeros((48, 48), np.uint8), np.full((48, 48), 128, np.uint8)
    spot = black.copy()
    spot[40:42, 20:23] = 90
    dark = (noise(1)[0] // 8).astype(np.uint8)  # 0 to 31, spread 9
    assert copies.blank_faces(np.stack([black, gray, spot, dark, noise(1)[0]])).tolist() == [True] * 3 + [False] * 2


# --- near-duplicates ---


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_of_a_photo_is_found_and_no_other_pair(photos, version):
    n = 8
    pixels = np.stack([crop(photo) for photo in photos[:n]] + [VERSIONS[version](photo) for photo in photos[:n]])
    pairs = copies.near_duplicates(pixels)
    assert list(zip(pairs["i"], pairs["j"])) == [(k, k + n) for k in range(n)]
    assert pairs["correlation"].between(0.95, 1.0001).all()
    # A face may be as like as not to its mirror image, but what is not mirrored must not be called so.
    assert not pairs["mirrored"].any() if "mirrored" not in version else pairs["mirrored"].mean() > 0.8


class TestWithEigenfaces:
    """Faces enough for eigenfaces: 50 photos, 15 of them shifted too, 15 others cropped tighter."""

    @pytest.fixture(scope="class")
    def pixels(self, photos):
        rng = np.random.default_rng(4)
        return np.stack([*(crop(photo) for photo in photos[:50]),
                         *(crop(photo, *rng.integers(2, 11, 2)) for photo in photos[:45:3]),
                         *(crop(photo, 12, 13, 70) for photo in photos[1:46:3])])

    @pytest.fixture(scope="class")
    def pairs(self, pixels):
        return copies.near_duplicates(pixels)

    def test_agrees_with_comparing_every_pair_at_every_shift(self, pixels, pairs):
        """Against exhaustive template matching."""
        expected = set()
        for i, j in combinations(range(65), 2):
            correlation = cv2.matchTemplate(pixels[j], pixels[i][8:40, 8:40], cv2.TM_CCOEFF_NORMED)
            if correlation.max() > 0.94:
                expected.add((i, j))
        assert expected == {(3 * k, 50 + k) for k in range(15)}
        whole = pairs[pairs["j"] < 65]
        assert set(zip(whole["i"], whole["j"])) == expected

    def test_finds_tighter_crops_and_nothing_else(self, pairs):
        tighter = pairs[pairs["j"] >= 65]
        found = set(zip(tighter["i"], tighter["j"]))
        assert len(found) >= 14 and found <= {(3 * k + 1, 65 + k) for k in range(15)}

    def test_the_order_of_faces_does_not_matter(self, pixels, pairs):
        order = np.random.default_rng(5).permutation(len(pixels))
        shuffled = copies.near_duplicates(pixels[order])
        back = np.sort(order[shuffled[["i", "j"]].to_numpy()], axis=1)
        assert {tuple(pair) for pair in back} == set(zip(pairs["i"], pairs["j"]))

    def test_finds_what_is_planted_in_drawn_faces(self, drawn):
        pairs = copies.near_duplicates(drawn.pixels)
        assert len(pairs) >= 22  # 1.5 % of the rows are shifted, brighter or recompressed
        assert (pairs["correlation"] > 0.99).mean() > 0.8  # and not many are alike by chance


def test_exact_copies_are_no_near_duplicates_but_have_them(photos):
    face, version, other = crop(photos[0]), jpeg(crop(photos[0])), crop(photos[1])
    pairs = copies.near_duplicates(np.stack([face, other, version, face, version]))
    assert list(zip(pairs["i"], pairs["j"])) == [(0, 2), (0, 4), (2, 3), (3, 4)]
    assert pairs.dtypes.astype(str).to_dict() == {"i": "int64", "j": "int64", "correlation": "float32",
                                                  "mirrored": "bool"}


def test_blank_faces_and_sets_without_pairs_give_an_empty_table(photos):
    blank = np.stack([np.full((48, 48), 10 + k, np.uint8) for k in range(5)])
    for pixels in (blank, blank[:0], crop(photos[0])[None], np.stack([crop(p) for p in photos[:3]])):
        pairs = copies.near_duplicates(pixels)
        assert len(pairs) == 0 and list(pairs) == ["i", "j", "correlation", "mirrored"]


@pytest.mark.parametrize("kernel", [True, False])
def test_a_bar_shows_for_many_faces_in_a_notebook_and_runs_to_its_end(photos, monkeypatch, kernel):
    bars, bar = [], near_copies.tqdm
    monkeypatch.setattr(near_copies, "tqdm", lambda disable, **options: bars.append((disable, bar(**options)))
                        or bars[-1][1])
    monkeypatch.setattr(near_copies, "_MANY", 3)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for n in (3, 2):
        copies.near_duplicates(np.stack([crop(photo) for photo in photos[:n]]))
    assert [disable for disable, _ in bars] == [not kernel, True]
    for _, bar in bars:
        assert bar.n == pytest.approx(bar.total)


def test_a_lower_threshold_finds_more(photos):
    pixels = np.stack([crop(photo) for photo in photos[:10]])
    assert len(copies.near_duplicates(pixels, threshold=0.5)) > len(copies.near_duplicates(pixels))


def test_the_cache_is_read_the_second_time(photos, monkeypatch):
    pixels = np.stack([crop(photos[0]), crop(photos[1]), jpeg(crop(photos[0]))])
    first = copies.near_duplicates(pixels, cache=True)
    monkeypatch.setattr(copies, "_pairs_of_rows", None)  # would fail if anything were searched
    pd.testing.assert_frame_equal(copies.near_duplicates(pixels, cache=True), first)
    with pytest.raises(TypeError):
        copies.near_duplicates(pixels[::-1], cache=True)  # another set


# --- across the official parts ---


@pytest.fixture
def across(photos):
    """Training a b c; PublicTest a d; PrivateTest a, a version of b, e, a version of e, d."""
    a, b, c, d, e = (crop(photo) for photo in photos[:5])
    pixels = [a, b, c, a, d, a, jpeg(b), e, jpeg(e), d]
    return face_set(pixels, usage=["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"] * 5)


def test_seen_in_training_by_hand(across):
    assert copies.seen_in_training(across, near=False).tolist() == [True, False, False, False, False]
    assert copies.seen_in_training(across).tolist() == [True, True, False, False, False]
    assert copies.seen_in_training(across, "PublicTest").tolist() == [True, False]
    pairs = pd.DataFrame({"i": [2, 4], "j": [9, 7]})
    assert copies.seen_in_training(across, pairs=pairs).tolist() == [True, False, False, False, True]
    assert copies.seen_in_training(across, "Test").shape == (0,)


def test_duplicate_table_by_hand(across):
    table = copies.duplicate_table(across).set_index(["kind", "usage", "other"])
    counted = table[table["faces"] > 0]
    assert counted["faces"].to_dict() == {
        ("exact", "Training", "PublicTest"): 1, ("exact", "Training", "PrivateTest"): 1,
        ("exact", "PublicTest", "Training"): 1, ("exact", "PublicTest", "PrivateTest"): 2,
        ("exact", "PrivateTest", "Training"): 1, ("exact", "PrivateTest", "PublicTest"): 2,
        ("near", "Training", "PrivateTest"): 1, ("near", "PrivateTest", "Training"): 1,
        ("near", "PrivateTest", "PrivateTest"): 2}
    assert table.loc[("near", "PrivateTest", "PrivateTest"), ["pairs", "where"]].tolist() == [1, "within"]
    assert table.loc[("exact", "PrivateTest", "Training"), ["share", "where"]].tolist() == [0.2, "across"]
    assert len(table) == 2 * 3 * 3


def test_duplicate_table_counts_all_exact_pairs():
    rng = np.random.default_rng(6)
    pixels, usage = noise(6)[rng.integers(0, 6, 40)], np.array(USAGES)[rng.integers(0, 3, 40)]
    table = copies.duplicate_table(face_set(pixels, usage=usage), pairs=pd.DataFrame({"i": [], "j": []}, dtype=int))
    table = table[table["kind"] == "exact"].set_index(["usage", "other"])
    for one in USAGES:
        for other in USAGES:
            equal = [(i, j) for i in np.flatnonzero(usage == one) for j in np.flatnonzero(usage == other)
                     if i != j and (pixels[i] == pixels[j]).all()]
            assert table.loc[(one, other), "faces"] == len({i for i, _ in equal})
            assert table.loc[(one, other), "pairs"] == len({frozenset(pair) for pair in equal})


# --- the real data set ---


def test_known_numbers_of_fer2013(fer2013):
    assert copies.copies_in_training(fer2013) == {"PublicTest": 281, "PrivateTest": 291}
    assert len(copies.conflicting_groups(fer2013.pixels, fer2013.emotion)) == 59
    assert copies.blank_faces(fer2013.pixels).sum() == 14


def test_a_third_of_fer2013_has_the_near_copies_that_a_search_of_all_faces_finds_in_it(fer2013):
    """Among all faces 12,647 pairs are found, 1,347 of them between every third face (`near_duplicates(fer2013)`).

    The search of a third measures its faces by eigenfaces of its own, so a few pairs may differ.
    """
    third = fer2013[::3]
    pairs = copies.near_duplicates(third.pixels)
    assert len(pairs) == pytest.approx(1_347, rel=0.01)
    for usage, known in {"PublicTest": 176, "PrivateTest": 153}.items():
        assert copies.seen_in_training(third, usage, pairs=pairs).sum() == pytest.approx(known, rel=0.01)
