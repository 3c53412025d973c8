"""What the figures show, read back from them: numbers, names, notes; and the files they are saved as."""

import os
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_utils import paths
from fer_utils.labels import EMOTIONS, FERPLUS_VOTES
from fer_utils.plots import comparison, data, faces, network, scores, style, training

DRAWN = "drawn faces, not FER2013"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make_faces(n=70, size=48, seed=0):
    """Flat faces whose gray value tells the label, so that a place in a figure tells whose face it is."""
    emotion = np.arange(n) % 7
    pixels = np.broadcast_to((30 * emotion + 20).astype("uint8")[:, None, None], (n, size, size)).copy()
    pixels[:, : size // 2] += np.random.default_rng(seed).integers(0, 10, n).astype("uint8")[:, None, None]
    return pixels, emotion


def make_counts():
    return pd.DataFrame({"Training": [3995, 436, 4097, 7215, 4830, 3171, 4965],
                         "PublicTest": [467, 56, 496, 895, 653, 415, 607],
                         "PrivateTest": [491, 55, 528, 879, 594, 416, 626]}, index=list(EMOTIONS))


def make_confusion(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 60, (7, 7)) + np.diag(rng.integers(100, 900, 7))


def make_history(epochs=12):
    e = np.arange(1, epochs + 1)
    return pd.DataFrame({"epoch": e, "train_loss": 2 / e, "train_accuracy": 1 - 0.7 / e, "val_loss": 1.5 / e + 0.02 * e,
                         "val_accuracy": 0.6 - 0.002 * (e - 8) ** 2, "val_macro_f1": 0.55 - 0.002 * (e - 8) ** 2,
                         "learning_rate": 1e-3 * 0.8**e})


def make_models():
    columns = ["name", "accuracy", "low", "high", "clean_accuracy", "parameters", "protocol", "cpu_ms", "mflops"]
    return pd.DataFrame([("cnn3", 0.61, 0.59, 0.63, 0.60, 2.3e6, "official", 1.2, 90),
                         ("fer_net", 0.71, 0.69, 0.73, 0.70, 1.5e6, "official", 1.9, 110),
                         ("vgg16", 0.66, 0.64, 0.68, None, 33.6e6, "official", 14, 1500),
                         ("cnn5_bn", 0.8139, 0.80, 0.82, np.nan, 0.7e6, "leaky", 2.2, 120)], columns=columns)


def make_scores():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.uniform(0.3, 0.9, (7, 3)), columns=["precision", "recall", "f1"], index=list(EMOTIONS))
    table["support"] = [491, 55, 528, 879, 594, 416, 626]
    return table.assign(f1_low=table["f1"] - 0.05, f1_high=table["f1"] + 0.05)


def make_bins():
    lo = np.arange(1, 10) / 10
    return pd.DataFrame({"low": lo, "high": lo + 0.1, "n": range(9), "confidence": lo + 0.05, "accuracy": 0.8 * lo})


def make_votes():
    return pd.DataFrame(np.random.default_rng(2).integers(0, 99, (7, 10)), index=list(EMOTIONS),
                        columns=list(FERPLUS_VOTES))


def make_agreement():
    return pd.DataFrame({"agreement": np.linspace(0.13, 0.94, 8), "faces": range(50, 58)}, index=[*EMOTIONS, "all"])


def make_leak():
    return pd.DataFrame({"both_sides": [291, 4021], "test_faces": [3589, 6293], "memoriser_accuracy": [0.07, 0.62]},
                        index=["official", "leaky"])


def make_network(name="tiny"):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((12, 12, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs)))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="in_block")(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(2, 1, activation="relu")(gate)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.ReLU()(layers.Add()([layers.Multiply()([y, gate]), x]))
    x = layers.Dropout(0.25)(layers.MaxPooling2D()(x))
    x = layers.Dense(7)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Softmax()(x), name=name)


PIXELS, EMOTION = make_faces()
USAGE = np.where(np.arange(70) < 50, "Training", "PrivateTest")
PAIRS = np.array([[0, 7], [1, 9], [55, 3]])
HEAT = np.random.default_rng(3).random((70, 48, 48))

