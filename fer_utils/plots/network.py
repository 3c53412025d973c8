"""The diagram of a network."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

from .style import SMALL, VERMILLION, new_axes, set_title, styled


class _Block:
    """One box of the network's diagram: layers drawn together, where they get their input, what they give."""

    def __init__(self, kind, text, shape, parameters, parents):
        self.kind, self.text, self.shape, self.parameters, self.parents = kind, text, shape, parameters, parents


KIND_COLOURS = {"convolution": "#B3D1E5", "pooling": "#F8DFB0", "dense": "#B3E0D4", "sum or product": "#EFD6E3",
                "other": "#E5E5E5"}
_FOLLOWERS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "Activation", "ReLU", "LeakyReLU",
              "PReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D")
_SHORT = {"BatchNormalization": "BN", "LayerNormalization": "LN", "GroupNormalization": "GN", "InputLayer": "input",
          "Flatten": "flatten", "Dense": "dense", "Add": "+", "Multiply": "×", "Softmax": "softmax",
          "Concatenate": "concatenate",
          "GlobalAveragePooling2D": "global average pool", "GlobalMaxPooling2D": "global max pool",
          "MaxPooling2D": "max pool", "AveragePooling2D": "average pool", "Rescaling": "rescale"}


def _times(values):
    return "×".join("?" if v is None else str(v) for v in values)


def _kind(layer):
    name = type(layer).__name__
    if "Conv" in name:
        return "convolution"
    if "Pool" in name:
        return "pooling"
    if name == "Dense":
        return "dense"
    return "sum or product" if name in ("Add", "Multiply", "Concatenate", "Subtract", "Average") else "other"


def _layer_text(layer):
    """Say in a few words what a layer does; its number of filters or units stands in the output shape."""
    name = type(layer).__name__
    strides = getattr(layer, "strides", (1, 1))
    if "Conv" in name:
        words = {"SeparableConv2D": "sep. conv", "DepthwiseConv2D": "depthwise conv"}.get(name, "conv")
        text = f"{words} {_times(layer.kernel_size)}" + (f" /{strides[0]}" if strides[0] > 1 else "")
    elif hasattr(layer, "pool_size"):
        text = f"{_SHORT.get(name, name)} {_times(layer.pool_size)}"
    elif "Dropout" in name:
        text = f"dropout {layer.rate:g}"
    elif name == "Activation":
        text = layer.activation.__name__
    else:
        text = _SHORT.get(name, name)
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return text if name == "Activation" or activation == "linear" else f"{text} · {activation.replace('relu', 'ReLU')}"


