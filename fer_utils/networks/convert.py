"""Networks of other projects, read from their files and given our form: faces in, seven probabilities out."""

import contextlib
import io
import logging
import math
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, naming_the_extra
from ..files import why_unreadable
from ..labels import EMOTIONS
from .backend import import_keras
from .export import write_onnx

if TYPE_CHECKING:
    import onnx

KINDS = (".onnx", ".keras", ".h5", ".hdf5", ".tflite")
"""The endings of files that can be read."""
LAYOUTS = {"NHWC": (0, 1, 2), "NCHW": (2, 0, 1), "NHW": (0, 1)}
"""How a network wants the height (0), width (1) and channels (2) of its faces, after their number N."""
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of its three channels
_TYPES: dict[str, Any] = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)")
_LEAST = 1e-9  # far below any probability that counts, but above 0: what is divided by a sum must have one


@dataclass(frozen=True)
class Foreign:
    """A network as its file holds it."""

    model: "onnx.ModelProto"  # one input, one output
    run: Callable[[np.ndarray], np.ndarray]  # the same in its own library: one face as it wants it → its values
    parameters: int

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of its input; None where it leaves a size open."""
        return tuple(size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None
                     for size in self._input.type.tensor_type.shape.dim)

    @property
    def element(self) -> int:
        """The type of its input, as ``onnx.TensorProto`` numbers them."""
        return self._input.type.tensor_type.elem_type

    @property
    def _input(self) -> Any:
        return real_inputs(self.model)[0]


@dataclass(frozen=True)
class Head:
    """What becomes of the values of a network."""

    logits: bool  # whether they are logits, so that a softmax is added
    outputs: tuple[int, ...]  # of `emotions`, in their order: which value each one is
    emotions: tuple[int, ...]  # the emotions that it names, ascending
    count: int  # how many values it gives for a face


def real_inputs(model: "onnx.ModelProto") -> list[Any]:
    """Return the inputs of a network without its weights, which old files list among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def read_network(path: Path, shape: tuple[int, int, int] | None) -> Foreign:
    """Read a network from a file of one of `KINDS`; `shape` (H, W, C) is for those that leave it open.

    DataError: the file cannot be read, or the network has several inputs or outputs.
    """
    if path.suffix.lower() not in KINDS:
        raise DataError(f"{path}: is none of {', '.join(KINDS)}; export the network as one of these (torch.onnx.export "
                        "writes .onnx)")
    if problem := why_unreadable(path):
        raise DataError(f"{path}: {problem}")
    read = {".onnx": _read_onnx, ".tflite": _read_tflite}.get(path.suffix.lower())
    try:
        with naming_the_extra():
            found = read(path) if read else _read_keras(path, shape)
    except (DataError, ImportError):
        raise
    except Exception as error:  # each library has errors of its own, and not all of them share a base class
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path}: not readable as a network ({reason[0][:200]}); it must hold layers and weights, of a "
                        "version that this environment reads. Where it was made, export it as .onnx") from error
    for what, values in (("input", real_inputs(found.model)), ("output", found.model.graph.output)):
        if len(values) != 1:
            raise DataError(f"{path}: has {len(values)} {what}s ({', '.join(value.name for value in values)}); cut it "
                            f"to the one {what} that {'takes faces' if what == 'input' else 'names emotions'}")
    return found


