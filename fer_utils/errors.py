"""The errors that tell a user what was wrong, where, and what to do about it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager


class DataError(ValueError):
    """A data set, a photo or a trained network cannot be used."""


class InUseError(DataError):
    """Another program writes into the same folder."""


class CameraError(DataError):
    """A camera, stream, video or window does not work."""


class MissingExtraError(ImportError):
    """A library is not installed; `pip install` with one of the package's `EXTRAS` brings it."""


EXTRAS = {
    "train": {"tensorflow": "TensorFlow", "keras": "Keras", "tf2onnx": "tf2onnx", "onnx": "ONNX",
              "sklearn": "scikit-learn", "imblearn": "imbalanced-learn", "threadpoolctl": "threadpoolctl",
              "kagglehub": "kagglehub", "psutil": "psutil"},
    "notebooks": {"jupyterlab": "JupyterLab", "IPython": "IPython", "ipywidgets": "ipywidgets",
                  "papermill": "papermill", "voila": "Voilà", "anywidget": "anywidget", "seaborn": "seaborn",
                  "jupyter_server": "Jupyter Server", "tornado": "Tornado"},
    "hub": {"huggingface_hub": "huggingface_hub"},
    "cluster": {"distributed": "Dask's distributed"},
    "remote": {"fsspec": "fsspec", "aiohttp": "aiohttp"},
    "tune": {"optuna": "Optuna"},
    "browser": {"playwright": "Playwright"},
    "tensorboard": {"tensorboard": "TensorBoard"},
}
"""The extras of pyproject.toml: the names under which their libraries are imported, and what the libraries are called.

All imports of these libraries are explained by `need` and `naming_the_extra`, so none has a ``try`` of its own.
"""


def need(*modules: str) -> None:
    """Raise `MissingExtraError`, which says what to install, if a library of `EXTRAS` is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(_what_to_install(missing))


@contextmanager
def naming_the_extra() -> Iterator[None]:
    """Turn a failed import of a library of `EXTRAS` into a `MissingExtraError`, which says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not any(name in libraries for libraries in EXTRAS.values()):
            raise
        raise MissingExtraError(_what_to_install([name])) from error


def _what_to_install(modules: list[str]) -> str:
    found = {name: extra for name in modules for extra, libraries in EXTRAS.items() if name in libraries}
    called = " and ".join(EXTRAS[extra][name] for name, extra in found.items())
    extras = ",".join(dict.fromkeys(found.values()))
    return (f"this needs {called}, which {'is' if len(found) == 1 else 'are'} not installed: "
            f'pip install "fer-utils[{extras}]"')