def _network_blocks(model):
    """Return a network as blocks in order: normalisation, activation and dropout join the layer they follow."""
    import keras

    # A sequential model's own list lacks its input, and neither list has the operations between layers.
    layers = keras.Model(model.inputs, model.outputs).operations
    for layer in layers:
        if isinstance(layer, keras.Model):
            raise ValueError(f"network {model.name!r} is not flat: draw the network {layer.name!r} inside it by itself")
    place = {id(tensor): i for i, layer in enumerate(layers) for tensor in keras.tree.flatten(layer.output)}
    parents = [[] if type(layer).__name__ == "InputLayer" else
               [place[id(tensor)] for tensor in keras.tree.flatten(layer.input) if id(tensor) in place]
               for layer in layers]
    children = [[i for i, above in enumerate(parents) if j in above] for j in range(len(layers))]

    def gate(i):
        """Return the layers between a product and the other of its inputs, when they are a chain beside it."""
        for start, other in ((0, 1), (1, 0)):
            chain, j = [], parents[i][start]
            while j != parents[i][other] and len(parents[j]) == 1 and len(children[j]) == 1:
                chain.append(j)
                j = parents[j][0]
            if chain and j == parents[i][other]:
                return chain, j
        return [], None

    gated = {}
    for i, layer in enumerate(layers):
        if type(layer).__name__ == "Multiply" and len(parents[i]) == 2:
            chain, source = gate(i)
            if chain:
                parents[i] = [source]
                children[source] = [i] + [c for c in children[source] if c not in (i, chain[-1])]
                gated[i] = chain
    hidden = {j for chain in gated.values() for j in chain}

    blocks, block_of = [], {}
    for i, layer in enumerate(layers):
        if i in hidden:
            continue
        parameters = sum(layers[j].count_params() for j in [i, *gated.get(i, [])] if hasattr(layers[j], "count_params"))
        shape = _times(keras.tree.flatten(layer.output)[0].shape[1:])
        text = _layer_text(layer)
        if i in gated:
            pooled = any("GlobalAverage" in type(layers[j]).__name__ for j in gated[i])
            text = "squeeze-excite ×" if pooled else "gate ×"
        above = parents[i]
        if (type(layer).__name__ in _FOLLOWERS and len(above) == 1 and len(children[above[0]]) == 1
                and blocks[block_of[above[0]]].text != "input"):
            block = blocks[block_of[above[0]]]
            block.text, block.shape = f"{block.text} · {text}", shape
            block.parameters += parameters
            block_of[i] = block_of[above[0]]
        else:
            block_of[i] = len(blocks)
            blocks.append(_Block(_kind(layer), text, shape, parameters, [block_of[j] for j in above]))
    return blocks


def _main_path_and_skips(blocks):
    """Return the longest way through the network, and the short cuts beside it as (from, to, text)."""
    length, before = [], []
    for block in blocks:
        longest = max(block.parents, key=lambda j: length[j], default=None)
        before.append(longest)
        length.append(1 if longest is None else length[longest] + 1)
    path, j = [], len(blocks) - 1
    while j is not None:
        path.append(j)
        j = before[j]
    path.reverse()
    at = {j: k for k, j in enumerate(path)}

    def sources(j, text):
        if j in at:
            return [(at[j], text)]
        text = [f"{blocks[j].text}", *text]
        return [found for parent in blocks[j].parents for found in sources(parent, text)]

    skips = []
    for k, j in enumerate(path):
        for parent in blocks[j].parents:
            if parent != before[j]:
                skips += [(start, k, " · ".join(text)) for start, text in sources(parent, [])]
    return [blocks[j] for j in path], skips


