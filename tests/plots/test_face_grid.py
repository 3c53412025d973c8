"""Figures made of faces, read back: which face is where, captions, frames."""

import matplotlib
import numpy as np
import pytest

from fer_utils import plots
from fer_utils.labels import EMOTIONS
from fer_utils.plots import style

from .examples import EMOTION, HEAT, PAIRS, PIXELS, USAGE, drawn, face_at, image_of


def test_faces_are_in_the_row_of_their_emotion():
    ax = plots.plot_faces(PIXELS, EMOTION, per_class=4, seed=1)
    rows = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks()))
    assert list(rows) == list(EMOTIONS)
    for label, (_, y) in enumerate(rows.items()):
        for column in range(4):
            assert face_at(ax, column * 1.06 + 0.5, y + 0.2) == 30 * label + 20
    same = plots.plot_faces(PIXELS / 255, EMOTION, per_class=4, seed=1)
    np.testing.assert_allclose(image_of(ax), image_of(same))
    assert not np.array_equal(image_of(ax), image_of(plots.plot_faces(PIXELS, EMOTION, per_class=4, seed=2)))


def test_an_absent_emotion_has_no_row():
    ax = plots.plot_faces(PIXELS[EMOTION != 2], EMOTION[EMOTION != 2], per_class=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == [e for e in EMOTIONS if e != "fear"]


def test_rgb_faces_are_drawn():
    rgb = np.repeat(PIXELS[..., None], 3, axis=-1)
    np.testing.assert_allclose(image_of(plots.plot_faces(rgb, EMOTION)), image_of(plots.plot_faces(PIXELS, EMOTION)))


@pytest.mark.parametrize("pixels, emotion, message", [
    (PIXELS[0], EMOTION, "faces must be"),
    (PIXELS.astype("int32"), EMOTION, "uint8"),
    (PIXELS / 100, EMOTION, "fractions 0 to 1"),
    (PIXELS[:0], EMOTION[:0], "no faces"),
    (PIXELS, EMOTION[:5], "one a face"),
    (PIXELS, EMOTION + 0.5, "whole numbers"),
    (PIXELS, EMOTION + 1, "0 to 6"),
])
@pytest.mark.parametrize("plot", [plots.plot_faces, plots.plot_mean_faces, plots.plot_intensity])
def test_bad_faces_and_labels_are_refused(plot, pixels, emotion, message):
    with pytest.raises(ValueError, match=message):
        plot(pixels, emotion)


def test_mean_faces_keep_the_order_of_their_brightness():
    ax = drawn("mean_faces")
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == [f"{e}\n10" for e in EMOTIONS]
    x = ax.get_xticks()
    below = [face_at(ax, place, 0.8) for place in x]
    assert below == sorted(below) and below[0] == 0, "contrast is stretched, order kept"
    with pytest.raises(ValueError, match="fear"):
        plots.plot_mean_faces(PIXELS[EMOTION != 2], EMOTION[EMOTION != 2])
    with pytest.raises(ValueError, match="gray"):
        plots.plot_mean_faces(np.repeat(PIXELS[..., None], 3, axis=-1), EMOTION)


def test_duplicate_pairs_show_labels_and_usages():
    ax = plots.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE, limit=2)
    texts = [text.get_text() for text in ax.texts]
    assert texts[:4] == [EMOTIONS[0], "Training", EMOTIONS[0], "Training"]
    assert len(texts) == 8 and "2 of 3" in ax.get_title()
    assert len(ax.patches) == 2, "only the second pair has two labels"
    across = plots.plot_duplicate_pairs(PIXELS, PAIRS[2:], EMOTION, USAGE)
    assert [text.get_text() for text in across.texts][1::2] == ["PrivateTest", "Training"]


@pytest.mark.parametrize("pairs, message", [([[0, 70]], "0 to 69"), ([[0, -1]], "0 to 69"), ([0, 1], r"\(P, 2\)"),
                                            (np.empty((0, 2), int), "at least one pair")])
def test_duplicate_pairs_must_fit_the_faces(pairs, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_duplicate_pairs(PIXELS, pairs, EMOTION, USAGE)
    with pytest.raises(ValueError, match="usage must be 70"):
        plots.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE[:3])


