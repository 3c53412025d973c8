"""What holds for every figure: title, note, nothing cut off, size, style."""


import matplotlib
import matplotlib.pyplot as plt
import pytest

from fer_utils.plots import style

from .examples import DRAWN, EVERY, PANELS, SINGLE, drawn, title_of


@pytest.mark.parametrize("name", EVERY)
def test_every_title_ends_with_the_note(name):
    assert title_of(drawn(name)).endswith(f"({DRAWN})")


@pytest.mark.parametrize("width", [4.8, 8])
def test_a_long_title_has_two_lines_that_fit(width):
    ax = plt.subplots(figsize=(width, 3), layout="constrained")[1]
    style.titled(ax, "Pairs of copies: 1 of 1,855; framed where their labels differ", "FER2013, 700 of 35,887 faces")
    ax.figure.draw_without_rendering()
    box = ax.title.get_window_extent()
    assert ax.get_title().count("\n") == 1 and 0 < box.x0 and box.x1 < ax.figure.bbox.x1


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_clipped(name):
    figure = drawn(name).figure
    figure.draw_without_rendering()
    texts = list(figure.texts)
    for ax in [a for parent in figure.axes for a in (parent, *parent.child_axes)]:
        texts += [ax.title, *ax.texts]
        texts += ax.get_legend().get_texts() if ax.get_legend() else []
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())
            texts += [axis.label] + [tick.label1 if tick.label1.get_visible() else tick.label2
                                     for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for text in texts:
        if text.get_visible() and text.get_text():
            box = text.get_window_extent()
            assert box.x0 > -1 and box.y0 > -1, text
            assert box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, text


@pytest.mark.parametrize("name", EVERY)
def test_figures_fit_a_page(name):
    figure = drawn(name).figure
    assert figure.get_figwidth() <= style.WIDTH + 0.01 and figure.get_dpi() == style.STYLE["figure.dpi"]
    assert figure.get_constrained_layout()


@pytest.mark.parametrize("name", SINGLE)
def test_draws_into_the_axes_given_and_leaves_the_style_alone(name):
    figure, axes = plt.subplots(1, 2)
    before = dict(matplotlib.rcParams)
    assert SINGLE[name](ax=axes[1]) is axes[1]
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == [figure.number]
    assert not axes[0].has_data()
    assert axes[1].get_title() and "(" not in axes[1].get_title(), "no note, no brackets"


@pytest.mark.parametrize("name", PANELS)
def test_figures_of_panels_are_returned_and_leave_the_style_alone(name):
    before = dict(matplotlib.rcParams)
    figure = PANELS[name]()
    assert dict(matplotlib.rcParams) == before
    assert isinstance(figure, plt.Figure)
    assert "(" not in title_of(figure), "no note, no brackets"


@pytest.mark.parametrize("name", ["class_balance", "ferplus_agreement", "votes", "confusion", "confusion_normalised",
                                  "per_class", "confused_pairs", "accuracy_vs_cost"])
def test_axes_are_labelled(name):
    assert drawn(name).get_xlabel() and drawn(name).get_ylabel()
