"""The diagram of a network."""
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
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
          "Flatten": "flatten", "Dense": "dense", "Add": "+", "Multiply": "×", "Softmax": "softmax",
          "Concatenate": "concatenate", "SeparableConv2D": "sep. conv", "DepthwiseConv2D": "depthwise conv",
          "GlobalAveragePooling2D": "global average pool", "GlobalMaxPooling2D": "global max pool",
          "MaxPooling2D": "max pool", "AveragePooling2D": "average pool", "Rescaling": "rescale"}

# In inches.
BOX_WIDTH, BOX_HEIGHT, ROW_STEP, LANE = 2.35, 0.46, 0.66, 0.28


@dataclass
class _Block:
    """One box: layers that are drawn together, and the blocks that give them their input."""

    kind: str
    text: str
    shape: str
    parameters: int
    parents: list[int]


class _ShortCut(NamedTuple):
    """A path beside the main one, between two blocks of that; `text` names the layers on it."""

    start: int
    end: int
    text: str


# --- From layers to blocks ---------------------------------------------------------------------------------------


def _times(values: Sequence[int | None]) -> str:
    return "×".join("?" if v is None else str(v) for v in values)


def _layer_text(layer: Any) -> str:
    """Say in a few words what a layer does; the output shape says its number of filters or units."""
    name = type(layer).__name__
    if name == "Activation":
        return layer.activation.__name__
    text = _SHORT.get(name, "conv" if "Conv" in name else name)
    if "Conv" in name:
        text += f" {_times(layer.kernel_size)}" + (f" /{layer.strides[0]}" if layer.strides[0] > 1 else "")
    elif hasattr(layer, "pool_size"):
        text += f" {_times(layer.pool_size)}"
    elif "Dropout" in name:
        text = f"dropout {layer.rate:g}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return text if activation == "linear" else f"{text} · {activation.replace('relu', 'ReLU')}"


class _Graph:
    """The layers of a network in order, and for each one the layers that give it its input.

    For a product, `gates` has the layers of its gate (a chain beside it): they are hidden, and drawn in its box.
    """

    def __init__(self, model: "keras.Model") -> None:
        import keras

        # A sequential model's own list lacks its input, and neither list has the operations between layers.
        self.layers: list[Any] = keras.Model(model.inputs, model.outputs).operations
        for layer in self.layers:
            if isinstance(layer, keras.Model):
                raise ValueError(f"network {model.name!r} is not flat: draw the network {layer.name!r} inside it by "
                                 "itself")
        flatten = keras.tree.flatten
        maker = {id(tensor): i for i, layer in enumerate(self.layers) for tensor in flatten(layer.output)}
        # An input layer makes its own input.
        self.parents = [[maker[id(tensor)] for tensor in flatten(layer.input) if maker.get(id(tensor), i) != i]
                        for i, layer in enumerate(self.layers)]
        self.gates: dict[int, list[int]] = {}
        self.hidden: set[int] = set()
        for i, layer in enumerate(self.layers):
            if type(layer).__name__ == "Multiply" and len(self.parents[i]) == 2:
                for one, other in permutations(self.parents[i]):
                    if chain := self._chain(one, other):
                        self.gates[i], self.parents[i] = chain, [other]
                        self.hidden.update(chain)
                        break

    def _chain(self, j: int, source: int) -> list[int]:
        """Return the layers from j back to the source where they are a chain without branches; else none."""
        chain = []
        while j != source:
            if len(self.parents[j]) != 1 or len(self.children(j)) != 1:
                return []
            chain.append(j)
            j = self.parents[j][0]
        return chain

    def children(self, j: int) -> list[int]:
        return [i for i, above in enumerate(self.parents) if j in above and i not in self.hidden]


