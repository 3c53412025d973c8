"""Facial expression recognition on FER2013: the helper package of the numbered notebooks.

Importing it stays light: TensorFlow loads only when a network is built, trained or read.
"""

__version__ = "0.1.0"

import os

# ONNX Runtime would send usage data to its maker and keep files for that; photos' users were promised neither.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
