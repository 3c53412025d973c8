"""What the figures are drawn from here, every figure drawn once, and how to read figures back."""

import functools

import numpy as np
import pandas as pd
import pytest

from fer_utils import plots
from fer_utils.labels import EMOTIONS, FERPLUS_VOTES

DRAWN = "drawn faces, not FER2013"


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


@functools.cache
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


def make_event_shares():
    raw, corrected = np.linspace(0.05, 0.35, 8), np.linspace(0.3, 0.1, 8)
    return pd.DataFrame({"raw": raw, "raw_low": raw - 0.03, "raw_high": raw + 0.03, "corrected": corrected,
                         "corrected_low": corrected - 0.06, "corrected_high": corrected + 0.06},
                        index=[*EMOTIONS, "valence: positive"])


def make_over_time(periods=5):
    return pd.DataFrame(np.random.default_rng(4).integers(0, 30, (periods, 7)), columns=list(EMOTIONS),
                        index=pd.date_range("2024-05-01 18:00", periods=periods, freq="10min"))


def make_by_source():
    table = make_over_time(2).set_axis(["hall $1 and $2.mp4", "a folder with a long name/door.mp4"])
    return table.assign(participants=table.sum(axis=1))


def make_correction():
    return pd.DataFrame({"raw_error": [0.3, 0.1, 0.2], "corrected_error": [0.05, 0.02, 0.04]})


PIXELS, EMOTION = make_faces()
USAGE = np.where(np.arange(70) < 50, "Training", "PrivateTest")
PAIRS = np.array([[0, 7], [1, 9], [55, 3]])
HEAT = np.random.default_rng(3).random((70, 48, 48))

SINGLE = {
    "class_balance": lambda **k: plots.plot_class_balance(make_counts(), **k),
    "faces": lambda **k: plots.plot_faces(PIXELS, EMOTION, **k),
    "mean_faces": lambda **k: plots.plot_mean_faces(PIXELS, EMOTION, **k),
    "duplicate_pairs": lambda **k: plots.plot_duplicate_pairs(PIXELS, PAIRS, EMOTION, USAGE, **k),
    "ferplus_agreement": lambda **k: plots.plot_ferplus_agreement(make_agreement(), **k),
    "votes": lambda **k: plots.plot_votes(make_votes(), **k),
    "augmentation": lambda **k: plots.plot_augmentation(PIXELS[:2], np.stack([PIXELS[:2]] * 5, axis=1), **k),
    "augmentation_of_one": lambda **k: plots.plot_augmentation(PIXELS[0], PIXELS[1:13], **k),
    "comparison": lambda **k: plots.plot_comparison(make_models(), **k),
    "accuracy_vs_cost": lambda **k: plots.plot_accuracy_vs_cost(make_models(), **k),
    "accuracy_vs_mflops": lambda **k: plots.plot_accuracy_vs_cost(make_models(), cost="mflops", **k),
    "confusion": lambda **k: plots.plot_confusion(make_confusion(), **k),
    "confusion_normalised": lambda **k: plots.plot_confusion(make_confusion(), normalise=True, **k),
    "per_class": lambda **k: plots.plot_per_class(make_scores(), **k),
    "face_examples": lambda **k: plots.plot_face_examples(PIXELS[:9], EMOTION[:9], EMOTION[1:10], HEAT[:9, 0, 0], **k),
    "one_face": lambda **k: plots.plot_face_examples(PIXELS[5:6], EMOTION[5:6], EMOTION[5:6], np.ones(1), **k),
    "confused_pairs": lambda **k: plots.plot_confused_pairs(make_confusion(), **k),
    "gradcam": lambda **k: plots.plot_gradcam(PIXELS[:8], HEAT[:8], EMOTION[:8], EMOTION[1:9], HEAT[:8, 0, 0], **k),
    "gradcam_of_two": lambda **k: plots.plot_gradcam(PIXELS[:2], HEAT[:2], **k),
    "network": lambda **k: plots.plot_network(make_network(), **k),
    "event_shares": lambda **k: plots.plot_shares(make_event_shares(), **k),
    "event_over_time": lambda **k: plots.plot_over_time(make_over_time(), **k),
    "event_by_source": lambda **k: plots.plot_by_source(make_by_source(), **k),
    "event_correction": lambda **k: plots.plot_correction(make_correction(), **k),
}
PANELS = {
    "intensity": lambda **k: plots.plot_intensity(PIXELS, EMOTION, **k),
    "resampling": lambda **k: plots.plot_resampling(
        make_counts()[["Training"] * 5].set_axis(["none", "over", "under", "smote", "class_weights"], axis=1), **k),
    "leak": lambda **k: plots.plot_leak(make_leak(), **k),
    "history": lambda **k: plots.plot_history(make_history(), name="fer_net", **k),
    "history_of_one_epoch": lambda **k: plots.plot_history(make_history(1), name="fer_net", **k),
    "reliability": lambda **k: plots.plot_reliability(make_bins(), 0.082, **k),
}
EVERY = SINGLE | PANELS


@functools.cache
def drawn(name):
    """Return a figure of `EVERY` with a note, drawn once for all tests that only look at it."""
    return EVERY[name](note=DRAWN)


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
