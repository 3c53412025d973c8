"""Figures: plain arrays and tables in, matplotlib out.

A figure with one Axes draws into `ax` and returns it; without `ax` it makes a figure of its own. A figure of several
panels returns its Figure. `save_figure` takes both. `note` says what the faces are; it ends the title, in brackets.
Labels are integers, in the order of `EMOTIONS`. Tables with missing columns and values out of range raise a ValueError
that names them.

    >>> import fer_utils as fer
    >>> faces = fer.load("drawn:70")
    >>> fer.plots.plot_class_balance(faces.counts(), note=faces.title).get_ylabel()
    'faces'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "comparison": ["plot_accuracy_vs_cost", "plot_comparison"],
    "data": ["plot_class_balance", "plot_ferplus_agreement", "plot_intensity", "plot_leak", "plot_resampling",
             "plot_votes"],
    "event": ["plot_by_source", "plot_correction", "plot_over_time", "plot_shares"],
    "face_grid": ["plot_augmentation", "plot_duplicate_pairs", "plot_face_examples", "plot_faces", "plot_gradcam",
                  "plot_mean_faces"],
    "groups": ["plot_groups"],
    "network": ["plot_network"],
    "scores": ["plot_confused_pairs", "plot_confusion", "plot_per_class", "plot_reliability"],
    "style": ["STYLE", "WIDTH", "save_figure", "use_style"],
    "training": ["LiveHistory", "plot_history"],
    "tuning": ["plot_tuning"],
})