def _network_blocks(model: "keras.Model") -> list[_Block]:
    """Return a network as blocks in order: normalisation, activation and dropout join the layer they follow."""
    import keras

    graph = _Graph(model)
    blocks: list[_Block] = []
    block_of: dict[int, int] = {}
    for i, layer in enumerate(graph.layers):
        if i in graph.hidden:
            continue
        gate = [graph.layers[j] for j in graph.gates.get(i, [])]
        parameters = sum(one.count_params() for one in [layer, *gate] if hasattr(one, "count_params"))
        shape = _times(keras.tree.flatten(layer.output)[0].shape[1:])
        text = _layer_text(layer)
        if gate:
            pooled = any("GlobalAverage" in type(one).__name__ for one in gate)
            text = "squeeze-excite ×" if pooled else "gate ×"
        above = graph.parents[i]
        if (type(layer).__name__ in _FOLLOWERS and len(above) == 1 and len(graph.children(above[0])) == 1
                and blocks[block_of[above[0]]].text != "input"):
            block_of[i] = block_of[above[0]]
            block = blocks[block_of[i]]
            block.text, block.shape = f"{block.text} · {text}", shape
            block.parameters += parameters
        else:
            block_of[i] = len(blocks)
            kind = next((kind for part, kind in _KINDS.items() if part in type(layer).__name__), "other")
            blocks.append(_Block(kind, text, shape, parameters, [block_of[j] for j in above]))
    return blocks


def _main_path(blocks: list[_Block]) -> tuple[list[_Block], list[_ShortCut]]:
    """Return the longest path through the network, and the short cuts beside it."""
    length: list[int] = []
    before: list[int | None] = []
    for block in blocks:
        longest = max(block.parents, key=lambda j: length[j], default=None)
        before.append(longest)
        length.append(1 if longest is None else length[longest] + 1)
    path = [len(blocks) - 1]
    while (above := before[path[0]]) is not None:
        path.insert(0, above)
    place = {j: k for k, j in enumerate(path)}

    def sources(j: int, texts: list[str]) -> list[tuple[int, str]]:
        """Return where on the path block j's input comes from, and the texts of the blocks between."""
        if j in place:
            return [(place[j], " · ".join(texts))]
        return [found for parent in blocks[j].parents for found in sources(parent, [blocks[j].text, *texts])]

    short_cuts = [_ShortCut(start, k, text) for k, j in enumerate(path) for parent in blocks[j].parents
                  if parent != before[j] for start, text in sources(parent, [])]
    return [blocks[j] for j in path], short_cuts


# --- From blocks to places ---------------------------------------------------------------------------------------


def _column_starts(n: int, short_cuts: list[_ShortCut], rows: int) -> list[int]:
    """Return the first block of each column: columns of about equal height, and no short cut passes a break.

    A short cut may start at the last box of a column; a column grows beyond `rows` where there is no such break.
    """
    free = [i for i in range(1, n) if not any(a < i - 1 and i <= b for a, b, _ in short_cuts)]
    starts, columns = [0], -(-n // rows)
    while n - starts[-1] > rows:
        wanted = starts[-1] + -(-(n - starts[-1]) // max(columns - len(starts) + 1, 2))
        later = [i for i in free if i > starts[-1]]
        if not later:
            break
        starts.append(min(later, key=lambda i: (abs(i - wanted), i)))
    return starts


def _lanes(short_cuts: list[_ShortCut]) -> list[int]:
    """Return a lane for each short cut, so that short cuts that pass each other run side by side."""
    lanes: list[int] = []
    for k, (a, b, _) in enumerate(short_cuts):
        taken = {lane for lane, (c, d, _) in zip(lanes, short_cuts[:k]) if not (b <= c or d <= a)}
        lanes.append(min(set(range(k + 1)) - taken))
    return lanes


# --- Drawing -----------------------------------------------------------------------------------------------------


@use_style()
def plot_network(model: "keras.Model", rows: int = 14, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw a network as a diagram: boxes from top to bottom and left to right, short cuts beside them.

    Normalisation, activation and dropout are in the box of the layer they follow. Each box says what the layers do, the
    shape they give and how many parameters they have. ``/2`` is a stride of 2.

    `model` is built, functional or sequential, and has no other model inside, or a ValueError says so. A column has at
    most about `rows` boxes.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{getattr(model, 'name', model)!r} has no layers to draw: give a built functional or "
                         "sequential Keras model")
    blocks, short_cuts = _main_path(_network_blocks(model))
    starts, lanes = _column_starts(len(blocks), short_cuts, rows), _lanes(short_cuts)
    column = np.searchsorted(starts, range(len(blocks)), side="right") - 1
    row = np.arange(len(blocks)) - np.take(starts, column)
    column_step = BOX_WIDTH + 0.3 + (LANE * (max(lanes) + 1) + 0.35 if lanes else 0)
    width, height = (column.max() + 1) * column_step, (row.max() + 1) * ROW_STEP
    ax = new_axes(ax, max(width, 4.8) + 0.3, height + 0.85)
    ax.set(xlim=(-0.05, width), ylim=(height - 0.05, -0.12))
    ax.set_axis_off()
    left, top = column * column_step, row * ROW_STEP
    for i, block in enumerate(blocks):
        _draw_box(ax, block, left[i], top[i])
    # From a box's left edge to the line up to the next column.
    _draw_arrows(ax, left, top, column_step - (0.45 if lanes else 0.12))
    for short_cut, lane in zip(short_cuts, lanes):
        _draw_short_cut(ax, short_cut, lane, left, top)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, edgecolor="#555555", linewidth=0.8, label=kind)
        for kind, colour in KIND_COLOURS.items() if any(block.kind == kind for block in blocks)]
    if short_cuts:
        handles.append(Line2D([], [], color=VERMILLION, linewidth=1, label="short cut"))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1, handlelength=1.2,
              ncols=6 if len(starts) > 1 or len(handles) < 5 else 3)
    return titled(ax, f"{model.name}: {model.count_params():,} parameters", note)


