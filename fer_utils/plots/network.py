"""The diagram of a network."""
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

from .style import SMALL, VERMILLION, new_axes, titled, use_style

if TYPE_CHECKING:
    import keras

KIND_COLOURS = {"convolution": "#B3D1E5", "pooling": "#F8DFB0", "dense": "#B3E0D4", "sum or product": "#EFD6E3",
                "other": "#E5E5E5"}
_FOLLOWERS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "Activation", "ReLU", "LeakyReLU",
              "PReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D")
_KINDS = {"Conv": "convolution", "Pool": "pooling", "Dense": "dense"} | dict.fromkeys(
    ("Add", "Multiply", "Concatenate", "Subtract", "Average"), "sum or product")
_SHORT = {"BatchNormalization": "BN", "LayerNormalization": "LN", "GroupNormalization": "GN", "InputLayer": "input",
          "Add": "+", "Multiply": "×"}

# In inches.
BOX_WIDTH, BOX_HEIGHT, ROW_STEP, COLUMN_STEP, ABOVE = 2.35, 0.46, 0.66, 3.3, 0.09
CURVE = 0.12
"""How far a short cut leads away from the boxes, as a share of its length."""


class _ShortCut(NamedTuple):
    """A path beside the main one, from one of its layers or boxes to a later one; `beside` are the layers on it."""

    start: int
    end: int
    beside: list[Any]


def _times(values: Sequence[int | None]) -> str:
    return "×".join("?" if v is None else str(v) for v in values)


def _layer_text(layer: Any) -> str:
    """Say in a few words what a layer does; the output shape says its number of filters or units."""
    name = type(layer).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name.removesuffix("2D"))  # "MaxPooling2D": "Max Pooling"
    text = _SHORT.get(name, words.lower().replace("pooling", "pool"))
    if "Conv" in name:
        text += f" {_times(layer.kernel_size)}" + (f" /{layer.strides[0]}" if layer.strides[0] > 1 else "")
    elif hasattr(layer, "pool_size"):
        text += f" {_times(layer.pool_size)}"
    elif "Dropout" in name:
        text = f"dropout {layer.rate:g}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name == "Activation":
        text = activation
    elif activation != "linear":
        text += f" · {activation}"
    return text.replace("relu", "ReLU")


def _main_path(model: "keras.Model") -> tuple[list[Any], list[_ShortCut]]:
    """Return the layers of the longest path through a network, and the short cuts between two of them.

    Where two branches are multiplied, the path takes the shorter one: the other one is its gate.
    """
    import keras

    # A sequential model's own list lacks its input, and neither list has the operations between layers.
    layers = keras.Model(model.inputs, model.outputs).operations
    for layer in layers:
        if isinstance(layer, keras.Model):
            raise ValueError(f"network {model.name!r} is not flat: draw the network {layer.name!r} inside it by itself")
    flatten = keras.tree.flatten
    maker = {id(tensor): i for i, layer in enumerate(layers) for tensor in flatten(layer.output)}
    # An input layer makes its own input.
    parents = [[maker[id(tensor)] for tensor in flatten(layer.input) if maker.get(id(tensor), i) != i]
               for i, layer in enumerate(layers)]
    depth: list[int] = []
    for above in parents:
        depth.append(1 + max((depth[j] for j in above), default=0))

    def main_parent(i: int) -> int:
        choose = min if type(layers[i]).__name__ == "Multiply" else max
        return choose(parents[i], key=lambda j: depth[j])

    path = [len(layers) - 1]
    while parents[path[0]]:
        path.insert(0, main_parent(path[0]))
    short_cuts = []
    for end, i in enumerate(path):
        for j in parents[i]:
            beside: list[Any] = []
            while j not in path:
                beside.insert(0, layers[j])
                j = main_parent(j)
            if beside or j != path[end - 1]:
                short_cuts.append(_ShortCut(path.index(j), end, beside))
    return [layers[i] for i in path], short_cuts


def _boxes(layers: list[Any], sides: list[_ShortCut]) -> tuple[list[list[Any]], list[_ShortCut]]:
    """Return the layers of a path in boxes, and the short cuts between the boxes.

    Normalisation, activation and dropout join the layer they follow.
    """
    boxes: list[list[Any]] = []
    box_of = []
    for i, layer in enumerate(layers):
        if type(layer).__name__ in _FOLLOWERS and len(boxes) > 1 and all(side.start != i - 1 for side in sides):
            boxes[-1].append(layer)
        else:
            boxes.append([layer])
        box_of.append(len(boxes) - 1)
    return boxes, [_ShortCut(box_of[start], box_of[end], beside) for start, end, beside in sides]


def _column_starts(n: int, short_cuts: list[_ShortCut], rows: int) -> list[int]:
    """Return the first box of each column: columns of about equal height, and no short cut passes a break.

    A short cut may start at the last box of a column; a column grows beyond `rows` where there is no such break.
    """
    free = [i for i in range(1, n) if not any(side.start < i - 1 and i <= side.end for side in short_cuts)]
    height = np.ceil(n / np.ceil(n / rows))
    starts = [0]
    while n - starts[-1] > rows and (later := [i for i in free if i > starts[-1]]):
        starts.append(min(later, key=lambda i: abs(i - starts[-1] - height)))
    return starts


