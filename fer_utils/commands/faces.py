"""Commands of faces: predict, webcam, label, app."""

import argparse
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outcome import Outcome, add_live, add_network, command

if TYPE_CHECKING:
    import numpy as np

    from ..vision.predict import Face

_SOFTWARE = "fer_utils predict"


def add_faces_commands(add: Any) -> None:
    """Add these commands to the command line."""
    sub = command(add, "predict", predict_command, data=False)
    sub.add_argument("photos", nargs="+", metavar="PHOTO")
    add_network(sub)
    sub.add_argument("--save", type=Path, metavar="DIR", help="write each photo there with its faces marked")
    sub.add_argument("--crops", action="store_true", help="each picture is a face already: classify it as it is")

    sub = command(add, "webcam", webcam_command, data=False)
    sub.add_argument("--source", default="0", help="camera number, video file, photo or stream address; default: 0")
    sub.add_argument("--headless", action="store_true", help="no window: write annotated.mp4 and faces.csv")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to; default: captures/")
    sub.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                     help="default: in the window cameras yes, files no; with --headless no")
    add_network(sub)
    add_live(sub, "stop after so much of the source")

    _add_label(command(add, "label", label_command, data=False, needs=("sklearn",)))

    sub = command(add, "app", photo_app_command, data=False, needs=("voila", "anywidget"))
    sub.add_argument("--host", default="127.0.0.1", help="another address opens it to others, who then need a token")
    sub.add_argument("--port", type=int, default=8866)
    sub.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")
    sub.add_argument("--name", action="append", default=[], metavar="NAME",
                     help="the name under which a proxy serves it to others, as photos.example.org; may be given again")
    sub.add_argument("--visitors", type=int, default=8, help="at most so many pages at a time; default: 8")


def _add_label(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("sources", nargs="*", metavar="SOURCE",
                     help="photo, video, or folder of them; default: the faces that DIR has already")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="a second run with this goes on")
    sub.add_argument("--annotator", default="me", metavar="NAME", help="who labels; several may label into one DIR")
    sub.add_argument("--order", default="unsure", choices=["unsure", "random"],
                     help="begin with the faces of which the network is least sure, or at random; default: unsure")
    sub.add_argument("--guess", default="after", choices=["after", "before", "never"],
                     help="when to show what the network says; before pulls your labels towards it; default: after")
    sub.add_argument("--every", type=float, default=1.0, metavar="S",
                     help="of a video take a face of each person every so many seconds; default: 1")
    sub.add_argument("--summary", action="store_true", help="no window: only count what DIR has")
    add_network(sub)


def predict_command(args: Namespace) -> Outcome:
    """Find the faces of photos and name their expressions."""
    from ..vision.detect import FACE_SIDE, WholePicture
    from ..vision.images import look_at_photo
    from ..vision.predict import Predictor

    predictor = Predictor(args.model, WholePicture() if args.crops else args.detector)
    photos, lines = [], []
    taken = {Path(file).resolve() for file in args.photos}
    for file in args.photos:
        seen, error = look_at_photo(file, lambda image: (image, predictor.faces(image)))
        photos.append({"file": file, "width": None, "height": None, "faces": [], "error": error or None})
        if seen is None:
            print(error, file=sys.stderr)
            continue
        image, faces = seen
        photos[-1] |= {"height": image.shape[0], "width": image.shape[1], "faces": [face.to_dict() for face in faces]}
        lines.append(f"{file}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        if not faces and max(image.shape[:2]) <= FACE_SIDE:
            lines.append("  as small as a face alone: --crops classifies such pictures as they are")
        lines += [f"  {face.emotion} {face.confidence:.0%} at {', '.join(map(str, face.box))}" for face in faces]
        if args.save:
            saved = _save_annotated(image, faces, args.save / f"{Path(file).stem}.png", taken)
            lines.append(f"  marked in {saved}")
    failed = sum(photo["error"] is not None for photo in photos)
    if failed:
        lines.append(f"{failed} of {len(photos)} photos could not be read")
    return Outcome({"photos": photos}, "\n".join(lines), failed > 0)


def _save_annotated(image: "np.ndarray", faces: list["Face"], path: Path, taken: set[Path]) -> Path:
    """Write a marked photo as PNG, with a number behind its name where that is `taken` or a file of the user's own.

    Returns the path of that PNG.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from ..files import whole
    from ..vision.draw import annotate

    path = path.resolve()
    stem, number = path.stem, 1
    while path in taken or (path.exists() and not _is_ours(path)):
        number += 1
        path = path.with_name(f"{stem}-{number}.png")
    taken.add(path)
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    with whole(path) as part:
        Image.fromarray(annotate(image, faces)).save(part, pnginfo=info)
    return path


def _is_ours(path: Path) -> bool:
    """Return whether an earlier call wrote a picture, which may then be replaced."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == _SOFTWARE
    except OSError:
        return False


def webcam_command(args: Namespace) -> Outcome:
    """Live window: Space captures, Esc closes; or, --headless, an annotated video."""
    from .. import paths
    from ..live import headless, window

    if args.seconds is not None and not args.headless:
        raise ValueError("--seconds goes with --headless; Esc closes the window")
    options = {"model": args.model, "detector": args.detector, "unsure": args.unsure}
    if args.headless:
        result = headless.annotate_video(args.source, args.out or paths.ROOT / "captures", mirror=bool(args.mirror),
                                         seconds=args.seconds, progress=not args.json, **options)
        text = f"{result['frames']} frames, {result['people']} faces followed: {result['video']}, {result['table']}"
        if not result["complete"]:
            text += "\nthe end of the file is missing: is it whole?"
        if result["skipped"]:
            text += f"\n{result['skipped']} frames could not be decoded and were skipped"
        for path in result["left"]:
            text += f"\n{path}: left by a run that was killed; delete it, or keep it under another name"
        return Outcome(result, text, not result["complete"])
    captures = window.webcam(args.source, mirror=args.mirror, out=args.out, **options)
    files = [str(capture.path) for capture in captures]
    return Outcome({"captures": files}, "\n".join(files) or "nothing was captured (Space captures)")


def label_command(args: Namespace) -> Outcome:
    """Label the faces of your own photos and videos, by keys, as a data set to train on."""
    from ..errors import CameraError
    from ..live import label_sources, label_window, labelling, window
    from ..live.label_folder import LabelFolder
    from ..vision.predict import Predictor

    settings = labelling.LabelSettings(args.annotator, args.order, args.guess)
    folder = LabelFolder(args.out)
    if args.summary:
        if args.sources:
            raise ValueError("--summary counts what the folder has: leave SOURCE out")
        summary = labelling.label_summary(folder)
        return Outcome(summary, labelling.summary_text(summary))
    if args.sources and (problem := window.window_problem(label_window.NO_WINDOW)):
        raise CameraError(problem)  # before a search that may take long
    predictor = Predictor(args.model, args.detector)
    if args.sources:
        for problem in label_sources.find_faces(args.sources, folder, predictor, args.every, not args.json):
            print(problem, file=sys.stderr)
    summary = label_window.label_faces(labelling.LabelSession.of_folder(folder, predictor, settings))
    return Outcome(summary, labelling.summary_text(summary))


def photo_app_command(args: Namespace) -> Outcome:
    """Serve the photo app (notebook 07) by Voilà, on this machine only."""
    from ..live import server

    print("Starting the photo app. Ctrl-C ends it.", file=sys.stderr)
    server.serve(args.host, args.port, args.browser, args.name, args.visitors)
    return Outcome({}, "The photo app has ended.")
