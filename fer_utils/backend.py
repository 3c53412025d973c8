"""Keras, imported when it is first needed and without the backend's start-up messages."""

import os
import sys
import tempfile


def import_keras():
    """Import and return Keras with the backend that ``KERAS_BACKEND`` names (TensorFlow unless set).

    TensorFlow writes hints about its build to the standard error stream while it loads, past Python's logging; in a
    notebook they would stand in red under the first cell. They are held back, unless loading fails.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import keras
        except BaseException:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
    return keras
