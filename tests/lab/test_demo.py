import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_utils import paths
from fer_utils.cli import main
from fer_utils.lab import demo
from fer_utils.labels import EMOTIONS
from fer_utils.vision.emoji import RGB
from fer_utils.vision.predict import Predictor

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "demo.webp"


@pytest.fixture(autouse=True)
def shared_networks(monkeypatch):
    monkeypatch.setattr(paths, "MODELS", ROOT / "models")


def pictures(path):
    """Return the frames of a moving picture, uint8 (N, H, W, 3)."""
    with Image.open(path) as movie:
        frames = []
        for i in range(movie.n_frames):
            movie.seek(i)
            frames.append(np.asarray(movie.convert("RGB")))
        return np.stack(frames)


def test_a_short_one_has_the_scenes_with_boxes_on_them(tmp_path):
    demo.write_demo(tmp_path / "demo.webp", frames=3)
    shown = pictures(tmp_path / "demo.webp")
    assert shown.shape == (3, demo.DEMO_HEIGHT, demo.DEMO_WIDTH, 3)
    for phase, picture in enumerate(shown):
        changed = np.abs(picture.astype(int) - demo.draw_scene(phase / 3)).max(2) > 60
        # Both halves hold a box, a name and bars; most of the picture is as it was.
        assert all(0.02 < half.mean() < 0.3 for half in np.hsplit(changed, 2))
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        demo.write_demo(tmp_path / "none.webp", frames=0)
    for place in (tmp_path, tmp_path / "demo.png"):
        with pytest.raises(ValueError, match="name a file that ends in .webp"):
            demo.write_demo(place)


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo.webp"), "--frames", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"file": str(tmp_path / "demo.webp"), "bytes": (tmp_path / "demo.webp").stat().st_size}


def test_the_network_names_each_drawn_expression():
    predictor = Predictor("fer_net", "haar")
    phases = (np.arange(len(EMOTIONS)) + 0.25) / len(EMOTIONS)  # while each is held
    seen = [{face.box[0] < demo.DEMO_WIDTH // 3: face.emotion for face in predictor.faces(demo.draw_scene(phase))}
            for phase in phases]
    assert sorted(faces[True] for faces in seen) == sorted(EMOTIONS)
    assert all(faces[False] == "neutral" for faces in seen)


def test_the_committed_one_is_short_small_and_moves():
    assert COMMITTED.stat().st_size <= 3_000_000
    with Image.open(COMMITTED) as movie:
        assert movie.is_animated and movie.info["loop"] == 0
        seconds = 0.0
        for i in range(movie.n_frames):
            movie.seek(i)
            movie.load()
            seconds += movie.info["duration"] / 1000
        assert movie.size == (demo.DEMO_WIDTH, demo.DEMO_HEIGHT) and 8 <= seconds <= 12
        # A plate in the colour of each emotion is above the drawn face at some time.
        middle = [round((k + 0.45) / 7 * movie.n_frames) for k in range(7)]
        for i, (name, _) in zip(middle, demo._SHOWN):
            movie.seek(i)
            left = np.asarray(movie.convert("RGB")).astype(int)[:130, :demo.DEMO_WIDTH // 3]
            near = np.abs(left - RGB[name]).max(2) < 40
            assert near.mean() > 0.02, name
