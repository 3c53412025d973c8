import numpy as np
import pytest

from fer_utils.networks.augment import AUGMENTATIONS, Augmentation, affine_matrices, augment_faces, mixup, random_crops


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (64, 48, 48), np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_default_augmentation_changes_nothing(faces):
    np.testing.assert_array_equal(augment_faces(faces, Augmentation(), rng()), faces)
    assert augment_faces(faces, AUGMENTATIONS["none"], rng()) is faces


@pytest.mark.parametrize("name", ["project_b", "arriaga", "strong"])
def test_one_seed_gives_one_result_and_the_input_stays(name, faces):
    before = faces.copy()
    first = augment_faces(faces, AUGMENTATIONS[name], rng())
    np.testing.assert_array_equal(first, augment_faces(faces, AUGMENTATIONS[name], rng()))
    np.testing.assert_array_equal(faces, before)
    assert first.dtype == np.uint8 and first.shape == faces.shape
    assert (first != augment_faces(faces, AUGMENTATIONS[name], rng(1))).any()


def test_flip_mirrors_about_half_of_the_faces(faces):
    out = augment_faces(faces, Augmentation(flip=True), rng())
    mirrored = (out == faces[:, :, ::-1]).all((1, 2))
    assert ((out == faces).all((1, 2)) ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_shift_moves_a_point_by_at_most_its_share():
    point = np.zeros((200, 48, 48), np.uint8)
    point[:, 23:25, 23:25] = 255
    out = augment_faces(point, Augmentation(shift=0.25), rng())
    rows, columns = np.indices((48, 48))
    weight = out.sum((1, 2))
    moved = np.stack([(out * rows).sum((1, 2)) / weight, (out * columns).sum((1, 2)) / weight], axis=1) - 23.5
    assert np.abs(moved).max() <= 12.5 and np.abs(moved).max() > 9
    assert abs(moved.mean()) < 1.5


def test_matrices_have_the_drawn_size_and_angle():
    spec = Augmentation(rotation=30, zoom=(0.8, 1.25))
    linear = affine_matrices(2000, 48, spec, rng())[:, :, :2]
    zoom = np.sqrt(np.linalg.det(linear))
    angle = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert zoom.min() == pytest.approx(0.8, abs=0.01) and zoom.max() == pytest.approx(1.25, abs=0.01)
    assert np.abs(angle).max() <= 30 and np.abs(angle).max() > 28


def test_the_centre_stays_when_nothing_shifts():
    spec = Augmentation(rotation=30, shear=10, zoom=(0.8, 1.2), stretch=0.2, flip=True)
    matrices = affine_matrices(50, 48, spec, rng())
    centre = matrices @ np.array([23.5, 23.5, 1])
    np.testing.assert_allclose(centre, 23.5)


def test_brightness_moves_the_mean_and_erasing_hides_a_rectangle():
    gray = np.full((100, 48, 48), 128, np.uint8)
    bright = augment_faces(gray, Augmentation(brightness=20), rng())
    assert np.ptp(bright, axis=(1, 2)).max() == 0 and abs(int(bright.max()) - 148) <= 1
    noise = rng().integers(0, 256, (200, 48, 48), np.uint8)
    changed = (augment_faces(noise, Augmentation(erase=1), rng()) != noise).mean((1, 2))
    assert changed.min() > 0.01 and changed.max() < 0.26


def test_mixup_blends_faces_and_labels_alike():
    x = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1)
    y = np.eye(8, dtype=np.float32)
    mixed_x, mixed_y = mixup(x, y, 0.4, rng())
    np.testing.assert_allclose(mixed_y.sum(1), 1, atol=1e-6)
    # Face i has the value i, so its blended value is the blended label's mean class.
    np.testing.assert_allclose(mixed_x.ravel(), mixed_y @ np.arange(8), atol=1e-5)
    assert (mixed_y[np.arange(8), np.arange(8)] >= 0.5).all() and (mixed_y < 1).any()
    assert mixup(x, y, 0, rng())[0] is x


def test_random_crops_are_squares_of_the_face_from_all_places():
    x = np.arange(200 * 48 * 48 * 2, dtype=np.float32).reshape(200, 48, 48, 2)
    cut = random_crops(x, 46, rng())
    places = set()
    for face, square in zip(x, cut):
        [place] = [(top, left) for top in range(3) for left in range(3)
                   if np.array_equal(square, face[top:top + 46, left:left + 46])]
        places.add(place)
    assert cut.shape == (200, 46, 46, 2) and len(places) == 9
    assert random_crops(x, 0, rng()) is x