def _wrap_columns(n, skips, rows):
    """Return where each column of the diagram starts: about equal in height, with no short cut that passes a break.

    A short cut may start at the last box of a column; a column grows beyond `rows` where there is no such break.
    """
    free = [i for i in range(1, n) if not any(a < i - 1 and i <= b for a, b, _ in skips)]
    starts, columns = [0], -(-n // rows)
    while n - starts[-1] > rows:
        wanted = starts[-1] + -(-(n - starts[-1]) // max(columns - len(starts) + 1, 2))
        later = [i for i in free if i > starts[-1]]
        if not later:
            break
        starts.append(min(later, key=lambda i: (abs(i - wanted), i)))
    return starts


@styled
def plot_network(model, rows=14, note="", ax=None):
    """Draw a network as a diagram: boxes top to bottom and left to right, short cuts beside them.

    Normalisation, activation and dropout stand in the box of the layer they follow. Each box says what the layers do,
    the shape they give and how many parameters they have. ``/2`` is a stride of 2.

    Parameters
    ----------
    model : keras.Model
        Built; functional and flat, or sequential.
    rows : int
        Boxes in a column at most.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The model is not built, is no stack or graph of layers, or holds another model.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{getattr(model, 'name', model)!r} has no layers to draw: give a built functional or "
                         "sequential Keras model")
    blocks, skips = _main_path_and_skips(_network_blocks(model))
    starts = _wrap_columns(len(blocks), skips, rows)
    column = np.searchsorted(starts, range(len(blocks)), side="right") - 1
    row = np.arange(len(blocks)) - np.take(starts, column)

    # Lanes: short cuts that pass each other run side by side.
    lanes, lane_of = [], []
    for a, b, _ in skips:
        lane = next((k for k, taken in enumerate(lanes) if all(b <= c or d <= a for c, d in taken)), len(lanes))
        lanes[lane:lane + 1] = [[*(lanes[lane] if lane < len(lanes) else []), (a, b)]]
        lane_of.append(lane)
    width, height, step_y = 2.35, 0.46, 0.66
    step_x = width + 0.3 + 0.28 * len(lanes) + (0.35 if skips else 0)
    total_width, total_height = (column.max() + 1) * step_x, (row.max() + 1) * step_y
    ax = new_axes(ax, max(total_width, 4.8) + 0.3, total_height + 0.85)
    ax.set(xlim=(-0.05, total_width), ylim=(total_height - 0.05, -0.12))
    ax.set_axis_off()
    left, top = column * step_x, row * step_y
    line = {"color": "black", "linewidth": 1}
    arrow = {**line, "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    between = step_x - (0.45 if skips else 0.12)  # from a box's left edge to the line up to the next column

    for i, block in enumerate(blocks):
        ax.add_patch(FancyBboxPatch((left[i], top[i]), width, height, boxstyle="round,pad=0,rounding_size=0.06",
                                    facecolor=KIND_COLOURS[block.kind], edgecolor="#555555", linewidth=0.8))
        size = SMALL if len(block.text) <= 36 else SMALL * 36 / len(block.text)
        ax.text(left[i] + width / 2, top[i] + 0.14, block.text, ha="center", va="center", fontsize=size, weight="bold")
        count = f"   {block.parameters:,} parameters" if block.parameters else ""
        ax.text(left[i] + width / 2, top[i] + 0.33, block.shape + count, ha="center", va="center", fontsize=SMALL)
        if not i:
            continue
        if column[i] == column[i - 1]:
            ax.annotate("", (left[i] + width / 2, top[i]), (left[i] + width / 2, top[i - 1] + height), arrowprops=arrow)
        else:
            x, y = left[i - 1] + width / 2, top[i - 1] + height
            up = left[i - 1] + between
            ax.plot([x, x, up, up, left[i] + width / 2], [y, y + 0.1, y + 0.1, -0.09, -0.09], **line)
            ax.annotate("", (left[i] + width / 2, 0), (left[i] + width / 2, -0.09), arrowprops=arrow)
    line, arrow = {**line, "color": VERMILLION}, {**arrow, "color": VERMILLION}
    for (a, b, text), lane in zip(skips, lane_of):
        end = top[b] + height * 0.3
        if column[a] == column[b]:
            side, x = 1, left[b] + width + 0.14 + 0.28 * lane
            start = top[a] + height * 0.7
            ax.plot([left[a] + width, x, x], [start, start, end], **line)
        else:  # from the last box of a column: the line to the next column carries what the short cut takes
            side, x, start = -1, left[b] - 0.14, -0.09
            ax.plot([x, x], [start, end], **line)
        ax.annotate("", (left[b] + (width if side > 0 else 0), end), (x, end), arrowprops=arrow)
        ax.text(x + 0.1 * side, (start + end) / 2, text, rotation=270, ha="center", va="center", fontsize=SMALL - 1,
                color=VERMILLION)
    handles = [Rectangle((0, 0), 1, 1, facecolor=KIND_COLOURS[kind], edgecolor="#555555", linewidth=0.8, label=kind)
               for kind in KIND_COLOURS if any(block.kind == kind for block in blocks)]
    if skips:
        handles.append(plt.Line2D([], [], label="short cut", **line))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1, handlelength=1.2,
              ncols=6 if len(starts) > 1 or len(handles) < 5 else 3)
    set_title(ax, f"{model.name}: {model.count_params():,} parameters", note)
    return ax