@use_style()
def plot_network(model: "keras.Model", rows: int = 14, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw a network as a diagram: boxes from top to bottom and left to right, short cuts beside them.

    Normalisation, activation and dropout are in the box of the layer they follow. Each box says what the layers do, the
    shape they give and how many parameters they have. ``/2`` is a stride of 2.

    `model` is built, functional or sequential, with one input and one output and no other model inside, or a ValueError
    says so. A column has at most about `rows` boxes.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{getattr(model, 'name', model)!r} has no layers to draw: give a built functional or "
                         "sequential Keras model")
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        raise ValueError(f"network {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: "
                         "only networks with one of each are drawn")
    boxes, sides = _boxes(*_main_path(model))
    gates = {side.end: side.beside for side in sides if _is_gate(boxes, side)}
    short_cuts = [side for side in sides if side.end not in gates]
    starts = _column_starts(len(boxes), short_cuts, rows)
    column = np.searchsorted(starts, range(len(boxes)), side="right") - 1
    left, top = column * COLUMN_STEP, (np.arange(len(boxes)) - np.take(starts, column)) * ROW_STEP
    width, height = left.max() + COLUMN_STEP, top.max() + ROW_STEP
    ax = new_axes(ax, max(width, 4.8) + 0.3, height + 0.85)
    ax.set(xlim=(-0.05, width), ylim=(height - 0.05, -ABOVE - 0.03), aspect="equal")
    ax.set_axis_off()
    for i, box in enumerate(boxes):
        _draw_box(ax, box, gates.get(i, []), left[i], top[i])
        if i:
            _draw_link(ax, left[i - 1:i + 1], top[i - 1:i + 1])
    for side in short_cuts:
        _draw_short_cut(ax, side, left, top)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, edgecolor="#555555", linewidth=0.8, label=kind)
        for kind, colour in KIND_COLOURS.items() if kind in map(_kind, boxes)]
    if short_cuts:
        handles.append(Line2D([], [], color=VERMILLION, linewidth=1, label="short cut"))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1, handlelength=1.2,
              ncols=6 if len(starts) > 1 or len(handles) < 5 else 3)
    return titled(ax, f"{model.name}: {model.count_params():,} parameters", note)


def _is_gate(boxes: list[list[Any]], side: _ShortCut) -> bool:
    """Tell whether a short cut is the gate of a product: a chain of layers from the box before it."""
    return type(boxes[side.end][0]).__name__ == "Multiply" and side.start == side.end - 1


def _kind(box: list[Any]) -> str:
    return next((kind for part, kind in _KINDS.items() if part in type(box[0]).__name__), "other")


def _draw_box(ax: Axes, box: list[Any], gate: list[Any], left: float, top: float) -> None:
    ax.add_patch(FancyBboxPatch((left, top), BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.06",
                                facecolor=KIND_COLOURS[_kind(box)], edgecolor="#555555", linewidth=0.8))
    text = " · ".join(map(_layer_text, box))
    if gate:
        pooled = any("GlobalAverage" in type(layer).__name__ for layer in gate)
        text = f"{'squeeze-excite' if pooled else 'gate'} {text}"
    # The operations between layers have no parameters to count.
    parameters = sum(layer.count_params() for layer in [*box, *gate] if hasattr(layer, "count_params"))
    shape = _times(box[-1].output.shape[1:]) + (f"   {parameters:,} parameters" if parameters else "")
    ax.text(left + BOX_WIDTH / 2, top + 0.14, text, fontsize=SMALL * min(1, 36 / len(text)), weight="bold",
            ha="center", va="center")
    ax.text(left + BOX_WIDTH / 2, top + 0.33, shape, fontsize=SMALL, ha="center", va="center")


def _draw_arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, bend: float = 0) -> None:
    ax.annotate("", end, start, arrowprops={
        "color": colour, "linewidth": 1, "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8,
        "connectionstyle": f"arc3,rad={bend}"})


def _draw_link(ax: Axes, left: np.ndarray, top: np.ndarray) -> None:
    """Join a box to the next one, which is below it or at the top of the next column."""
    (start, end), below = left + BOX_WIDTH / 2, top[0] + BOX_HEIGHT
    if start < end:
        up = left[1] - 0.45
        ax.plot([start, start, up, up, end], [below, below + 0.1, below + 0.1, -ABOVE, -ABOVE], "k-", linewidth=1)
        below = -ABOVE
    _draw_arrow(ax, (end, below), (end, top[1]), "black")


def _draw_short_cut(ax: Axes, short_cut: _ShortCut, left: np.ndarray, top: np.ndarray) -> None:
    """Draw a curve at the right of the boxes, or at their left from the line that comes from the column before."""
    start, end, beside = short_cut
    same = left[start] == left[end]
    side, x = (1, left[end] + BOX_WIDTH) if same else (-1, left[end])
    y = top[start] + 0.7 * BOX_HEIGHT if same else -ABOVE, top[end] + 0.3 * BOX_HEIGHT
    _draw_arrow(ax, (x, y[0]), (x, y[1]), VERMILLION, bend=-side * 2 * CURVE)
    middle = max(sum(y) / 2, 0.8)  # a long text at the top of a column would cross the title
    ax.text(x + side * (CURVE * (y[1] - y[0]) + 0.09), middle, " · ".join(map(_layer_text, beside)), rotation=270,
            ha="center", va="center", fontsize=SMALL - 1, color=VERMILLION)