SINGLE = {
    "class_balance": lambda **k: data.plot_class_balance(make_counts(), **k),
    "faces": lambda **k: faces.plot_faces(PIXELS, EMOTION, **k),
    "mean_faces": lambda **k: faces.plot_mean_faces(PIXELS, EMOTION, **k),
    "duplicate_pairs": lambda **k: faces.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE, **k),
    "ferplus_agreement": lambda **k: data.plot_ferplus_agreement(make_agreement(), **k),
    "votes": lambda **k: data.plot_votes(make_votes(), **k),
    "augmentation": lambda **k: faces.plot_augmentation(PIXELS[:2], np.stack([PIXELS[:2]] * 5, axis=1), **k),
    "augmentation_of_one": lambda **k: faces.plot_augmentation(PIXELS[0], PIXELS[1:13], **k),
    "comparison": lambda **k: comparison.plot_comparison(make_models(), **k),
    "accuracy_vs_cost": lambda **k: comparison.plot_accuracy_vs_cost(make_models(), **k),
    "accuracy_vs_mflops": lambda **k: comparison.plot_accuracy_vs_cost(make_models(), cost="mflops", **k),
    "confusion": lambda **k: scores.plot_confusion(make_confusion(), **k),
    "confusion_normalised": lambda **k: scores.plot_confusion(make_confusion(), normalise=True, **k),
    "per_class": lambda **k: scores.plot_per_class(make_scores(), **k),
    "face_examples": lambda **k: faces.plot_face_examples(PIXELS[:9], EMOTION[:9], EMOTION[1:10], HEAT[:9, 0, 0], **k),
    "one_face": lambda **k: faces.plot_face_examples(PIXELS[5:6], EMOTION[5:6], EMOTION[5:6], np.ones(1), **k),
    "confused_pairs": lambda **k: scores.plot_confused_pairs(make_confusion(), **k),
    "gradcam": lambda **k: faces.plot_gradcam(PIXELS[:8], HEAT[:8], EMOTION[:8], EMOTION[1:9], HEAT[:8, 0, 0], **k),
    "gradcam_of_two": lambda **k: faces.plot_gradcam(PIXELS[:2], HEAT[:2], **k),
    "network": lambda **k: network.plot_network(make_network(), **k),
}
PANELS = {
    "intensity": lambda **k: data.plot_intensity(PIXELS, EMOTION, **k),
    "resampling": lambda **k: data.plot_resampling(
        make_counts()[["Training"] * 5].set_axis(["none", "over", "under", "smote", "class_weights"], axis=1), **k),
    "leak": lambda **k: data.plot_leak(make_leak(), **k),
    "history": lambda **k: training.plot_history(make_history(), name="fer_net", **k),
    "history_of_one_epoch": lambda **k: training.plot_history(make_history(1), name="fer_net", **k),
    "reliability": lambda **k: scores.plot_reliability(make_bins(), 0.082, **k),
}
EVERY = SINGLE | PANELS


def title_of(drawn):
    figure = drawn.figure
    return (figure.get_suptitle() or figure.axes[0].get_title()).replace("\n", " ")


def image_of(ax):
    return ax.images[0].get_array()


def face_at(ax, x, y):
    """The gray value shown at a place of a sheet of faces."""
    image = image_of(ax)
    left, right, bottom, top = ax.images[0].get_extent()
    return round(255 * float(image[int(y / bottom * len(image)), int(x / right * image.shape[1]), 0]))


def numbers(texts):
    return [float(text.get_text().replace(",", "").rstrip("%")) for text in texts]


@pytest.mark.parametrize("name", EVERY)
def test_every_title_ends_with_the_note(name):
    assert title_of(EVERY[name](note=DRAWN)).endswith(f"({DRAWN})")
    assert "(" not in title_of(EVERY[name]())


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_clipped(name):
    figure = EVERY[name](note=DRAWN).figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [figure._suptitle] if figure.get_suptitle() else []
    for ax in [a for parent in figure.axes for a in (parent, *parent.child_axes)]:
        texts += [ax.title, *ax.texts]
        texts += ax.get_legend().get_texts() if ax.get_legend() else []
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())
            texts += [axis.label] + [tick.label1 if tick.label1.get_visible() else tick.label2
                                     for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for text in texts:
        if text.get_visible() and text.get_text():
            box = text.get_window_extent(renderer)
            assert box.x0 > -1 and box.y0 > -1, text
            assert box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, text


@pytest.mark.parametrize("name", EVERY)
def test_figures_fit_a_page_and_leave_the_style_alone(name):
    before = dict(matplotlib.rcParams)
    figure = EVERY[name](note=DRAWN).figure
    assert dict(matplotlib.rcParams) == before
    assert figure.get_figwidth() <= style.WIDTH + 0.01 and figure.get_dpi() == style.STYLE["figure.dpi"]
    assert figure.get_constrained_layout()


@pytest.mark.parametrize("name", SINGLE)
def test_draws_into_the_axes_given(name):
    figure, axes = plt.subplots(1, 2)
    assert SINGLE[name](ax=axes[1], note=DRAWN) is axes[1]
    assert plt.get_fignums() == [figure.number]
    assert not axes[0].has_data()


@pytest.mark.parametrize("name", PANELS)
def test_figures_of_panels_are_returned(name):
    assert isinstance(PANELS[name](), plt.Figure)


@pytest.mark.parametrize("name", ["class_balance", "ferplus_agreement", "votes", "confusion", "confusion_normalised",
                                  "per_class", "confused_pairs", "accuracy_vs_cost"])
def test_axes_are_labelled(name):
    ax = SINGLE[name]()
    assert ax.get_xlabel() and ax.get_ylabel()


def test_importing_plots_does_not_load_tensorflow():
    code = "import sys, fer_utils.plots; sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'jax')))"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "MPLBACKEND": "Agg"}).returncode == 0


