"""The committed figures fit the code that draws them."""

import json
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fer_utils as fer
from fer_utils import paths
from fer_utils.data import split
from fer_utils.data.drawn import draw_faces
from fer_utils.data.load import load
from fer_utils.errors import DataError
from fer_utils.lab import figures
from fer_utils.paths import ROOT
from fer_utils.vision.detect import yunet_file

REAL = not load().drawn


def picture(path, changed=()):
    pixels = np.full((64, 96, 3), 200, np.uint8)
    for rows, columns, level in changed:
        pixels[rows, columns] = level
    Image.fromarray(pixels).save(path)


def test_figures_are_compared_by_bytes_and_by_eye(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir(), new.mkdir()
    digit, speck = (slice(8, 20), slice(40, 48), 0), (slice(8, 9), slice(40, 41), 150)
    for name, changed in {"04_a": (), "04_b": (speck,), "04_c": (digit,), "04_e": (), "05_f": (digit,)}.items():
        picture(new / f"{name}.png", changed)
    for name in ("04_a", "04_b", "04_c", "04_d", "05_f"):
        picture(old / f"{name}.png")
    table = figures.compare_figures(old, new, only=["04"]).set_index("figure")
    assert table["state"].to_dict() == {"04_a.png": "equal", "04_b.png": "same", "04_c.png": "differs",
                                        "04_d.png": "not drawn", "04_e.png": "not committed"}
    # The speck is 50 levels on one of a block's 64 pixels; the digit covers a whole block.
    assert table.loc["04_b.png", "difference"] == pytest.approx(50 / 64)
    assert table.loc["04_c.png", "difference"] == pytest.approx(200)


def test_a_figure_of_another_size_differs(tmp_path):
    picture(tmp_path / "a.png")
    Image.new("RGB", (90, 64)).save(tmp_path / "b.png")
    assert figures.picture_difference(tmp_path / "a.png", tmp_path / "b.png") == float("inf")


def test_committed_figures_are_not_replaced_by_drawn_faces(tmp_path):
    with pytest.raises(DataError, match="data/README.md"):
        figures.draw_figures(tmp_path, data="drawn:300")
    assert not any(tmp_path.iterdir())


def test_committed_figures_are_not_replaced_by_ones_own_faces(tmp_path):
    faces = draw_faces(60)
    np.savez(tmp_path / "own.npz", pixels=faces.pixels, emotion=faces.emotion, usage=faces.usage)
    with pytest.raises(DataError, match="has 35,887 faces, and .*own.npz has 60; name the whole of FER2013"):
        figures.draw_figures(tmp_path / "figures", data=str(tmp_path / "own.npz"))
    assert not (tmp_path / "figures").exists()


def test_without_the_notebooks_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    with pytest.raises(DataError, match="the project's notebooks are not there; run this in the folder of the project"):
        figures.draw_figures(tmp_path / "figures")
    assert not any(tmp_path.iterdir())


def test_a_check_against_no_figures_ends_before_any_work(tmp_path):
    with pytest.raises(DataError, match="holds no figures .PNG. to check"):
        figures.check_figures(tmp_path / "nowhere")


def test_a_damaged_picture_differs(tmp_path):
    (tmp_path / "old").mkdir(), (tmp_path / "new").mkdir()
    (tmp_path / "old" / "04_a.png").write_bytes(b"x")
    picture(tmp_path / "new" / "04_a.png")
    assert figures.compare_figures(tmp_path / "old", tmp_path / "new")["state"].tolist() == ["differs"]


@pytest.fixture
def shared(monkeypatch):
    """The networks and cards that are in git, whatever the other tests use."""
    monkeypatch.setattr(paths, "MODELS", ROOT / "models")
    monkeypatch.setenv("FER_MODELS", str(paths.MODELS))


def check(folder, names):
    table = figures.compare_figures(ROOT / "figures", folder).set_index("figure").loc[names]
    wrong = table[~table["state"].isin(["equal", "same"])]
    assert wrong.empty, f"run `make figures`: {wrong}"


def test_diagrams_and_curves_of_the_shared_networks_are_the_committed_ones(tmp_path, shared):
    """As notebook 03 draws them; a network that the code builds otherwise has another diagram."""
    for name in ("cnn3", "fer_net"):
        fer.save_figure(fer.plots.plot_network(fer.build(name)), f"03_network_{name}", tmp_path)
    card, epochs = fer.read_card("cnn3"), pd.read_csv(paths.MODELS / "cnn3" / "history.csv")
    curves = fer.plots.plot_history(epochs, f"{card.label}, {len(epochs)} epochs", card.chosen_by, note=card.title)
    fer.save_figure(curves, "03_history_cnn3", tmp_path)
    check(tmp_path, ["03_network_cnn3.png", "03_network_fer_net.png", "03_history_cnn3.png"])


@pytest.mark.skipif(not REAL, reason="FER2013 is not here")
def test_the_first_figures_of_the_data_are_the_committed_ones(tmp_path):
    """As notebook 01 draws them."""
    faces = load()
    pixels, emotion, note = faces.pixels, faces.emotion, faces.title
    for name, figure in {
        "01_class_balance": fer.plots.plot_class_balance(faces.counts(), note=note),
        "01_faces": fer.plots.plot_faces(pixels, emotion, per_class=8, seed=0, note=note),
        "01_mean_faces": fer.plots.plot_mean_faces(pixels, emotion, note=note),
        "01_intensity": fer.plots.plot_intensity(pixels, emotion, note=note),
    }.items():
        fer.save_figure(figure, name, tmp_path)
    check(tmp_path, ["01_class_balance.png", "01_faces.png", "01_mean_faces.png", "01_intensity.png"])


@pytest.mark.skipif(not REAL, reason="FER2013 is not here")
def test_confusions_of_the_shared_network_are_the_committed_ones(tmp_path, shared):
    """As notebook 05 draws them; here from the answers that the network's card keeps."""
    test, card = fer.split(load()).reported, fer.read_card("fer_net_fer2013")  # best on PublicTest
    confusion = fer.metrics.confusion(test.emotion, card.answers(test, "PrivateTest"))
    for name, draw, options in (("05_confusion_counts", fer.plots.plot_confusion, {"normalise": False}),
                                ("05_confusion", fer.plots.plot_confusion, {"normalise": True}),
                                ("05_confused_pairs", fer.plots.plot_confused_pairs, {"top": 8})):
        fer.save_figure(draw(confusion, note=card.title, **options), name, tmp_path)
    check(tmp_path, ["05_confusion_counts.png", "05_confusion.png", "05_confused_pairs.png"])


@pytest.mark.skipif(not REAL, reason="FER2013 is not here")
def test_the_comparisons_figures_are_the_committed_ones(tmp_path, shared, monkeypatch):
    """The cells of notebook 04, without its search for near copies, which takes a minute and which no figure needs."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    monkeypatch.setattr(split, "clean_mask", lambda *_, **__: None)
    cells = [cell.source for cell in nbformat.read(paths.NOTEBOOKS / "04_compare.ipynb", 4).cells
             if cell.cell_type == "code"]
    first_of_clean = next(i for i, cell in enumerate(cells) if cell.startswith("kept = "))
    names = {}
    for i, cell in enumerate(cells):
        if i < first_of_clean or "save_figure" in cell:
            exec(cell, names)
    plt.close("all")
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(drawn) == 5
    check(tmp_path, drawn)


@pytest.mark.skipif(not REAL or not yunet_file(download=False), reason="FER2013 or YuNet's file is not here")
def test_the_command_checks_committed_figures():
    """Those of a notebook that takes seconds; `python -m fer_utils figures --check` draws all of them."""
    done = subprocess.run([sys.executable, "-m", "fer_utils", "figures", "--check", "--only", "07", "--json",
                           "--out", str(ROOT / "figures")], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "FER_MODELS": str(ROOT / "models")})
    assert done.returncode == 0, f"run `make figures`: {done.stdout} {done.stderr[-2000:]}"
    assert json.loads(done.stdout)["figures"] == [{"figure": "07_portrait.png", "state": "equal", "difference": 0.0}]
