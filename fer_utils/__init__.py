"""Facial expression recognition on FER2013: the helper package of the numbered notebooks.

Importing it stays light: TensorFlow loads only when a network is built, trained or read.
"""

__version__ = "0.1.0"