# --- 01 ---


def test_class_balance_bars_are_the_counts():
    counts = make_counts()
    ax = data.plot_class_balance(counts.iloc[::-1])  # rows in another order must not change what is drawn
    for bars, usage in zip(ax.containers, counts.columns):
        assert [bar.get_height() for bar in bars] == list(counts[usage])
    assert [text.get_text().replace(",", "") for text in ax.texts] == [str(n) for u in counts for n in counts[u]]
    ticks = [label.get_text().split("\n") for label in ax.get_xticklabels()]
    assert [tick[0] for tick in ticks] == list(EMOTIONS)
    assert ticks[3][1] == "25.0%" and ticks[1][1] == "1.5%"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Training", "PublicTest", "PrivateTest"]


def test_class_balance_errors():
    with pytest.raises(ValueError, match="sad missing"):
        data.plot_class_balance(make_counts().drop(index="sad"))
    with pytest.raises(ValueError, match="no faces"):
        data.plot_class_balance(make_counts() * 0)


def test_faces_stand_in_the_row_of_their_emotion():
    ax = faces.plot_faces(PIXELS, EMOTION, per_class=4, seed=1)
    rows = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks()))
    assert list(rows) == list(EMOTIONS)
    for label, (_, y) in enumerate(rows.items()):
        for column in range(4):
            assert face_at(ax, column * 1.06 + 0.5, y + 0.2) == 30 * label + 20
    same = faces.plot_faces(PIXELS / 255, EMOTION, per_class=4, seed=1)
    np.testing.assert_allclose(image_of(ax), image_of(same))
    assert not np.array_equal(image_of(ax), image_of(faces.plot_faces(PIXELS, EMOTION, per_class=4, seed=2)))


def test_an_absent_emotion_has_no_row():
    ax = faces.plot_faces(PIXELS[EMOTION != 2], EMOTION[EMOTION != 2], per_class=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == [e for e in EMOTIONS if e != "fear"]


def test_rgb_faces_are_drawn():
    rgb = np.repeat(PIXELS[..., None], 3, axis=-1)
    np.testing.assert_allclose(image_of(faces.plot_faces(rgb, EMOTION)), image_of(faces.plot_faces(PIXELS, EMOTION)))


@pytest.mark.parametrize("pixels, emotion, message", [
    (PIXELS[0], EMOTION, "faces must be"),
    (PIXELS.astype("int32"), EMOTION, "uint8"),
    (PIXELS / 100, EMOTION, "fractions 0 to 1"),
    (PIXELS[:0], EMOTION[:0], "no faces"),
    (PIXELS, EMOTION[:5], "one a face"),
    (PIXELS, EMOTION + 0.5, "whole numbers"),
    (PIXELS, EMOTION + 1, "0 to 6"),
])
@pytest.mark.parametrize("plot", [faces.plot_faces, faces.plot_mean_faces, data.plot_intensity])
def test_bad_faces(plot, pixels, emotion, message):
    with pytest.raises(ValueError, match=message):
        plot(pixels, emotion)


def test_mean_faces():
    ax = faces.plot_mean_faces(PIXELS, EMOTION)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == [f"{e}\n10" for e in EMOTIONS]
    x = ax.get_xticks()
    below = [face_at(ax, place, 0.8) for place in x]
    assert below == sorted(below) and below[0] == 0, "contrast is stretched, order kept"
    with pytest.raises(ValueError, match="fear"):
        faces.plot_mean_faces(PIXELS[EMOTION != 2], EMOTION[EMOTION != 2])
    with pytest.raises(ValueError, match="gray"):
        faces.plot_mean_faces(np.repeat(PIXELS[..., None], 3, axis=-1), EMOTION)


def test_duplicate_pairs_show_labels_and_usages():
    ax = faces.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE, limit=2)
    texts = [text.get_text() for text in ax.texts]
    assert texts[:4] == [EMOTIONS[0], "Training", EMOTIONS[0], "Training"]
    assert len(texts) == 8 and "2 of 3" in ax.get_title()
    assert len(ax.patches) == 2, "only the second pair has two labels"
    across = faces.plot_duplicate_pairs(PIXELS, PAIRS[2:], EMOTION, USAGE)
    assert [text.get_text() for text in across.texts][1::2] == ["PrivateTest", "Training"]


@pytest.mark.parametrize("pairs, message", [([[0, 70]], "0 to 69"), ([[0, -1]], "0 to 69"), ([0, 1], r"\(P, 2\)"),
                                            (np.empty((0, 2), int), "at least one pair")])
def test_duplicate_pairs_errors(pairs, message):
    with pytest.raises(ValueError, match=message):
        faces.plot_duplicate_pairs(PIXELS, pairs, EMOTION, USAGE)
    with pytest.raises(ValueError, match="usage must be 70"):
        faces.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE[:3])


