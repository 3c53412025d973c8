"""Find and classify the faces of an event's photos, videos or camera, each written to disk as it comes."""
import contextlib
import hashlib
import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import cv2

from ..errors import CameraError, DataError
from ..networks.runs import read_card, run_folder
from ..vision.detect import make_detector
from ..vision.images import PHOTO_ENDINGS, read_photo
from ..vision.predict import Predictor
from ..vision.video import open_source, public_address
from .shares import known_confusion
from .store import EventTable, Settings, new_tracker, read_errors

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".m2ts")
PHOTO_SIDES, FRAME_SIDES = (640, 1280), (640,)
"""Where YuNet searches (`faces.YuNetDetector`): what it misses so is too small for a network of 48 pixels."""


def collect_event(sources, out, model="fer_net", detector="auto", every=0.1, seconds=None, progress=True):
    """Find and classify the faces of photos, videos or a camera, and write each to disk as it comes.

    A kill loses nothing finished: called again with the same `out`, photos that are done are left out and a video goes
    on where it was. A photo that could not be read is tried again.

    Parameters
    ----------
    sources : str, Path, int or sequence of them
        Folders (searched at any depth), photos, videos, the number of a camera (0 is the first), or the address of
        a camera's stream (rtsp://…). Cameras are read one after the other: for two doors run two commands, each with
        an `out` of its own.
    out : str or Path
        Folder for faces.csv (a row for each face of each picture), progress.jsonl, settings.json and errors.csv.
    model : str or Path
        A trained network with a model.onnx.
    detector : str
        "auto", "yunet" or "haar".
    every : float
        Seconds of video between two frames that are looked at. A face that moves by more than about its own width in
        between counts as two: at 0.1 a person may cross the picture at walking pace. Who is seen on fewer than three
        of these frames is not counted (`event_summary.participants`).
    seconds : float, optional
        Stop a camera after so long; by default Ctrl-C does.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    dict
        photos, videos, cameras, faces (rows of the table) and errors, of this call and those before; already_done
        (photos and videos that were left out).

    Raises
    ------
    DataError
        A source is not there or holds no picture, or `out` holds faces from another network or detector, or is being
        written by another process.
    ValueError
        `every` is negative or no number.
    KeyboardInterrupt
        Ctrl-C while photos or videos are read; what was finished is on disk. A camera ends without it.
    """
    from tqdm import tqdm

    found = find_sources(sources)
    settings = _settings(model, detector, every)
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(contextlib.closing(_Workers(model, settings.detector)))
        table = stack.enter_context(contextlib.closing(EventTable(out, settings)))
        todo = [(kind, source) for kind, source in found if table.state(source) != "done"]
        expected = sum(_expected_looks(table, kind, source, every, seconds) for kind, source in todo)
        bar = stack.enter_context(tqdm(total=expected or None, unit="picture", disable=not progress,
                                       dynamic_ncols=True, smoothing=0.05))
        photos = [source for kind, source in todo if kind == "photo"]
        for source, look in workers.ahead(workers.photo, photos):
            try:
                taken, faces = look()
            except Exception as error:  # whatever one photo breaks in a decoder or detector, the others go on
                table.mark(source, "photo", "failed", note=_why(source, error))
            else:
                table.add_photo(source, taken, faces)
            bar.update()
        for kind, source in todo:
            if kind == "video":
                _collect_video(table, workers, source, every, bar)
            elif kind == "camera":
                with contextlib.suppress(KeyboardInterrupt):
                    _collect_camera(table, workers, source, every, seconds, bar)
    kinds = [record["kind"] for record in table.records.values() if record["state"] != "failed"]
    return {**{f"{kind}s": kinds.count(kind) for kind in ("photo", "video", "camera")}, "faces": table.rows,
            "already_done": len(found) - len(todo), "errors": len(read_errors(out))}


