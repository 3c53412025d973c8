"""The learning curves of a training."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .style import BLUE, GRAY, GREEN, VERMILLION, WIDTH, check_columns, headline, percent, styled

# --- 03: training ------------------------------------------------------------------------------------------------


@styled
def plot_history(history, name="", validation="PublicTest", note=""):
    """Draw a training run's accuracy and loss by epoch, side by side, its best epoch marked.

    Parameters
    ----------
    history : DataFrame
        A row for each epoch: epoch, train_loss, train_accuracy, val_loss, val_accuracy; val_macro_f1 and
        learning_rate are drawn where there are.
    name : str
        The run's name, for the title.
    validation : str
        What the val_ columns are measured on.
    note : str

    Returns
    -------
    Figure
        The best epoch is the first of highest val_accuracy.

    Raises
    ------
    ValueError
        A column is missing or there is no epoch.
    """
    history = check_columns(history, ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"], "the history")
    epoch = history["epoch"].to_numpy()
    best = int(np.nanargmax(history["val_accuracy"]))
    marker = "o" if len(history) < 16 else ""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6))
    for ax, quantity in zip(axes, ("accuracy", "loss")):
        ax.plot(epoch, history[f"train_{quantity}"], color=BLUE, linestyle="--", marker=marker, ms=3, label="training")
        ax.plot(epoch, history[f"val_{quantity}"], color=VERMILLION, marker=marker, ms=3, label=validation)
        ax.axvline(epoch[best], color="black", linestyle=":", linewidth=1)
        ax.plot(epoch[best], history[f"val_{quantity}"].iloc[best], "D", color="black", ms=6, zorder=5,
                label=f"best epoch: {epoch[best]}")
        ax.set(xlabel="epoch", ylabel=quantity)
        ax.grid(True, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    if "val_macro_f1" in history:
        axes[0].plot(epoch, history["val_macro_f1"], color=GREEN, linestyle="-.", marker=marker, ms=3,
                     label=f"{validation} macro F1")
    axes[0].yaxis.set_major_formatter(percent)
    axes[0].set_ylabel("accuracy, macro F1" if "val_macro_f1" in history else "accuracy")
    axes[0].set_title(f"best {validation} accuracy {history['val_accuracy'].iloc[best]:.1%}", fontsize=10)
    axes[1].set_ylabel("loss (cross-entropy)")
    axes[1].set_title(f"loss at that epoch {history['val_loss'].iloc[best]:.3f}", fontsize=10)
    if "learning_rate" in history:
        right = axes[1].twinx()
        right.plot(epoch, history["learning_rate"], color=GRAY, linewidth=1, drawstyle="steps-post", marker=marker,
                   ms=3)
        right.set_ylim(bottom=0)
        right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        right.set_ylabel("learning rate", color="#555555")
        right.tick_params(colors="#555555")
        right.spines["right"].set_visible(True)
        axes[1].plot([], [], color=GRAY, linewidth=1, label="learning rate")
    for ax in axes:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    figure.suptitle(headline(f"Training of {name}" if name else "Training", note, WIDTH))
    return figure