def test_intensity_marks_the_median_of_all():
    figure = data.plot_intensity(PIXELS, EMOTION)
    flat = PIXELS.reshape(70, -1)
    for ax, values in zip(figure.axes, (flat.mean(axis=1), flat.std(axis=1))):
        dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert dotted[0].get_xdata()[0] == pytest.approx(np.median(values))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(EMOTIONS)


def test_ferplus_agreement():
    table = make_agreement()
    ax = data.plot_ferplus_agreement(table)
    assert [bar.get_width() for bar in ax.containers[0]] == list(table["agreement"])
    assert ax.texts[0].get_text() == "13.0% of 50"
    table.iloc[1] = [np.nan, 0]
    assert data.plot_ferplus_agreement(table.astype({"faces": int})).texts[1].get_text() == "no faces"
    with pytest.raises(ValueError, match="fractions"):
        data.plot_ferplus_agreement(make_agreement() * 100)
    with pytest.raises(ValueError, match="faces missing"):
        data.plot_ferplus_agreement(table[["agreement"]])


def test_votes_cells_are_row_percentages():
    votes = make_votes()
    ax = data.plot_votes(votes)
    shares = votes.to_numpy() / votes.to_numpy().sum(axis=1, keepdims=True)
    assert numbers(ax.texts) == pytest.approx(100 * shares.ravel(), abs=0.51)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(FERPLUS_VOTES)


# --- 02 ---


def test_resampling_panels():
    counts = make_counts()[["Training", "PublicTest"]].set_axis(["none", "over"], axis=1)
    figure = data.plot_resampling(counts)
    assert [ax.get_title() for ax in figure.axes] == ["none: 28,709", "over: 3,589"]
    for ax, method in zip(figure.axes, counts):
        assert [bar.get_width() for bar in ax.containers[0]] == list(counts[method])
        assert numbers(ax.texts) == list(counts[method])


def test_augmentation_rows():
    augmented = np.stack([np.full((4, 48, 48), 40 * (i + 1), "uint8") for i in range(3)])
    ax = faces.plot_augmentation(PIXELS[:3], augmented)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["original", "1", "2", "3", "4"]
    x = ax.get_xticks()
    for i in range(3):
        assert face_at(ax, x[0], i * 1.06 + 0.8) == 30 * EMOTION[i] + 20
        assert face_at(ax, x[4], i * 1.06 + 0.8) == 40 * (i + 1)
    one = faces.plot_augmentation(PIXELS[0], PIXELS[1:13])
    assert [text.get_text() for text in one.texts] == ["original", *map(str, range(1, 13))]
    assert len({text.xy[1] for text in one.texts}) == 2, "thirteen faces stand in two rows"
    with pytest.raises(ValueError, match="K versions"):
        faces.plot_augmentation(PIXELS[:3], augmented[:2])
    with pytest.raises(ValueError, match="K versions"):
        faces.plot_augmentation(PIXELS[:3], augmented[:, :, :40])


def test_leak_shows_the_exhibit_hatched():
    figure = data.plot_leak(make_leak())
    left, right = figure.axes
    assert [bar.get_height() for bar in left.containers[0]] == pytest.approx([291 / 3589, 4021 / 6293])
    assert [bar.get_height() for bar in right.containers[0]] == [0.07, 0.62]
    assert left.texts[0].get_text() == "8.1%\n291 of 3,589"
    for ax in (left, right):
        assert [bool(bar.get_hatch()) for bar in ax.containers[0]] == [False, True]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["official", "leaky\n(exhibit)"]
    with pytest.raises(ValueError, match="memoriser_accuracy"):
        data.plot_leak(make_leak().assign(memoriser_accuracy=62.0))


# --- 03 ---


def test_history_curves_and_best_epoch():
    history = make_history()
    accuracy, loss = training.plot_history(history, "cnn3").axes[:2]
    by_label = {line.get_label(): line for line in accuracy.lines}
    np.testing.assert_array_equal(by_label["training"].get_ydata(), history["train_accuracy"])
    np.testing.assert_array_equal(by_label["PublicTest"].get_ydata(), history["val_accuracy"])
    np.testing.assert_array_equal(by_label["PublicTest macro F1"].get_ydata(), history["val_macro_f1"])
    assert by_label["best epoch: 8"].get_ydata()[0] == 0.6
    assert "60.0%" in accuracy.get_title() and "Training of cnn3" in title_of(accuracy)
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history["train_loss"])
    least = training.plot_history(history.drop(columns=["val_macro_f1", "learning_rate"]), validation="test part")
    assert len(least.axes) == 2 and least.axes[0].lines[1].get_label() == "test part"


def test_history_errors():
    with pytest.raises(ValueError, match="val_loss missing"):
        training.plot_history(make_history().drop(columns="val_loss"))
    with pytest.raises(ValueError, match="no rows"):
        training.plot_history(make_history(0))


