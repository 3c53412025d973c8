"""The learning curves of a training."""
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .checks import check_columns
from .style import BLUE, GRAY, GREEN, TEXT, VERMILLION, WIDTH, percent, titled, use_style


@use_style()
def plot_history(history: pd.DataFrame, name: str = "", validation: str = "PublicTest", note: str = "") -> Figure:
    """Draw accuracy and loss of a training run by epoch, and mark its best epoch, the first of highest val_accuracy.

    `history` has a row for each epoch: epoch, train_loss, train_accuracy, val_loss, val_accuracy; val_macro_f1 and
    learning_rate are drawn if they are there, a constant rate not. `name` is the run's; `validation` is what val_
    columns are measured on.
    """
    history = check_columns(history, ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"],
                            "the history")
    best = history.iloc[int(np.nanargmax(history["val_accuracy"]))]
    marker = "o" if len(history) < 16 else ""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.6))
    for ax, quantity in ((left, "accuracy"), (right, "loss")):
        _draw_curves(ax, history, quantity, best, validation, marker)
    if "val_macro_f1" in history:
        left.plot(history["epoch"], history["val_macro_f1"], color=GREEN, linestyle="-.", marker=marker, ms=3,
                  label=f"{validation} macro F1")
    if "learning_rate" in history and history["learning_rate"].nunique() > 1:
        _draw_learning_rate(right, history, marker)
    left.yaxis.set_major_formatter(percent)
    left.set_ylabel("accuracy, macro F1" if "val_macro_f1" in history else "accuracy")
    left.set_title(f"best {validation} accuracy {best['val_accuracy']:.1%}", fontsize=TEXT)
    right.set_ylabel("loss (cross-entropy)")
    right.set_title(f"loss at that epoch {best['val_loss']:.3f}", fontsize=TEXT)
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return titled(figure, f"Training of {name}" if name else "Training", note)


class LiveHistory:
    """Curves that grow in a notebook while a network is trained, with one line on the epoch under way.

    Give it to `networks.train.train` as `progress`. Its parameters are those of `plot_history`. Both outputs are
    changed in place, so one figure of the whole training remains; `figure` is the newest, None before the first epoch.
    """

    def __init__(self, name: str = "", validation: str = "PublicTest", note: str = "") -> None:
        self.name, self.validation, self.note = name, validation, note
        self.figure: Figure | None = None
        self._outputs: dict[str, Any] = {}  # the handles of what is shown
        self._epochs = 0

    def __call__(self, rows: list[dict[str, Any]], status: str) -> None:
        """Show the rows of the finished epochs, as in history.csv, and the status; an empty one means the end."""
        self._show("status", {"text/plain": status or self._summary(rows)}, raw=True)
        if len(rows) != self._epochs:
            self.figure = plot_history(pd.DataFrame(rows), self.name, self.validation, self.note)
            plt.close(self.figure)  # otherwise the notebook shows it once more, under the cell
            self._show("figure", self.figure)
            self._epochs = len(rows)

    def _show(self, output: str, content: Any, **options: Any) -> None:
        from IPython.display import display

        if self._outputs.get(output) is None:
            self._outputs[output] = display(content, display_id=True, **options)
        else:
            self._outputs[output].update(content, **options)

    def _summary(self, rows: list[dict[str, Any]]) -> str:
        if not rows:
            return "no epoch is finished"
        best = max(rows, key=lambda row: row["val_accuracy"])
        minutes = sum(row["seconds"] for row in rows) / 60
        return (f"{len(rows)} epoch{'s' * (len(rows) > 1)} in {minutes:.1f} minutes; "
                f"the best by {self.validation} is epoch {best['epoch']}")


def _draw_curves(ax: Axes, history: pd.DataFrame, quantity: str, best: pd.Series, validation: str,
                 marker: str) -> None:
    for part, colour, line, label in (("train", BLUE, "--", "training"), ("val", VERMILLION, "-", validation)):
        ax.plot(history["epoch"], history[f"{part}_{quantity}"], color=colour, linestyle=line, marker=marker, ms=3,
                label=label)
    ax.axvline(best["epoch"], color="black", linestyle=":", linewidth=1)
    ax.plot(best["epoch"], best[f"val_{quantity}"], "D", color="black", ms=6, zorder=5,
            label=f"best epoch: {best['epoch']:.0f}")
    ax.set_xlabel("epoch")
    ax.grid(True, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _draw_learning_rate(ax: Axes, history: pd.DataFrame, marker: str) -> None:
    """Draw the learning rate on an axis of its own, at the right."""
    rate = ax.twinx()
    rate.plot(history["epoch"], history["learning_rate"], color=GRAY, linewidth=1, drawstyle="steps-post",
              marker=marker, ms=3)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.set_ylabel("learning rate", color="#555555")
    rate.tick_params(colors="#555555")
    rate.spines["right"].set_visible(True)
    ax.plot([], [], color=GRAY, linewidth=1, label="learning rate")  # for the legend