def _read_onnx(path: Path) -> Foreign:
    import onnx
    import onnxruntime

    model = onnx.load(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    name, kind = taken.name, _TYPES.get(taken.type, np.float32)
    return Foreign(model, lambda x: session.run(None, {name: x.astype(kind)})[0], _count(model))


def _read_keras(path: Path, shape: tuple[int, int, int] | None) -> Foreign:
    import onnx

    keras = import_keras()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # old files name their inputs in an old way, which Keras understands
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if len(model.inputs) == len(model.outputs) == 1:
            wanted = tuple(model.inputs[0].shape[1:])
            if None in wanted and shape:
                wanted = shape
            inputs = keras.Input(wanted, name="face")
            model = keras.Model(inputs, model(inputs))
        write_onnx(model, Path(folder) / "model.onnx")
        written = onnx.load(Path(folder) / "model.onnx")
    return Foreign(written, lambda x: np.asarray(model(x, training=False)), model.count_params())


def _read_tflite(path: Path) -> Foreign:
    import_keras()  # TensorFlow, without its start-up messages
    import tensorflow as tf
    import tf2onnx.convert

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's interpreter moves to a package of its own
        model = tf2onnx.convert.from_tflite(str(path))[0]
        interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs["index"], x.astype(inputs["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return Foreign(model, run, _count(model))


def _count(model: "onnx.ModelProto") -> int:
    """Count the weights of a network; whole numbers of 32 and 64 bits are sizes and places instead."""
    from onnx import TensorProto

    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer
               if tensor.data_type not in (TensorProto.INT64, TensorProto.INT32))


def scaling(scale: str, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return factor and summand, float32 (C,), from gray values of 0..1 to what a scale asks for; None: "standard".

    ValueError: `scale` is none of "LOW..HIGH", "standard" and "imagenet".
    """
    if scale == "standard":
        return None
    if scale == "imagenet" and channels == 3:
        mean, deviation = np.array(_IMAGENET)
        return (1 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32)
    found = _RANGE.fullmatch(scale)
    if not found or float(found[1]) >= float(found[2]):
        raise ValueError(f"--scale {scale}: must be LOW..HIGH, to which black and white become (0..1, -1..1, 0..255), "
                         "standard (each face with mean 0 and variance 1), or, for three channels, imagenet")
    low, high = map(float, found.groups())
    return np.full(channels, high - low, np.float32), np.full(channels, low, np.float32)


class _Nodes:
    """Nodes and weights of a graph under way; `value` is the name of the last result."""

    def __init__(self, value: str, prefix: str):
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.value, self.prefix = value, prefix

    def add(self, kind: str, *others: np.ndarray | str, result: str = "", **attributes: Any) -> str:
        """Add a node that takes the last result, and constants or named results after it; return its result's name."""
        from onnx import helper, numpy_helper

        names = [self.value]
        for other in others:
            names.append(other if isinstance(other, str) else f"{self.prefix}weight{len(self.weights)}")
            if not isinstance(other, str):
                self.weights.append(numpy_helper.from_array(other, names[-1]))
        self.value = result or f"{self.prefix}value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [self.value], **attributes))
        return self.value


def wrap(foreign: Foreign, shape: tuple[int, int, int], layout: str, scale: str, head: Head,
         one_by_one: bool) -> "onnx.ModelProto":
    """Put a network between nodes that give it our form.

    The result takes ``face``, float32 (N, *shape), gray values of 0..1 (where `scale` is "standard", as that scaling of
    `FaceSpec` gives them). It gives ``probabilities``, float32 (N, 7), and ``values``, what the network itself gave,
    (N, head.count). `one_by_one` shows a network that takes one face only each face in turn.
    """
    import onnx
    from onnx import TensorProto, compose, helper, version_converter

    model = foreign.model
    if any(one.domain in ("", "ai.onnx") and one.version < 9 for one in model.opset_import):
        model = version_converter.convert_version(model, 13)  # the nodes below are of version 9 and later
    net = compose.add_prefix_graph(model.graph, "net/")
    taken, element = f"net/{real_inputs(model)[0].name}", foreign.element
    inside = [shape[axis] for axis in LAYOUTS[layout]]
    ours = _Nodes("face", "ours/")
    _scale(ours, shape, layout, scale, element)
    if one_by_one:
        body = _Nodes("one", "one/")
        body.add("Reshape", np.array([1, *inside]), result=taken)
        body.nodes, body.weights = [*body.nodes, *net.node], [*body.weights, *net.initializer]
        body.value = net.output[0].name
        body.add("Reshape", np.array([head.count]), result="row")
        kind = net.output[0].type.tensor_type.elem_type
        ours.add("Scan", num_scan_inputs=1, body=helper.make_graph(
            body.nodes, "one_face", [helper.make_tensor_value_info("one", element, inside)],
            [helper.make_tensor_value_info("row", kind, [head.count])], body.weights))
    else:
        ours.add("Identity", result=taken)
        ours.nodes, ours.weights = [*ours.nodes, *net.node], [*ours.weights, *net.initializer]
        ours.value = net.output[0].name
        ours.add("Reshape", np.array([-1, head.count]))
    ours.add("Cast", result="values", to=TensorProto.FLOAT)
    _answer(ours, head)
    def described(name: str, *sizes: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])

    graph = helper.make_graph(ours.nodes, "adopted", [described("face", *shape)], [
        described("probabilities", len(EMOTIONS)), described("values", head.count)], ours.weights)
    wrapped = helper.make_model(graph, opset_imports=list(model.opset_import), functions=list(model.functions))
    wrapped.ir_version = max(model.ir_version, 8)
    onnx.checker.check_model(wrapped)
    return wrapped


def _scale(ours: _Nodes, shape: tuple[int, int, int], layout: str, scale: str, element: int) -> None:
    """Add what brings our tensor into the range, order of axes and type that the network wants."""
    from onnx import TensorProto

    ours.add("Identity")
    if change := scaling(scale, shape[2]):
        ours.add("Mul", change[0])
        ours.add("Add", change[1])
    if layout == "NCHW":
        ours.add("Transpose", perm=[0, 3, 1, 2])
    elif layout == "NHW":
        ours.add("Reshape", np.array([-1, *shape[:2]]))
    if element == TensorProto.UINT8:
        ours.add("Add", np.array([0.5], np.float32))  # to the nearest whole number, for the cast cuts off
    if element != TensorProto.FLOAT:
        ours.add("Cast", to=element)


def _answer(ours: _Nodes, head: Head) -> None:
    """Add what makes seven probabilities, in the order of `EMOTIONS`, of the network's values."""
    ours.add("Gather", np.array(head.outputs), axis=1)
    if head.logits:
        ours.add("Softmax", axis=1)
    elif len(head.outputs) < head.count:  # without the other emotions they no longer sum to 1
        kept = ours.add("Add", np.array([_LEAST], np.float32))
        total = ours.add("MatMul", np.ones((len(head.outputs), 1), np.float32))
        ours.value = kept
        ours.add("Div", total)
    ours.add("MatMul", np.eye(len(EMOTIONS), dtype=np.float32)[list(head.emotions)], result="probabilities")


def work(model: "onnx.ModelProto", shape: Sequence[int]) -> float:
    """Return the 10^6 floating point operations of a network for one face of `shape`, in its convolutions and products.

    `shape` is that of its input without N. Layers whose sizes ONNX cannot tell do not count.
    """
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    for size, length in zip(real_inputs(model)[0].type.tensor_type.shape.dim, (1, *shape)):
        size.dim_value = length
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, list[int]] = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
                                    for value in [*graph.value_info, *graph.output]}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in shapes:
            places = shapes.get(node.output[0], [])[2:] if node.op_type == "Conv" else []
            total += math.prod(shapes[node.input[1]]) * math.prod(places)
    return round(2 * total / 1e6, 1)