def test_network_boxes():
    model = make_network()
    ax = network.plot_network(model)
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    heads, sizes = texts[::2], texts[1::2]
    assert heads == ["input", "conv 3×3 · BN · ReLU", "conv 3×3 · BN", "squeeze-excite ×", "+ · ReLU",
                     "max pool 2×2 · dropout 0.25", "flatten", "dense · softmax"]
    assert [size.split()[0] for size in sizes] == ["12×12×1", *["12×12×4"] * 4, "6×6×4", "144", "7"]
    counted = sum(int(size.split()[1].replace(",", "")) for size in sizes if "parameters" in size)
    assert counted == model.count_params()
    assert f"{counted:,} parameters" in ax.get_title()
    assert "short cut" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_network_short_cuts_name_their_layers():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    side = layers.BatchNormalization()(layers.Conv2D(8, 1, strides=2)(x))
    x = layers.SeparableConv2D(8, 3, padding="same")(layers.ReLU()(x))
    x = layers.Add()([layers.MaxPooling2D()(x), side])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    texts = [text.get_text() for text in network.plot_network(model).texts]
    assert "conv 1×1 /2 · BN" in texts
    assert "sep. conv 3×3" in texts and "global average pool" in texts


@pytest.mark.parametrize("depth", [2, 15, 30])
def test_network_of_any_depth_wraps_into_columns(depth):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 1)), *[layers.Conv2D(3, 3, padding="same") for _ in range(depth)],
                              layers.Flatten(), layers.Dense(7, activation="softmax")])
    ax = network.plot_network(model, rows=12)
    boxes = np.array([(box.get_x(), box.get_y()) for box in ax.patches])
    assert len(boxes) == depth + 3
    assert len(set(boxes[:, 0])) == -(-(depth + 3) // 12)
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_residual_networks_break_columns_between_blocks():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for _ in range(9):
        y = layers.Conv2D(3, 3, padding="same")(layers.Conv2D(3, 3, padding="same")(x))
        x = layers.ReLU()(layers.Add()([x, y]))
    ax = network.plot_network(keras.Model(inputs, x), rows=10)
    boxes = np.array([(box.get_x(), box.get_y()) for box in ax.patches])
    heads = [text.get_text() for text in ax.texts if text.get_text()][::2]
    ends = np.flatnonzero(np.diff(boxes[:, 0]) > 0)
    assert len(ends) >= 2 and all(heads[i] == "+ · ReLU" for i in ends)


def test_network_errors():
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError, match="built"):
        network.plot_network(keras.Sequential([keras.layers.Dense(3)], name="unbuilt"))
    inputs = keras.Input((12, 12, 1))
    with pytest.raises(ValueError, match="'outer' is not flat.*'inner'"):
        network.plot_network(keras.Model(inputs, make_network("inner")(inputs), name="outer"))


# --- 04 ---


def test_published_marks():
    marks = {mark.name: (mark.accuracy, mark.margin) for mark in comparison.PUBLISHED_MARKS}
    assert marks["human"] == (0.65, 0.05)
    assert [accuracy for accuracy, _ in marks.values()] == [0.65, 0.66, 0.7116, 0.7328, 0.7414, 0.7442, 0.7682]


