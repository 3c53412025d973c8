"""Calibrated probabilities, light enough for a webcam's start; `evaluate.fit_temperature` finds the temperature."""

import numpy as np


def apply_temperature(probabilities, temperature):
    """Soften (temperature > 1) or sharpen (< 1) probabilities; the winning class stays (Guo et al. 2017).

    A softmax of log p / T is the logits' own softmax at temperature T, so that the logits are not needed.

    Parameters
    ----------
    probabilities : ndarray
        float (N, 7), rows sum to 1.
    temperature : float

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1.
    """
    logits = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    out = np.exp(logits)
    return (out / out.sum(axis=1, keepdims=True)).astype(np.float32)
