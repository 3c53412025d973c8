"""The learning curves, read back."""

import numpy as np
import pytest

from fer_utils import plots

from .examples import drawn, make_history, title_of


def test_history_curves_and_best_epoch():
    history = make_history()
    accuracy, loss = drawn("history").axes[:2]
    by_label = {line.get_label(): line for line in accuracy.lines}
    np.testing.assert_array_equal(by_label["training"].get_ydata(), history["train_accuracy"])
    np.testing.assert_array_equal(by_label["PublicTest"].get_ydata(), history["val_accuracy"])
    np.testing.assert_array_equal(by_label["PublicTest macro F1"].get_ydata(), history["val_macro_f1"])
    assert by_label["best epoch: 8"].get_ydata()[0] == 0.6
    assert "60.0%" in accuracy.get_title() and "Training of fer_net" in title_of(accuracy)
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history["train_loss"])
    least = plots.plot_history(history.drop(columns=["val_macro_f1", "learning_rate"]), validation="test part")
    assert len(least.axes) == 2 and least.axes[0].lines[1].get_label() == "test part"


def test_history_needs_its_columns_and_an_epoch():
    with pytest.raises(ValueError, match="val_loss missing"):
        plots.plot_history(make_history().drop(columns="val_loss"))
    with pytest.raises(ValueError, match="no rows"):
        plots.plot_history(make_history(0))
