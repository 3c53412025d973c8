"""Benchmarks of the live window and of the event's reading, each against the loop that tutorials have."""

import os
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import paths
from ..data import faceset, load
from ..event.collect import collect_event
from ..labels import EMOTIONS
from ..live.view import LiveView
from ..networks.spec import face_to_tensor
from ..vision.detect import HaarDetector, haar_cascade, yunet_file
from ..vision.predict import Predictor, live_predictor
from ..vision.scenes import write_clip, write_crowd
from ..vision.video import open_source
from . import measure

PLAIN_FRAMES, ROUNDS = 20, 3
MEMORY_FRAMES = (500, 5000)
STAGES = ("read", "detect", "crop", "classify", "draw")


class PlainLoop:
    """What webcam tutorials and the earlier projects do: Haar at full size, then ``model.predict`` for each face."""

    def __init__(self, model: str | Path):
        from ..networks.runs import load_model

        self.network, card = load_model(model)
        self.spec = card.spec
        self.cascade = haar_cascade()
        blank = np.zeros((1, self.spec.size, self.spec.size), np.uint8)
        self.network.predict(face_to_tensor(blank, self.spec), verbose=0)  # the first call builds the graph

    def faces(self, picture: np.ndarray) -> list[tuple[tuple[int, int, int, int], str]]:
        """Return box and emotion of each face of a uint8 (H, W, 3) BGR picture."""
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        found = []
        for x, y, width, height in self.cascade.detectMultiScale(gray, 1.32, 5):
            tensor = face_to_tensor(gray[None, y:y + height, x:x + width], self.spec)
            row = self.network.predict(tensor, verbose=0)
            found.append(((x, y, width, height), EMOTIONS[int(row.argmax())]))
        return found


def _plain_frames(path: Path) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    while (frame := video.read())[0]:
        yield frame[1]


