"""Figure of a search for settings: what each trial reached, and which settings mattered."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .checks import check_columns, check_fractions
from .style import BLUE, GRAY, VERMILLION, WIDTH, percent, titled, use_style


@use_style()
def plot_tuning(trials: pd.DataFrame, importance: pd.Series, note: str = "") -> Figure:
    """Draw the accuracy of each trial with the best so far, and how much of its variance each setting explains.

    `trials` has the columns trial, accuracy (a fraction) and stopped (bool): whether it was ended early. `importance`
    holds a fraction for each setting, by its name; it may be empty.
    """
    trials = check_columns(trials, ["trial", "accuracy", "stopped"], "trials").sort_values("trial")
    check_fractions(trials["accuracy"], "accuracy")
    check_fractions(importance, "importance")
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=(3, 2))
    stopped = trials["stopped"].astype(bool)
    left.plot(trials["trial"][stopped], trials["accuracy"][stopped], "x", color=GRAY, label="stopped early")
    whole = trials[~stopped]
    left.plot(whole["trial"], whole["accuracy"], "o", color=BLUE, label="trained to its end")
    left.step(whole["trial"], np.maximum.accumulate(whole["accuracy"]), where="post", color=VERMILLION,
              label="best so far")
    left.yaxis.set_major_formatter(percent)
    left.set(xlabel="trial", ylabel="accuracy on clean PublicTest")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    ordered = importance.sort_values()
    right.barh(range(len(ordered)), ordered, color=BLUE)
    right.set_yticks(range(len(ordered)), [str(name).replace("_", " ") for name in ordered.index])
    right.xaxis.set_major_formatter(percent)
    right.set(xlabel="share of the variance explained", xlim=(0, 1))
    if ordered.empty:
        right.text(0.5, 0.5, "too few trials\nto tell", ha="center", va="center", transform=right.transAxes)
    return titled(figure, "Search for settings", note)