def test_comparison_ranks_official_runs_and_sets_leaky_ones_apart():
    ax = comparison.plot_comparison(make_models())
    ax.figure.canvas.draw()
    names = [label.get_text() for label in ax.get_yticklabels()]
    own = names[names.index("Official split"):]
    assert own == ["Official split", "fer_net (1.5 M)", "vgg16 (34 M)", "cnn3 (2.3 M)", "Exhibit: leaky split",
                   "cnn5_bn (0.7 M)"]
    assert names[1] == "7-network ensemble (Pham et al. 2021)"
    values = [label.get_text() for label in ax.child_axes[0].get_yticklabels()]
    assert values[names.index("fer_net (1.5 M)")] == "71.0% [69.0, 73.0]   70.0%"
    assert values[names.index("vgg16 (34 M)")].endswith("–")

    dots = [line for line in ax.lines if line.get_marker() == "o"]
    points = {(line.get_xdata()[0], line.get_ydata()[0]): line for line in dots}
    assert points[0.71, names.index("fer_net (1.5 M)")].get_markerfacecolor() == style.BLUE
    assert points[0.8139, names.index("cnn5_bn (0.7 M)")].get_markerfacecolor() == "white"
    assert [bool(bar.get_hatch()) for bars in ax.containers for bar in bars] == [True]
    clean = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert sorted(x for x in clean if x == x) == [0.6, 0.7]
    hollow = [line.get_ydata()[0] for line in ax.lines
              if line.get_marker() == "D" and line.get_markerfacecolor() == "white"]
    assert hollow == [names.index("cnn5_bn (0.7 M)")], "an exhibit's faces never seen are another mix"
    dashed = sorted(line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--")
    assert dashed == [mark.accuracy for mark in comparison.PUBLISHED_MARKS]


def test_comparison_errors():
    with pytest.raises(ValueError, match="0.65, not 65"):
        comparison.plot_comparison(make_models().assign(accuracy=65))
    with pytest.raises(ValueError, match="official or leaky, got other"):
        comparison.plot_comparison(make_models().assign(protocol="other"))
    with pytest.raises(ValueError, match="parameters missing"):
        comparison.plot_comparison(make_models().drop(columns="parameters"))
    with pytest.raises(ValueError, match="no rows"):
        comparison.plot_comparison(make_models()[:0])


@pytest.mark.parametrize("cost", ["cpu_ms", "mflops"])
def test_accuracy_vs_cost(cost):
    table = make_models()
    ax = comparison.plot_accuracy_vs_cost(table, cost=cost)
    points = ax.collections[0].get_offsets()
    official = table[table["protocol"] == "official"].sort_values(cost)
    np.testing.assert_allclose(points, official[[cost, "accuracy"]])
    assert list(np.argsort(ax.collections[0].get_sizes())) == list(np.argsort(official["parameters"]))
    assert list(ax.lines[0].get_xdata()) == list(official[cost][:2]), "vgg16 is dearer and worse than fer_net"
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert sorted(text.get_text() for text in ax.texts) == sorted(official["name"])
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_accuracy_vs_cost_labels_of_close_points_do_not_meet():
    table = pd.DataFrame({"name": [f"network number {i}" for i in range(5)], "parameters": 1e6,
                          "accuracy": [0.600, 0.601, 0.602, 0.65, 0.55], "cpu_ms": [1.0, 1.01, 1.02, 2, 0.5]})
    ax = comparison.plot_accuracy_vs_cost(table)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_accuracy_vs_cost_labels_have_no_other_point_between():
    table = pd.DataFrame([("cnn3", 0.6188, 154.7, 2.3e6), ("cnn3, project_b", 0.6169, 154.7, 2.3e6),
                          ("cnn5_bn", 0.6127, 196.5, 7e5), ("cnn5_bn, over-sampled", 0.6099, 196.5, 7e5),
                          ("fer_net", 0.7216, 222.7, 2.6e6), ("mini_xception", 0.6439, 11, 5.8e4),
                          ("cnn4_wide", 0.5848, 581, 4.5e6), ("vgg16", 0.5965, 1441.9, 3.4e7)],
                         columns=["name", "accuracy", "mflops", "parameters"])
    ax = comparison.plot_accuracy_vs_cost(table, cost="mflops")
    ax.figure.canvas.draw()
    markers = ax.collections[0]
    drawn = pd.DataFrame(markers.get_offsets(), columns=["mflops", "accuracy"])
    drawn["radius"] = np.sqrt(markers.get_sizes() / np.pi) * ax.figure.dpi / 72
    drawn = drawn.merge(table, on=["mflops", "accuracy"])
    drawn[["px", "py"]] = ax.transData.transform(drawn[["mflops", "accuracy"]])
    for text in ax.texts:
        box, own = text.get_window_extent(), drawn[drawn["name"] == text.get_text()].iloc[0]
        x, y = min(max(own.px, box.x0), box.x1), min(max(own.py, box.y0), box.y1)
        gaps = np.hypot(drawn["px"] - x, drawn["py"] - y) - drawn["radius"]
        assert gaps[own.name] <= gaps.min() + 2, (text.get_text(), gaps)


def test_accuracy_vs_cost_errors():
    with pytest.raises(ValueError, match="positive"):
        comparison.plot_accuracy_vs_cost(make_models().assign(cpu_ms=0))
    with pytest.raises(ValueError, match="gpu_ms missing"):
        comparison.plot_accuracy_vs_cost(make_models(), cost="gpu_ms")
    with pytest.raises(ValueError, match="no rows"):
        comparison.plot_accuracy_vs_cost(make_models().assign(protocol="leaky"))


# --- 05 ---


def test_confusion_cells_are_the_matrix():
    matrix = make_confusion()
    ax = scores.plot_confusion(matrix)
    assert numbers(ax.texts) == matrix.ravel().tolist()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(EMOTIONS)
    assert ax.get_ylabel() == "true emotion" and ax.get_xlabel() == "predicted emotion"
    assert f"{np.trace(matrix) / matrix.sum():.1%}" in ax.get_title()


def test_confusion_in_percent():
    matrix = make_confusion()
    matrix[1] = 0
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    assert numbers(scores.plot_confusion(matrix, normalise=True).texts) == pytest.approx(shares.ravel(), abs=0.51)


def test_numbers_in_cells_stand_out():
    """At least 4.5 : 1 between a number and its cell, as the WCAG ask of text."""
    ax = scores.plot_confusion(np.arange(49).reshape(7, 7))

    def luminance(colour):
        c = np.array(matplotlib.colors.to_rgb(colour))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for text, cell in zip(ax.texts, ax.collections[0].get_facecolors()):
        low, high = sorted([luminance(text.get_color()), luminance(cell)])
        assert (high + 0.05) / (low + 0.05) > 4.5


@pytest.mark.parametrize("matrix, message", [(np.ones((7, 6)), "7 × 7"), (np.ones(49), "7 × 7"),
                                             (np.full((7, 7), 0.5), "counts"), (-np.ones((7, 7)), "counts")])
@pytest.mark.parametrize("plot", [scores.plot_confusion, scores.plot_confused_pairs])
def test_confusion_errors(plot, matrix, message):
    with pytest.raises(ValueError, match=message):
        plot(matrix)


def test_per_class_scores_and_intervals():
    table = make_scores()
    ax = scores.plot_per_class(table)
    bars = [container for container in ax.containers]
    for container, score in zip(bars, ("precision", "recall", "f1")):
        assert [bar.get_height() for bar in container] == list(table[score])
    assert numbers(ax.texts[14:]) == pytest.approx(100 * table["f1"], abs=0.51)
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, table[["f1_low", "f1_high"]])
    assert ax.get_xticklabels()[1].get_text() == "disgust\n55 faces"
    assert "intervals" in ax.get_title()
    assert "intervals" not in scores.plot_per_class(table[["precision", "recall", "f1"]]).get_title()
    with pytest.raises(ValueError, match="f1 missing"):
        scores.plot_per_class(table.drop(columns="f1"))
    with pytest.raises(ValueError, match="recall must be fractions"):
        scores.plot_per_class(table.assign(recall=60))