def test_the_original_is_first_in_its_row_of_augmented_faces():
    augmented = np.stack([np.full((4, 48, 48), 40 * (i + 1), "uint8") for i in range(3)])
    ax = plots.plot_augmentation(PIXELS[:3], augmented)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["original", "1", "2", "3", "4"]
    x = ax.get_xticks()
    for i in range(3):
        assert face_at(ax, x[0], i * 1.06 + 0.8) == 30 * EMOTION[i] + 20
        assert face_at(ax, x[4], i * 1.06 + 0.8) == 40 * (i + 1)
    one = plots.plot_augmentation(PIXELS[0], PIXELS[1:13])
    assert [text.get_text() for text in one.texts] == ["original", *map(str, range(1, 13))]
    assert len({text.xy[1] for text in one.texts}) == 2, "thirteen faces fill two rows"
    with pytest.raises(ValueError, match="K versions"):
        plots.plot_augmentation(PIXELS[:3], augmented[:2])
    with pytest.raises(ValueError, match="K versions"):
        plots.plot_augmentation(PIXELS[:3], augmented[:, :, :40])


def test_face_examples_name_truth_and_prediction():
    true, predicted = np.array([0, 3, 4]), np.array([0, 3, 6])
    ax = plots.plot_face_examples(PIXELS[true], true, predicted, [0.5, 0.99, 0.4])
    assert [text.get_text() for text in ax.texts] == ["true: angry", "pred: angry 50%", "true: happy",
                                                      "pred: happy 99%", "true: sad", "pred: neutral 40%"]
    edges = [matplotlib.colors.to_hex(frame.get_edgecolor()).upper() for frame in ax.patches]
    assert edges == [style.RIGHT, style.RIGHT, style.WRONG]
    for i in range(3):
        assert face_at(ax, i * 1.06 + 0.5, 0.8) == 30 * true[i] + 20
    assert "Faces with" in ax.get_title()
    assert plots.plot_face_examples(PIXELS[:2], true[:2], predicted[:2]).get_title().startswith("Correctly")
    assert plots.plot_face_examples(PIXELS[:1], true[2:], predicted[2:]).get_title().startswith("Wrongly")


@pytest.mark.parametrize("columns", [3, 6, 7, 8])
def test_captions_do_not_meet(columns):
    surprise = np.full(16, 5)
    for ax in (plots.plot_face_examples(PIXELS[:16], surprise, surprise, np.ones(16), columns=columns),
               plots.plot_gradcam(PIXELS[:16], HEAT[:16], surprise, surprise, np.ones(16), columns=columns)):
        ax.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.x0 < b.x1 and b.x0 < a.x1 and abs(a.y0 - b.y0) < 3
                       for i, a in enumerate(boxes) for b in boxes[:i])


def test_face_examples_without_truth():
    ax = plots.plot_face_examples(PIXELS[:3], None, EMOTION[:3])
    assert [text.get_text() for text in ax.texts] == [f"pred: {EMOTIONS[i]}" for i in range(3)]
    assert ax.get_title() == "Predicted emotions"


def test_face_examples_need_arrays_that_fit():
    with pytest.raises(ValueError, match="true must be 3"):
        plots.plot_face_examples(PIXELS[:3], EMOTION[:2], EMOTION[:3])
    with pytest.raises(ValueError, match="predicted must be 3"):
        plots.plot_face_examples(PIXELS[:3], None, EMOTION[:2])
    with pytest.raises(ValueError, match="probability must be 3"):
        plots.plot_face_examples(PIXELS[:3], None, EMOTION[:3], [0.5])
    with pytest.raises(ValueError, match="probability must be fractions"):
        plots.plot_face_examples(PIXELS[:1], None, EMOTION[:1], [50])


def test_gradcam_colours_only_where_there_is_heat():
    heat = np.zeros((2, 48, 48), "float32")
    heat[0, :, 24:] = 1
    ax = plots.plot_gradcam(PIXELS[:2], heat, EMOTION[:2], EMOTION[:2])
    image = image_of(ax)
    face, over = image[:48, :48], image[50:98, :48]
    np.testing.assert_allclose(face[:, :24], over[:, :24])
    assert np.ptp(over[:, 24:], axis=-1).min() > 0.3, "hot places are coloured"
    np.testing.assert_allclose(image[:48, 51:99], image[50:98, 51:99], err_msg="a face without heat stays as it is")
    assert [text.get_text() for text in ax.texts][:2] == ["true: angry", "pred: angry"]
    with pytest.raises(ValueError, match="heatmaps must be one a face"):
        plots.plot_gradcam(PIXELS[:2], heat[:, :40])
    with pytest.raises(ValueError, match="heatmaps must be fractions"):
        plots.plot_gradcam(PIXELS[:2], heat * 2)
