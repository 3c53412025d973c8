"""Time the event report's reading against the earlier projects' loop over the same pictures."""
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ..data import load
from ..event import collect
from ..networks.spec import FaceSpec, face_to_tensor
from ..vision import detect
from ..vision.scenes import write_crowd


def bench_event(source=None, model="fer_net", photos=60, seconds=8, memory_photos=10_000):
    """Measure photos and video frames a second, beside a plain loop, and memory over many photos.

    The plain loop reads with `cv2.imread`, finds faces by the Haar cascade (1.32, 5) at full size, and calls Keras'
    ``model.predict`` once a face, with the same network. Pictures are crowds of `crowd.write_crowd`: the photos
    enlarged to 4032 × 2268 pixels, as phones take them, the video at 1280 × 720.

    Parameters
    ----------
    source : str or Path, optional
        FER2013, for the faces; else drawn ones.
    model : str
        A trained network with a model.onnx.
    photos : int
        Photos of the timed folder.
    seconds : float
        Length of the timed video, at 25 frames a second; every frame is looked at.
    memory_photos : int
        Photos over which memory is watched (200 files of 640 pixels, under many names); 0 leaves that out.

    Returns
    -------
    dict
        detector, cores, faces (what they are); ``photos_s``, ``plain_photos_s`` and ``photos_ratio`` (to stay above
        3); ``frames_s``, ``plain_frames_s``, ``frames_ratio``; the faces that each found, false ones included:
        ``photos_found``, ``plain_photos_found``, ``frames_found``, ``plain_frames_found``; with `memory_photos` also
        ``rss_early_mb`` (after a tenth of them) and ``rss_late_mb``.
    """
    found = load.load(source)
    found = found[found.labelled]
    detector = "yunet" if detect.yunet_file() else "haar"
    result = {"detector": detector, "cores": os.cpu_count(), "faces": found.title}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        if memory_photos:  # first, before the plain loop loads TensorFlow
            result |= _memory(found, scratch, model, detector, memory_photos)
        write_crowd(scratch / "photos", found, photos)
        paths = sorted((scratch / "photos").rglob("*.jpg"))
        video = _write_video(scratch / "crowd.mp4", paths, seconds)
        large = [_resized(path, 4032) for path in paths]
        half = len(large) // 2
        plain = _PlainLoop(model)
        for name, rounds in (("photos", (large[:half], large[half:])), ("frames", (video,))):
            ours_s = theirs_s = count = plain_faces = 0
            for pictures in rounds:  # in turn, so that what else the machine does slows both
                start = time.perf_counter()
                done = collect.collect_event(pictures, scratch / f"out_{name}", model, detector, every=0, progress=False)
                ours_s += time.perf_counter() - start
                start = time.perf_counter()
                looked, seen = plain(pictures if name == "photos" else _frames(video))
                theirs_s += time.perf_counter() - start
                count, plain_faces = count + looked, plain_faces + seen
            result |= {f"{name}_s": round(count / ours_s, 2), f"plain_{name}_s": round(count / theirs_s, 2),
                       f"{name}_ratio": round(theirs_s / ours_s, 2), f"{name}_found": done["faces"],
                       f"plain_{name}_found": plain_faces}
    return result


def _resized(path, width):
    """Write a photo `width` pixels wide beside the one given."""
    picture = cv2.imread(str(path))
    size = (width, round(width * picture.shape[0] / picture.shape[1]))
    resized = path.with_name(f"{path.stem}_{width}.jpg")
    cv2.imwrite(str(resized), cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))
    return resized


class _PlainLoop:
    """What the earlier projects do: Haar at full size, then one call of the network a face."""

    def __init__(self, model):
        from ..networks.runs import load_model

        self.network, card = load_model(model)
        self.spec = FaceSpec.from_dict(card["spec"])
        self.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        self.network.predict(np.zeros((1, self.spec.size, self.spec.size, self.spec.channels)), verbose=0)  # warm

    def __call__(self, pictures):
        count = found = 0
        for picture in pictures:
            picture = cv2.imread(str(picture)) if isinstance(picture, Path) else picture
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            for x, y, width, height in self.cascade.detectMultiScale(gray, 1.32, 5):
                tensor = face_to_tensor(gray[None, y:y + height, x:x + width], self.spec)
                self.network.predict(tensor, verbose=0)
                found += 1
            count += 1
        return count, found


def _write_video(path, paths, seconds):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (1280, 720))
    for i in range(round(25 * seconds)):
        writer.write(cv2.imread(str(paths[i // 25 % len(paths)])))
    writer.release()
    return path


def _frames(path):
    video = cv2.VideoCapture(str(path))
    while (frame := video.read())[0]:
        yield frame[1]


def _memory(found, scratch, model, detector, photos):
    """Return resident memory after a tenth of the photos and after all of them, in MB."""
    write_crowd(scratch / "few", found, min(200, photos))
    files = [_resized(path, 640) for path in sorted((scratch / "few").rglob("*.jpg"))]  # small: it is their number
    many = scratch / "many"
    many.mkdir()
    for i in range(photos):
        os.link(files[i % len(files)], many / f"{i:06d}.jpg")
    readings = []
    for end in (photos // 10, photos):
        collect.collect_event([many / f"{i:06d}.jpg" for i in range(end)], scratch / "out_many", model, detector,
                      progress=False)
        readings.append(_resident_mb())
    return {"memory_photos": photos, "rss_early_mb": readings[0], "rss_late_mb": readings[1]}


def _resident_mb():
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return round(int(line.split()[1]) / 1024, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, kilobytes elsewhere
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