def test_reliability_bars():
    bins = make_bins()
    ax, below = scores.plot_reliability(bins, 0.082).axes
    assert [bar.get_height() for bar in ax.containers[0]] == list(bins["accuracy"])
    tops = [bar.get_y() + bar.get_height() for bar in ax.containers[1]]
    assert tops == pytest.approx(list(bins["confidence"]))
    assert [bar.get_height() for bar in below.containers[0]] == list(range(9))
    assert "8.2%" in ax.get_title()
    with pytest.raises(ValueError, match="ece"):
        scores.plot_reliability(bins, 8.2)
    with pytest.raises(ValueError, match="high missing"):
        scores.plot_reliability(bins.drop(columns="high"), 0.1)


def test_face_examples_name_truth_and_prediction():
    true, predicted = np.array([0, 3, 4]), np.array([0, 3, 6])
    ax = faces.plot_face_examples(PIXELS[true], true, predicted, [0.5, 0.99, 0.4])
    assert [text.get_text() for text in ax.texts] == ["true: angry", "pred: angry 50%", "true: happy",
                                                      "pred: happy 99%", "true: sad", "pred: neutral 40%"]
    edges = [matplotlib.colors.to_hex(frame.get_edgecolor()).upper() for frame in ax.patches]
    assert edges == [style.RIGHT, style.RIGHT, style.WRONG]
    for i in range(3):
        assert face_at(ax, i * 1.06 + 0.5, 0.8) == 30 * true[i] + 20
    assert "Faces with" in ax.get_title()
    assert faces.plot_face_examples(PIXELS[:2], true[:2], predicted[:2]).get_title().startswith("Correctly")
    assert faces.plot_face_examples(PIXELS[:1], true[2:], predicted[2:]).get_title().startswith("Wrongly")


@pytest.mark.parametrize("columns", [3, 6, 7, 8])
def test_captions_do_not_meet(columns):
    surprise = np.full(16, 5)
    for ax in (faces.plot_face_examples(PIXELS[:16], surprise, surprise, np.ones(16), columns=columns),
               faces.plot_gradcam(PIXELS[:16], HEAT[:16], surprise, surprise, np.ones(16), columns=columns)):
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.x0 < b.x1 and b.x0 < a.x1 and abs(a.y0 - b.y0) < 3
                       for i, a in enumerate(boxes) for b in boxes[:i])


def test_face_examples_without_truth():
    ax = faces.plot_face_examples(PIXELS[:3], None, EMOTION[:3])
    assert [text.get_text() for text in ax.texts] == [f"pred: {EMOTIONS[i]}" for i in range(3)]
    assert ax.get_title() == "Predicted emotions"


def test_face_examples_errors():
    with pytest.raises(ValueError, match="true must be 3"):
        faces.plot_face_examples(PIXELS[:3], EMOTION[:2], EMOTION[:3])
    with pytest.raises(ValueError, match="predicted must be 3"):
        faces.plot_face_examples(PIXELS[:3], None, EMOTION[:2])
    with pytest.raises(ValueError, match="probability must be 3"):
        faces.plot_face_examples(PIXELS[:3], None, EMOTION[:3], [0.5])
    with pytest.raises(ValueError, match="probability must be fractions"):
        faces.plot_face_examples(PIXELS[:1], None, EMOTION[:1], [50])