def bench_live(model: str = "fer_net") -> dict[str, Any]:
    """Time the window's loop, its stages and its memory, and in the same run the plain loop.

    Two clips are made, with one moving face and with six. ``clips`` holds for each ``faces`` (mean found a frame),
    ``frames_s`` (the best of `ROUNDS`), ``ms`` (mean of each of `STAGES`), ``plain_faces``, ``plain_frames_s`` and
    ``ratio``; ``memory`` resident MiB after each of `MEMORY_FRAMES` and ``grown_mib``; ``one_thread_ms`` for each
    network the median milliseconds of one face on one thread, alone and in a batch of six.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips = {"one face": Path(folder) / "one.mp4", "six faces": Path(folder) / "six.mp4"}
        for path, faces in zip(clips.values(), (1, 6)):
            write_clip(path, faces)
        predictor = live_predictor(model)
        result: dict[str, Any] = {
            "cores": os.cpu_count(), "opencv_threads": cv2.getNumThreads(), "detector": predictor.detector.name,
            "clips": {name: _clip_speed(path, predictor) for name, path in clips.items()},
            "memory": _live_memory(clips["one face"], predictor),
            "one_thread_ms": {name: _one_thread_ms(name) for name in ("fer_net", "fer_net_tiny")
                              if (paths.MODELS / name / "model.onnx").is_file()}}
        plain = PlainLoop(model)  # after ours: TensorFlow's threads and memory are not part of it
        for name, path in clips.items():
            entry = result["clips"][name]
            entry["plain_faces"], entry["plain_frames_s"] = _plain_clip_speed(path, plain)
            entry["ratio"] = round(entry["frames_s"] / entry["plain_frames_s"], 1)
    return result


def _clip_speed(path: Path, predictor: Predictor) -> dict[str, Any]:
    """Time what the window does with each frame, without the window."""
    speed = 0.0
    for _ in range(ROUNDS + 1):  # the first one warms up
        live, marks, stages, found = LiveView(predictor), [time.perf_counter()], [], 0
        live.pipeline.on_stage = lambda stage, marks=marks: marks.append(time.perf_counter())
        start = time.perf_counter()
        with open_source(path) as frames:
            for frame in frames:
                marks.append(time.perf_counter())
                cv2.cvtColor(live.picture(frame), cv2.COLOR_RGB2BGR)
                found += len(live.pipeline.recent(frame.time, 0))
                stages.append(np.diff([*marks, time.perf_counter()]))
                marks[:] = [time.perf_counter()]
        speed = max(speed, len(stages) / (time.perf_counter() - start))
    return {"faces": round(found / len(stages), 2), "frames_s": round(speed, 1),
            "ms": dict(zip(STAGES, np.round(1000 * np.mean(stages, axis=0), 2).tolist()))}


def _live_memory(path: Path, predictor: Predictor) -> dict[str, float]:
    """Return resident MiB after so many frames of one loop."""
    live = LiveView(predictor)
    sizes: dict[int, float] = {}
    shown, shift, last = 0, 0.0, 0.0
    while shown < MEMORY_FRAMES[-1]:
        with open_source(path) as frames:  # the same clip again and again, its times going on
            for frame in frames:
                last = shift + frame.time
                live.picture(frame._replace(time=last))
                shown += 1
                if shown in MEMORY_FRAMES:
                    sizes[shown] = measure.resident_mib()
        shift = last + 1 / 30
    first, end = (sizes[count] for count in MEMORY_FRAMES)
    return {**{f"{count}_frames_mib": round(size, 1) for count, size in sizes.items()},
            "grown_mib": round(end - first, 1)}


def _one_thread_ms(name: str) -> dict[str, float]:
    predictor = Predictor(name, HaarDetector(), threads=1)
    crops = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)

    def median_ms(batch: np.ndarray) -> float:
        predictor.probabilities(batch)
        runs = [measure.seconds(predictor.probabilities, batch) for _ in range(200)]
        return round(float(np.median(runs)) * 1000 / len(batch), 2)

    return {"one": median_ms(crops[:1]), "of_six": median_ms(crops)}


def _plain_clip_speed(path: Path, plain: PlainLoop) -> tuple[float, float]:
    """Return the mean number of faces found on the first frames, and frames a second, drawing included."""
    found, start = [], time.perf_counter()
    for frame in islice(_plain_frames(path), PLAIN_FRAMES):
        faces = plain.faces(frame)
        for (x, y, width, height), emotion in faces:
            cv2.rectangle(frame, (x, y), (x + width, y + height), (255, 0, 0), 2)
            cv2.putText(frame, emotion, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 255), 2)
        found.append(len(faces))
    return round(float(np.mean(found)), 2), round(len(found) / (time.perf_counter() - start), 1)


def bench_event(source: str | Path | None = None, model: str = "fer_net", photos: int = 60, seconds: float = 8,
                memory_photos: int = 10_000) -> dict[str, Any]:
    """Measure photos and video frames a second, beside the plain loop, and memory over many photos.

    The pictures are crowds of `write_crowd`, pasted from the data set `source`: `photos` of 4032 × 2268 pixels, as
    phones take them, and a video of 1280 × 720 at 25 frames a second, `seconds` long, of which every frame is looked
    at. Memory is watched over `memory_photos` small photos; 0 leaves that out.

    Returns ``photos_s``, ``plain_photos_s`` and ``photos_ratio`` (to stay above 3), and the same for frames; the faces
    that each way found, false ones included (``photos_found``, ``plain_photos_found``, …); and ``rss_early_mb`` (after
    a tenth of the photos) and ``rss_late_mb``.
    """
    known = load.load(source)
    known = known[known.labelled]
    detector = "yunet" if yunet_file() else "haar"
    result: dict[str, Any] = {"detector": detector, "cores": os.cpu_count(), "faces": known.title}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if memory_photos:  # first, before the plain loop loads TensorFlow
            result |= _event_memory(known, scratch, model, detector, memory_photos)
        write_crowd(scratch / "photos", known, photos)
        small = sorted((scratch / "photos").rglob("*.jpg"))
        video = _write_video(scratch / "crowd.mp4", small, seconds)
        large = [_resized(path, 4032) for path in small]
        half = len(large) // 2
        plain = PlainLoop(model)
        for name, rounds in (("photos", (large[:half], large[half:])), ("frames", ([video],))):
            ours_s = plain_s = 0.0
            count = plain_found = 0
            for files in rounds:  # in turn, so that what else the machine does slows both
                start = time.perf_counter()
                done = collect_event(files, scratch / f"out_{name}", model, detector, every=0, progress=False)
                between = time.perf_counter()
                pictures = map(_plain_photo, files) if name == "photos" else _plain_frames(video)
                found = [len(plain.faces(picture)) for picture in pictures]
                ours_s, plain_s = ours_s + between - start, plain_s + time.perf_counter() - between
                count, plain_found = count + len(found), plain_found + sum(found)
            result |= {f"{name}_s": round(count / ours_s, 2), f"plain_{name}_s": round(count / plain_s, 2),
                       f"{name}_ratio": round(plain_s / ours_s, 2), f"{name}_found": done["faces"],
                       f"plain_{name}_found": plain_found}
    return result


def _plain_photo(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise OSError(f"{path}: just written, and not readable")
    return picture


def _event_memory(known: faceset.FaceSet, scratch: Path, model: str, detector: str, photos: int) -> dict[str, Any]:
    """Return resident memory after a tenth of the photos and after all of them: 200 files under many names."""
    write_crowd(scratch / "few", known, min(200, photos))
    small = [_resized(path, 640) for path in sorted((scratch / "few").rglob("*.jpg"))]  # it is their number that counts
    many = [scratch / "many" / f"{i:06d}.jpg" for i in range(photos)]
    many[0].parent.mkdir()
    for i, path in enumerate(many):
        os.link(small[i % len(small)], path)
    readings = []
    for end in (photos // 10, photos):
        collect_event(many[:end], scratch / "out_many", model, detector, progress=False)
        readings.append(round(measure.resident_mib(), 1))
    return {"memory_photos": photos, "rss_early_mb": readings[0], "rss_late_mb": readings[1]}


def _resized(path: Path, width: int) -> Path:
    """Write a photo `width` pixels wide beside the one given."""
    picture = _plain_photo(path)
    size = (width, round(width * picture.shape[0] / picture.shape[1]))
    resized = path.with_name(f"{path.stem}_{width}.jpg")
    cv2.imwrite(str(resized), cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))
    return resized


def _write_video(path: Path, photos: list[Path], seconds: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (1280, 720))
    for i in range(round(25 * seconds)):
        writer.write(_plain_photo(photos[i // 25 % len(photos)]))
    writer.release()
    return path
