"""Time the live loop against the one that webcam tutorials have: Haar, then ``model.predict`` for each face."""
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from .. import paths
from ..labels import EMOTIONS
from ..live.view import LiveView
from ..networks.spec import FaceSpec, face_to_tensor
from ..vision.detect import HaarDetector, crop_face
from ..vision.draw import annotate_live
from ..vision.predict import Face, Predictor, live_predictor
from ..vision.scenes import FPS, PLAIN_FRAMES, ROUNDS, write_clip
from ..vision.track import FaceFollower, Smoother
from ..vision.video import open_source

MEMORY_FRAMES = (500, 5000)
STAGES = ("read", "detect", "crop", "classify", "draw")


def bench_live(source=None, model="fer_net"):
    """Time the whole live loop, its stages and its memory, and in the same run the plain loop.

    Parameters
    ----------
    source : str or Path, optional
        A video to time besides the two clips that are made: one moving face, and six.
    model : str or Path
        The network, the same in both loops.

    Returns
    -------
    dict
        ``cores``, ``opencv_threads``, ``detector``, and ``clips``: name → ``faces`` (mean found a frame),
        ``frames_s`` (best of `ROUNDS`), ``ms`` (of each of `STAGES`, mean), ``plain_faces``, ``plain_frames_s`` and
        ``ratio``; ``memory``: resident MiB after 500 and after 5,000 frames, and ``grown_mib``; ``one_thread_ms``:
        network → milliseconds for one face on one thread (median), and a face in a batch of six.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips = {"one face": Path(folder) / "one.mp4", "six faces": Path(folder) / "six.mp4"}
        for (_, path), faces in zip(clips.items(), (1, 6)):
            write_clip(path, faces)
        if source:
            clips[Path(source).name] = Path(source)
        predictor = live_predictor(model)
        result = {"cores": os.cpu_count(), "opencv_threads": cv2.getNumThreads(), "detector": predictor.detector.name,
                  "clips": {name: _time_loop(path, predictor) for name, path in clips.items()},
                  "memory": _memory(clips["one face"], predictor),
                  "one_thread_ms": {name: _one_thread(name) for name in ("fer_net", "fer_net_tiny")
                                    if (paths.MODELS / name / "model.onnx").is_file()}}
        plain = _plain_loop(model)  # after ours: TensorFlow's threads and memory are not part of it
        for name, path in clips.items():
            entry = result["clips"][name]
            entry["plain_faces"], entry["plain_frames_s"] = plain(path)
            entry["ratio"] = round(entry["frames_s"] / entry["plain_frames_s"], 1)
    return result


def timed(function, *arguments):
    """Call a function; return its result and the seconds it took."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def _time_loop(path, predictor):
    """Time the window's own loop, without the window; then its stages one by one."""
    live = LiveView(predictor)
    speed = 0.0
    for _ in range(ROUNDS + 1):  # the first one warms up
        with open_source(path) as frames:
            start, n = time.perf_counter(), 0
            for frame in frames:
                cv2.cvtColor(live.picture(frame), cv2.COLOR_RGB2BGR)
                n += 1
            speed = max(speed, n / (time.perf_counter() - start))
    stages, found = _stages(path, predictor)
    return {"faces": round(found, 2), "frames_s": round(speed, 1),
            "ms": {name: round(1000 * float(np.mean(times)), 2) for name, times in zip(STAGES, zip(*stages))}}


def _stages(path, predictor):
    follower, smoother, stages, found = FaceFollower(predictor.detector), Smoother(), [], 0
    with open_source(path) as frames:
        while True:
            marks = [time.perf_counter()]
            frame = frames.read()
            if frame is None:
                return stages, found / len(stages)
            marks.append(time.perf_counter())
            detections = follower.detect(frame.image)
            marks.append(time.perf_counter())
            crops = [crop_face(frame.image, d, predictor.detector.margin) for d in detections]
            marks.append(time.perf_counter())
            rows = predictor.probabilities(crops)
            marks.append(time.perf_counter())
            faces = [Face(tuple(map(round, d.box)), d.score, row) for d, row in zip(detections, rows)]
            annotate_live(frame.image, list(smoother.update(faces, frame.time).values()), ("60 fps",))
            marks.append(time.perf_counter())
            stages.append(np.diff(marks))
            found += len(faces)


def _memory(path, predictor):
    """Return resident memory after so many frames of one loop, in MiB."""
    import psutil  # comes with Jupyter's kernel

    process, live = psutil.Process(), LiveView(predictor)
    sizes, n, shift = [], 0, 0.0
    while n < MEMORY_FRAMES[-1]:
        with open_source(path) as frames:
            for frame in frames:
                live.picture(frame._replace(time=shift + frame.time))
                n += 1
                if n in MEMORY_FRAMES:
                    sizes.append(process.memory_info().rss / 2**20)
        shift += frame.time + 1 / FPS
    return {f"{count}_frames_mib": round(size, 1) for count, size in zip(MEMORY_FRAMES, sizes)} | {
        "grown_mib": round(sizes[-1] - sizes[0], 1)}


def _one_thread(name):
    predictor = Predictor(name, HaarDetector(), threads=1)
    crops = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
    times = []
    for batch in (crops[:1], crops):
        predictor.probabilities(batch)
        runs = []
        for _ in range(200):
            start = time.perf_counter()
            predictor.probabilities(batch)
            runs.append((time.perf_counter() - start) * 1000 / len(batch))
        times.append(round(float(np.median(runs)), 2))
    return {"one": times[0], "of_six": times[1]}


def _plain_loop(model):
    """Return the loop of webcam tutorials, as a function of a clip that gives mean faces and frames a second."""
    from ..networks.runs import load_model

    network, card = load_model(model)
    spec, cascade = FaceSpec.from_dict(card["spec"]), HaarDetector()._cascade

    def loop(path):
        capture, found = cv2.VideoCapture(str(path)), 0
        try:
            for i in range(PLAIN_FRAMES + 1):
                ok, frame = capture.read()
                if not ok:
                    break
                gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
                boxes = cascade.detectMultiScale(gray, 1.32, 5)
                for x, y, width, height in boxes:
                    face = cv2.resize(gray[y:y + height, x:x + width], (spec.size, spec.size))
                    emotion = EMOTIONS[int(network.predict(face_to_tensor(face[None], spec), verbose=0).argmax())]
                    cv2.rectangle(frame, (x, y), (x + width, y + height), (255, 0, 0), 2)
                    cv2.putText(frame, emotion, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 255), 2)
                if i == 0:  # the first frame also builds the network's graph
                    start = time.perf_counter()
                else:
                    found += len(boxes)
            return round(found / i, 2), round(i / (time.perf_counter() - start), 1)
        finally:
            capture.release()

    return loop