def test_confused_pairs_are_the_largest_mistakes():
    matrix = np.diag([100] * 7)
    matrix[2, 4], matrix[6, 4], matrix[0, 1] = 60, 30, 10
    ax = scores.plot_confused_pairs(matrix)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fear → sad", "neutral → sad", "angry → disgust"]
    assert [bar.get_width() for bar in ax.containers[0]] == [60, 30, 10]
    assert ax.texts[0].get_text() == "60 (38% of fear)"
    assert len(scores.plot_confused_pairs(matrix, top=2).containers[0]) == 2
    with pytest.raises(ValueError, match="no mistake"):
        scores.plot_confused_pairs(np.diag([5] * 7))


def test_gradcam_colours_only_where_there_is_heat():
    heat = np.zeros((2, 48, 48), "float32")
    heat[0, :, 24:] = 1
    ax = faces.plot_gradcam(PIXELS[:2], heat, EMOTION[:2], EMOTION[:2])
    image = image_of(ax)
    face, over = image[:48, :48], image[50:98, :48]
    np.testing.assert_allclose(face[:, :24], over[:, :24])
    assert np.ptp(over[:, 24:], axis=-1).min() > 0.3, "hot places are coloured"
    np.testing.assert_allclose(image[:48, 51:99], image[50:98, 51:99], err_msg="a face without heat stays as it is")
    assert [text.get_text() for text in ax.texts][:2] == ["true: angry", "pred: angry"]
    with pytest.raises(ValueError, match="heatmaps must be one a face"):
        faces.plot_gradcam(PIXELS[:2], heat[:, :40])
    with pytest.raises(ValueError, match="heatmaps must be fractions"):
        faces.plot_gradcam(PIXELS[:2], heat * 2)


# --- Files ---


def test_save_figure_writes_png_and_pdf(tmp_path):
    ax = SINGLE["confusion"]()
    png, pdf = style.save_figure(ax, "05_confusion", tmp_path / "new")
    assert (png, pdf) == (tmp_path / "new" / "05_confusion.png", tmp_path / "new" / "05_confusion.pdf")
    with Image.open(png) as image:
        assert image.size == tuple((ax.figure.get_size_inches() * 150).astype(int))
        assert "Software" not in image.info
    assert pdf.read_bytes().startswith(b"%PDF") and b"CreationDate" not in pdf.read_bytes()
    assert sorted(os.listdir(tmp_path / "new")) == ["05_confusion.pdf", "05_confusion.png"]


@pytest.mark.parametrize("name", ["faces", "history", "gradcam"])
def test_saved_files_are_the_same_bytes_each_time(name, tmp_path):
    for folder in ("a", "b"):
        style.save_figure(EVERY[name](note=DRAWN), name, tmp_path / folder)
    for suffix in ("png", "pdf"):
        assert (tmp_path / "a" / f"{name}.{suffix}").read_bytes() == (tmp_path / "b" / f"{name}.{suffix}").read_bytes()


def test_save_figure_goes_to_the_figures_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    png, _ = style.save_figure(PANELS["leak"](), "02_leak")
    assert png.parent == tmp_path / "figures"


def test_save_figure_is_whole_or_not_at_all(tmp_path, monkeypatch):
    png, _ = style.save_figure(SINGLE["confusion"](), "figure", tmp_path)
    before = png.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        style.save_figure(SINGLE["class_balance"](), "figure", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["figure.pdf", "figure.png"]
    assert png.read_bytes() == before


def test_large_pngs_are_reduced_to_256_colours(tmp_path):
    _, ax = plt.subplots(figsize=(5, 5))
    ax.imshow(np.random.default_rng(0).random((1500, 1500)), cmap="viridis", interpolation="nearest")
    png, _ = style.save_figure(ax, "noise", tmp_path)
    with Image.open(png) as image:
        assert image.mode == "P" and image.size == (750, 750) and round(image.info["dpi"][0]) == 150
    assert png.stat().st_size < style.MAX_PNG


def test_save_figure_refuses_large_pngs_and_odd_names(tmp_path):
    _, ax = plt.subplots(figsize=(8, 8))
    ax.imshow(np.random.default_rng(0).random((1200, 1200)), interpolation="nearest")
    with pytest.raises(ValueError, match="draw fewer"):
        style.save_figure(ax, "noise", tmp_path)
    for name in ("a/b", "../a", "a.png", "", "a b"):
        with pytest.raises(ValueError, match="figure name"):
            style.save_figure(ax, name, tmp_path)
    assert not os.listdir(tmp_path)


def test_real_faces_fit_the_size_limit(tmp_path):
    """A sheet of noisy, full-contrast faces is the largest figure there is."""
    pixels = np.random.default_rng(0).integers(0, 256, (140, 12, 12)).astype("uint8").repeat(4, 1).repeat(4, 2)
    png, _ = style.save_figure(faces.plot_faces(pixels, np.arange(140) % 7), "faces", tmp_path)
    assert png.stat().st_size < style.MAX_PNG