def _draw_box(ax: Axes, block: _Block, left: float, top: float) -> None:
    ax.add_patch(FancyBboxPatch((left, top), BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.06",
                                facecolor=KIND_COLOURS[block.kind], edgecolor="#555555", linewidth=0.8))
    count = f"   {block.parameters:,} parameters" if block.parameters else ""
    ax.text(left + BOX_WIDTH / 2, top + 0.14, block.text, fontsize=SMALL * min(1, 36 / len(block.text)),
            weight="bold", ha="center", va="center")
    ax.text(left + BOX_WIDTH / 2, top + 0.33, block.shape + count, fontsize=SMALL, ha="center", va="center")


def _draw_arrow(ax: Axes, x: Sequence[float], y: Sequence[float], colour: str = "black") -> None:
    """Draw a line through these points that ends in an arrow's head."""
    ax.plot(x[:-1], y[:-1], color=colour, linewidth=1)
    ax.annotate("", (x[-1], y[-1]), (x[-2], y[-2]), arrowprops={
        "color": colour, "linewidth": 1, "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8})


def _draw_arrows(ax: Axes, left: np.ndarray, top: np.ndarray, between: float) -> None:
    """Join each box to the next one, in its column or at the top of the next column."""
    for i in range(1, len(left)):
        x, y = left[i - 1] + BOX_WIDTH / 2, top[i - 1] + BOX_HEIGHT
        if left[i] == left[i - 1]:
            _draw_arrow(ax, [x, x], [y, top[i]])
        else:
            up, end = left[i - 1] + between, left[i] + BOX_WIDTH / 2
            _draw_arrow(ax, [x, x, up, up, end, end], [y, y + 0.1, y + 0.1, -0.09, -0.09, 0])


def _draw_short_cut(ax: Axes, short_cut: _ShortCut, lane: int, left: np.ndarray, top: np.ndarray) -> None:
    a, b, text = short_cut
    end = top[b] + BOX_HEIGHT * 0.3
    if left[a] == left[b]:
        side, x, start = 1, left[b] + BOX_WIDTH + 0.14 + LANE * lane, top[a] + BOX_HEIGHT * 0.7
        _draw_arrow(ax, [left[a] + BOX_WIDTH, x, x, left[b] + BOX_WIDTH], [start, start, end, end], VERMILLION)
    else:  # from the last box of a column: the line to the next column carries what the short cut takes
        side, x, start = -1, left[b] - 0.14, -0.09
        _draw_arrow(ax, [x, x, left[b]], [start, end, end], VERMILLION)
    ax.text(x + 0.1 * side, (start + end) / 2, text, rotation=270, ha="center", va="center", fontsize=SMALL - 1,
            color=VERMILLION)