def find_sources(sources):
    """List the photos, videos and cameras that sources name, each once.

    Parameters
    ----------
    sources : str, Path, int or sequence of them

    Returns
    -------
    list of (str, str)
        Kind ("photo", "video" or "camera") and absolute path (of a camera: its number or address). Hidden files and
        files of other kinds in a folder are left out.

    Raises
    ------
    DataError
        A source is not there, is no picture, or is a folder without any.
    """
    if isinstance(sources, (str, os.PathLike, int)):
        sources = [sources]
    found = {}
    for source in sources:
        # A folder may be called by its year, or written C://photos.
        if isinstance(source, int) or (not os.path.exists(source)
                                       and (str(source).isdecimal() or "://" in str(source))):
            found[str(source)] = "camera"
            continue
        path = os.path.abspath(Path(source).expanduser())
        if os.path.isdir(path):
            kinds = {name: kind for name in _files(path) if (kind := _kind(name))}
            if not kinds:
                raise DataError(f"{source}: no photo ({', '.join(PHOTO_ENDINGS)}) or video "
                                f"({', '.join(VIDEO_ENDINGS)}) in this folder")
            found |= kinds
        elif not os.path.exists(path):
            raise DataError(f"{source}: there is no such file or folder (a camera is named by its number, such "
                            "as 0, or its stream's address)")
        elif not _kind(path):
            raise DataError(f"{source}: neither a photo nor a video, by the ending of its name")
        else:
            found[path] = _kind(path)
    return [(kind, source) for source, kind in found.items()]


def _files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(folder, name) for name in sorted(names) if not name.startswith("."))


def _kind(name):
    ending = os.path.splitext(name)[1].lower()
    return "photo" if ending in PHOTO_ENDINGS else "video" if ending in VIDEO_ENDINGS else None


def _why(source, error):
    """Return why a source could not be read, with its name."""
    return str(error) if isinstance(error, DataError) else (
        f"{source}: could not be looked at ({type(error).__name__}: {error})")


def _settings(model, detector, every):
    if not 0 <= every < math.inf:
        raise ValueError(f"every must be seconds, 0 or more, got {every}")
    if detector == "auto":
        detector = make_detector("auto").name  # says so where it has to be Haar
    onnx = run_folder(model) / "model.onnx"
    weights = hashlib.sha256(onnx.read_bytes()).hexdigest()[:16] if onnx.is_file() else ""
    card = read_card(model)
    confusion, usage = known_confusion(card)
    usage = f"{card['data']['title']}, {usage}"
    return Settings(card["name"], weights, detector, float(every), confusion.tolist(), usage)


class _Workers:
    """Threads that read and look at pictures side by side, one for each core, each with a detector of its own.

    Whole pictures side by side use the cores better than one picture cut among them, and decoding is shared too.
    """

    def __init__(self, model, detector):
        count = os.cpu_count() or 1
        self._network = Predictor(model, make_detector(detector), threads=1)  # ONNX Runtime serves several threads
        self._for_photos, self._for_frames = SimpleQueue(), SimpleQueue()
        for _ in range(count):
            for queue, sides in ((self._for_photos, PHOTO_SIDES), (self._for_frames, FRAME_SIDES)):
                queue.put(make_detector(detector, **({"max_sides": sides} if detector == "yunet" else {})))
        self._window = 2 * count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="event")
        self._before = cv2.getNumThreads()
        cv2.setNumThreads(1)

    def ahead(self, work, items):
        """Yield (item, function that returns or raises what its work did), in order, with a few under way."""
        waiting = deque()
        for item in items:
            waiting.append((item, self._pool.submit(work, item)))
            if len(waiting) > self._window:
                item, future = waiting.popleft()
                yield item, future.result
        for item, future in waiting:
            yield item, future.result

    def photo(self, path):
        image = read_photo(path)
        return photo_time(path), self._faces(self._for_photos, image)

    def frame(self, frame):
        return self._faces(self._for_frames, frame[2])

    def _faces(self, detectors, image):
        detector = detectors.get()
        try:
            return self._network.classify(image, detector.detect(image))
        finally:
            detectors.put(detector)

    def close(self):
        self._pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(self._before)


def photo_time(path):
    """Return when a photo was taken and which clock says so.

    Returns
    -------
    datetime
        Local time without zone, as cameras write it.
    str
        "exif" (DateTimeOriginal), or "file" (last change) where EXIF says nothing or what cannot be.
    """
    from PIL import Image

    with contextlib.suppress(Exception):  # damaged EXIF raises errors of many kinds; the file has a date all the same
        with Image.open(path) as image:
            text = image.getexif().get_ifd(0x8769).get(36867)
        taken = datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
        if 1900 <= taken.year <= datetime.now().year + 1:  # one photo of the year 1 would stretch the event
            return taken, "exif"
    return datetime.fromtimestamp(os.path.getmtime(path)), "file"


