"""Facial expression recognition on FER2013: the helper package of the numbered notebooks.

The names below load when they are first used; TensorFlow only when a network is built, trained or read.

    >>> import fer_utils as fer
    >>> faces = fer.load("drawn:300")
    >>> faces.title
    'drawn faces, not FER2013'
"""

import os

import lazy_loader

__version__ = "0.1.0"

# ONNX Runtime would send usage data to its maker and keep files for that; photos' users were promised neither.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["data", "evaluation", "event", "lab", "labels", "live", "metrics", "networks", "paths", "plots",
                "vision"],
    submod_attrs={
        "errors": ["CameraError", "DataError"],
        "labels": ["COLOURS", "EMOTIONS", "FERPLUS_VOTES"],
        "data.load": ["download", "load", "sample"],
        "data.split": ["split"],
        "networks.recipes": ["TrainConfig"],
        "networks.runs": ["best_card", "load_model", "read_card"],
        "networks.train": ["train"],
        "networks.zoo": ["build"],
        "evaluation.evaluate": ["evaluate_run"],
        "evaluation.gradcam": ["grad_cam"],
        "plots.style": ["save_figure"],
        "vision.predict": ["Predictor"],
    })
