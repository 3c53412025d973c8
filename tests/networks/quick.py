"""A network and a training that take a second."""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.networks import runs, zoo

QUICK = {"model": "speck", "epochs": 3, "batch_size": 64, "learning_rate": 2e-3, "patience": 0}


def speck_network() -> zoo.Network:
    """Return the tests' network: two convolutions, BatchNorm, dropout."""
    def build(x):
        from keras import layers

        for filters in (8, 16):
            x = layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
        return layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))

    return zoo.Network(build, zoo.GRAY48, "the tests'")


def history(folder: Path) -> pd.DataFrame:
    """Return a run's history without its seconds, which are never the same."""
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


def same_result(one: Path, other: Path) -> None:
    """Assert that two run folders hold the same, to the last bit."""
    pd.testing.assert_frame_equal(history(one), history(other))
    for a, b in zip(runs.load_model(one)[0].get_weights(), runs.load_model(other)[0].get_weights()):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in other.iterdir()) == ["card.json", "history.csv", "model.keras"]
    cards = [{k: v for k, v in runs.read_card(folder).values.items() if k not in ("name", "seconds", "finished")}
             for folder in (one, other)]
    assert cards[0] == cards[1]
