"""Events that several files of tests look at; each is collected once."""

import pytest

from fer_utils.data.drawn import draw_faces
from fer_utils.event import report
from fer_utils.vision import scenes

from .pictures import MODEL, collect, video


@pytest.fixture(scope="session")
def walk(tmp_path_factory):
    """A video of a person who walks past, and the folder it was collected into."""
    folder = tmp_path_factory.mktemp("walk")
    path = video(folder / "walk.avi")
    collect(path, folder / "out")
    return path, folder / "out"


@pytest.fixture(scope="session")
def crowd(tmp_path_factory):
    """Crowd pictures: the true faces, what `run_event` returned, and its folder."""
    folder = tmp_path_factory.mktemp("crowd")
    truth = scenes.write_crowd(folder / "in", draw_faces(300, seed=3), pictures=20, minutes=90, seed=1)
    result = report.run_event(folder / "in", folder / "out", model=MODEL, detector="haar", faces=True,
                              title="A <b>party</b> & more", progress=False)
    return truth, result, folder / "out"
