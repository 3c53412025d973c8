"""Files of figures: PNG and PDF, whole, small, the same bytes each time."""

import os
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from fer_utils import paths, plots
from fer_utils.plots import style

from .examples import DRAWN, EVERY, drawn


def test_save_figure_writes_png_and_pdf(tmp_path):
    ax = drawn("confusion")
    png, pdf = style.save_figure(ax, "05_confusion", tmp_path / "new")
    assert (png, pdf) == (tmp_path / "new" / "05_confusion.png", tmp_path / "new" / "05_confusion.pdf")
    with Image.open(png) as image:
        assert image.size == tuple((ax.figure.get_size_inches() * 150).astype(int))
        assert "Software" not in image.info
    assert pdf.read_bytes().startswith(b"%PDF") and b"CreationDate" not in pdf.read_bytes()
    assert sorted(os.listdir(tmp_path / "new")) == ["05_confusion.pdf", "05_confusion.png"]


@pytest.mark.parametrize("name", ["faces", "history", "gradcam_of_two"])
def test_saved_files_are_the_same_bytes_each_time(name, tmp_path):
    for folder in ("a", "b"):  # drawn anew: saving one figure twice moves its layout by parts of a pixel
        style.save_figure(EVERY[name](note=DRAWN), name, tmp_path / folder)
    for suffix in ("png", "pdf"):
        assert (tmp_path / "a" / f"{name}.{suffix}").read_bytes() == (tmp_path / "b" / f"{name}.{suffix}").read_bytes()


def test_save_figure_goes_to_the_figures_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    png, _ = style.save_figure(drawn("leak"), "02_leak")
    assert png.parent == tmp_path / "figures"


def test_save_figure_is_whole_or_not_at_all(tmp_path, monkeypatch):
    png, _ = style.save_figure(drawn("confusion"), "figure", tmp_path)
    before = png.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        style.save_figure(drawn("class_balance"), "figure", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["figure.pdf", "figure.png"]
    assert png.read_bytes() == before


def draw_noise():
    """Draw what compresses badly: about 100 kB as a PNG, half of it with 256 colours."""
    _, ax = plt.subplots(figsize=(1.5, 1.5))
    ax.imshow(np.random.default_rng(0).random((300, 300, 3)), interpolation="nearest")
    return ax


def test_large_pngs_are_reduced_to_256_colours(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "MAX_PNG", 60_000)
    ax = draw_noise()
    style.save_figure(ax, "small", tmp_path)
    png, _ = style.save_figure(ax, "noise", tmp_path)
    with Image.open(png) as image:
        assert image.mode == "P" and image.size == (225, 225) and round(image.info["dpi"][0]) == 150
    assert png.stat().st_size < style.MAX_PNG


def test_save_figure_refuses_large_pngs_and_odd_names(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "MAX_PNG", 10_000)
    ax = draw_noise()
    with pytest.raises(ValueError, match="draw fewer"):
        style.save_figure(ax, "noise", tmp_path)
    for name in ("a/b", "../a", "a.png", "", "a b"):
        with pytest.raises(ValueError, match="figure name"):
            style.save_figure(ax, name, tmp_path)
    assert not os.listdir(tmp_path)


def test_real_faces_fit_the_size_limit(tmp_path):
    """A sheet of noisy, full-contrast faces is the largest figure there is."""
    pixels = np.random.default_rng(0).integers(0, 256, (140, 12, 12)).astype("uint8").repeat(4, 1).repeat(4, 2)
    png, _ = style.save_figure(plots.plot_faces(pixels, np.arange(140) % 7), "faces", tmp_path)
    assert png.stat().st_size < style.MAX_PNG


THESIS = """\
import sys
import matplotlib.pyplot as plt
from fer_utils.plots import style
with style.use_style():
    figure, axes = plt.subplots(1, 2, figsize=(8, 3))
    figure.suptitle("whole figure")
    for ax, panel in zip(axes, ("left", "right")):
        ax.set_title(panel)
    alone = plt.subplots(figsize=(5, 3))[1]
    alone.set_title("alone")
    alone.set_xlabel("sans", family="DejaVu Sans")
style.save_figure(figure, "wide", sys.argv[1])
style.save_figure(alone, "narrow", sys.argv[1])
print([axes[0].get_title(), axes[1].get_title(), alone.get_title(), figure.get_suptitle()])
"""


def test_a_thesis_has_narrow_figures_in_serif_letters_without_titles(tmp_path):
    done = subprocess.run([sys.executable, "-c", THESIS, str(tmp_path)], env={**os.environ, "FER_STYLE": "thesis"},
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['left', 'right', '', '']"
    widths = {path.stem: Image.open(path).size[0] for path in tmp_path.glob("*.png")}
    assert widths == {"wide": 945, "narrow": 750}  # 6.3 inches at most, at 150 dots an inch
    for path in tmp_path.glob("*.pdf"):
        fonts = set(re.findall(rb"/BaseFont /(?:\w+\+)?([\w-]+)", path.read_bytes()))
        assert fonts and fonts <= {b"STIXGeneral-Regular", b"STIXGeneral-Bold"}, fonts


def test_an_unknown_style_is_an_error(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import fer_utils.plots.style"],
                          env={**os.environ, "FER_STYLE": "paper"}, capture_output=True, text=True)
    assert done.returncode and "FER_STYLE is 'paper': set it to thesis, or leave it out" in done.stderr