def _collect_video(table, workers, source, every, bar):
    """Follow the faces of a video from where the table left it."""
    tracker, start = table.resume(source)
    last = start - 1
    try:
        video = _open(source)
        count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS) or 25
        # A recorder writes the file's time when it stops.
        began = datetime.fromtimestamp(os.path.getmtime(source)) - timedelta(seconds=max(count / rate, 0))
        for (last, position, _), look in workers.ahead(workers.frame, _frames(video, every, start)):
            table.add_frame(source, "video", tracker, look(), last, position, began)
            bar.update()
        if last < 0:
            raise DataError(f"{source}: no frame of this video could be read")
        # Containers count a little more than there is, and after the last frame looked at there may be `every` more.
        short = last + 1 + every * rate < 0.9 * count - 30
        note = f"{source}: cut short, {last / rate:.0f} of {count / rate:.0f} seconds could be read" if short else ""
        table.mark(source, "video", "done", position=last + 1, note=note)
    except Exception as error:  # as with photos
        table.mark(source, "video", "failed", position=last + 1, note=_why(source, error))


def _collect_camera(table, workers, source, every, seconds, bar):
    with open_source(source) as camera:
        began = datetime.now()
        name = f"camera {public_address(source)}, {began:%Y-%m-%d %H:%M:%S}"
        tracker, note, stopped = new_tracker(every), "", False

        def frames():
            nonlocal note
            last = None
            try:
                for frame in camera:
                    if stopped or (seconds is not None and frame.time > seconds):
                        return
                    slot = _slot(frame.time, frame.index, every)
                    if slot != last:
                        yield frame.index, round(frame.time, 3), frame.image
                    last = slot
            # What was seen until then counts, and a few frames are still being looked at.
            except CameraError as error:  # unplugged, or busy
                note = f"{name}: {error}"
            except KeyboardInterrupt:
                pass

        try:
            for (index, position, _), look in workers.ahead(workers.frame, frames()):
                try:
                    faces = look()
                except KeyboardInterrupt:
                    stopped, faces = True, look()
                table.add_frame(name, "camera", tracker, faces, index, position, began)
                bar.update()
        finally:
            table.mark(name, "camera", "done", note=note)


def _open(source):
    video = cv2.VideoCapture(source)
    if not video.isOpened():
        raise DataError(f"{source}: not a video that OpenCV can read")
    return video


def _slot(position, index, every):
    """Return a number that changes with each frame to look at."""
    return int(position / every + 1e-6) if every else index


def _frames(video, every, start):
    """Yield (index, seconds, RGB picture) of the frames to look at, from frame `start` on."""
    rate = video.get(cv2.CAP_PROP_FPS) or 25
    last, index = None, 0
    while video.grab():
        # Some containers give no times.
        position = max(video.get(cv2.CAP_PROP_POS_MSEC) / 1000, 0) or index / rate
        slot = _slot(position, index, every)
        if slot != last and index >= start:
            readable, picture = video.retrieve()
            if readable:
                yield index, round(position, 3), cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        last, index = slot, index + 1
    video.release()


def read_frames(source, numbers):
    """Return frames of a video by their numbers: a dict of uint8 (H, W, 3) RGB, without those that cannot be read.

    Raises
    ------
    DataError
        The video cannot be read.
    """
    # Seeking is not exact in every container; the frames before are skipped instead, once for all.
    video, found = _open(source), {}
    for index in range(max(numbers) + 1):
        if not video.grab():
            break
        if index in numbers:
            readable, picture = video.retrieve()
            if readable:
                found[index] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    video.release()
    return found


def _expected_looks(table, kind, source, every, seconds):
    if kind == "photo":
        return 1
    if kind == "camera":
        return int((seconds or 0) / (every or 1 / 25))
    video = cv2.VideoCapture(source)
    frames, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS) or 25
    video.release()
    left = max(frames - table.records.get(source, {}).get("position", 0), 0)
    return math.ceil(min(left, left / rate / every if every else left))
