"""Faces, a finished run, and a way to interrupt one."""

import contextlib

import pytest


@pytest.fixture(scope="session")
def faces():
    from fer_utils.data.drawn import draw_faces

    return draw_faces(400, seed=3)


@pytest.fixture(scope="session")
def finished(faces, tmp_path_factory):
    """The run folder of `QUICK`, trained; not to be changed."""
    from fer_utils.networks import train, zoo
    from fer_utils.networks.recipes import TrainConfig
    from tests.networks.quick import QUICK, speck_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.NETWORKS, "speck", speck_network())
        return train.train(TrainConfig(**QUICK), faces, tmp_path_factory.mktemp("run") / "a", progress=None)


@pytest.fixture
def interrupt_after(monkeypatch):
    """Return a context in which a training must be interrupted, as soon as this number of epochs is kept."""
    from fer_utils.networks import callbacks

    @contextlib.contextmanager
    def context(epochs):
        class Interrupting(callbacks.BackUpWeights):
            def on_epoch_end(self, epoch, logs=None):
                super().on_epoch_end(epoch, logs)
                if epoch + 1 == epochs:
                    raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(callbacks, "BackUpWeights", Interrupting)
            yield

    return context
