"""The learning curves, read back."""

import matplotlib.pyplot as plt
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
    assert len(least.axes) == 2, "no axis for the learning rate"
    assert len(plots.plot_history(history.assign(learning_rate=1e-4)).axes) == 2, "nor for one that is constant"
    assert least.axes[0].lines[1].get_label() == "test part"


def test_live_curves_are_one_figure_and_one_line_changed_in_place(monkeypatch):
    shown = []

    class Handle:
        def __init__(self, place):
            self.place = place

        def update(self, content, raw=False):
            shown[self.place] = content

    def display(content, display_id, raw=False):
        shown.append(content)
        return Handle(len(shown) - 1)

    monkeypatch.setattr("IPython.display.display", display)
    rows = make_history(3).assign(seconds=20.0).to_dict("records")
    live = plots.LiveHistory("cnn3", validation="leaky test", note="drawn faces")
    live([], "epoch 1: 40%")
    assert shown == [{"text/plain": "epoch 1: 40%"}] and live.figure is None
    live(rows[:1], "epoch 2: 70%")
    first = live.figure
    live(rows[:1], "epoch 2: 80%")
    assert live.figure is first, "nothing new to draw"
    live(rows, "")
    assert shown == [{"text/plain": "3 epochs in 1.0 minutes; the best by leaky test is epoch 3"}, live.figure]
    assert live.figure.axes[0].lines[0].get_xdata().tolist() == [1, 2, 3]
    assert title_of(live.figure) == "Training of cnn3 (drawn faces)"
    assert live.figure.axes[0].get_title().startswith("best leaky test accuracy") and not plt.get_fignums()


def test_live_curves_of_a_training_stopped_early_say_so(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda content, **options: shown.append(content))
    plots.LiveHistory()([], "")
    assert shown == [{"text/plain": "no epoch is finished"}]


def test_history_needs_its_columns_and_an_epoch():
    with pytest.raises(ValueError, match="val_loss missing"):
        plots.plot_history(make_history().drop(columns="val_loss"))
    with pytest.raises(ValueError, match="no rows"):
        plots.plot_history(make_history(0))
