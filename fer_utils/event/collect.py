"""Find and classify the faces of an event's photos, videos or camera, and store each as it comes."""
import contextlib
import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import cv2

from ..errors import CameraError, DataError
from ..networks.runs import read_card, run_folder
from ..vision.detect import DetectorPool, make_detector
from ..vision.images import look_at_photo
from ..vision.pipeline import Pipeline
from ..vision.predict import Face, Predictor
from ..vision.sources import Source, find_sources, public_address
from ..vision.video import FALLBACK_FPS, Frame, FrameSource, VideoFile, every_moment, open_source
from .shares import known_confusion
from .store import EventTable, Recording, Settings, open_table, read_errors

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
PHOTO_SIDES, FRAME_SIDES = (640, 1280), (640,)
"""Where YuNet searches (`YuNetDetector`): faces that it misses then are too small for a network of 48 pixels."""


def collect_event(sources: str | Path | int | Sequence[str | Path | int], out: str | Path,
                  model: str | Path = "fer_net", detector: str = "auto", every: float = 0.1,
                  seconds: float | None = None, progress: bool = True) -> dict[str, int]:
    """Find and classify the faces of photos, videos or a camera, and write each to disk as it comes.

    A kill loses nothing that was finished. Called again with the same `out`, it skips the photos and videos that are
    done and continues a video where it stopped; a photo that could not be read is tried again.

    Parameters
    ----------
    sources
        Folders (searched at any depth), photos, videos, the number of a camera (0 is the first), or the address of
        a camera's stream (rtsp://…). Cameras are read one after the other: for two doors run two commands, each with
        an `out` of its own.
    out
        Folder for faces.csv (a row for each face of each picture), progress.jsonl, settings.json and errors.csv.
    model
        A trained network with a model.onnx.
    detector
        "auto", "yunet" or "haar".
    every
        Seconds of video between two frames that are looked at. A face that moves by more than about its own width in
        between counts as two: at 0.1 a person may cross the picture at walking pace. `participants` leaves out who is
        seen on fewer than three of these frames.
    seconds
        Stop a camera after so long; by default Ctrl-C does.
    progress
        Show a bar with the time left.

    Returns
    -------
    dict
        photos, videos, cameras, faces (rows of the table) and errors, of this call and those before; already_done
        (photos and videos that were skipped).

    Raises
    ------
    DataError
        A source is not there or holds no picture, or `out` holds faces from another network or detector, or another
        process writes there.
    ValueError
        `every` is negative or no number.
    KeyboardInterrupt
        Ctrl-C while photos or videos are read; what was finished is on disk. For a camera it is the normal end.
    """
    from tqdm import tqdm

    found = find_sources(sources)
    settings = _settings(model, detector, every)
    with _Workers(model, settings.detector) as workers, open_table(out, settings) as table:
        todo = [source for source in found if table.state(source.address) != "done"]
        expected = sum(_expected_pictures(source, table, seconds) for source in todo)
        with tqdm(total=expected or None, unit="picture", disable=not progress, dynamic_ncols=True,
                  smoothing=0.05) as bar:
            _collect_photos([source.address for source in todo if source.kind == "photo"], table, workers, bar)
            for source in todo:
                if source.kind == "video":
                    _collect_video(source.address, table, workers, bar)
                elif source.kind != "photo":
                    with contextlib.suppress(KeyboardInterrupt):
                        _collect_camera(source, table, workers, bar, seconds)
    kinds = [record.kind for record in table.records.values() if record.state != "failed"]
    return {**{f"{kind}s": kinds.count(kind) for kind in ("photo", "video", "camera")}, "faces": table.rows,
            "already_done": len(found) - len(todo), "errors": len(read_errors(out))}


def _settings(model: str | Path, detector: str, every: float) -> Settings:
    if not 0 <= every < math.inf:
        raise ValueError(f"every must be seconds, 0 or more, got {every}")
    if detector == "auto":
        detector = make_detector("auto").name  # prints a line where it has to be Haar
    onnx = run_folder(model) / "model.onnx"
    weights = hashlib.sha256(onnx.read_bytes()).hexdigest()[:16] if onnx.is_file() else ""
    card = read_card(model)
    confusion, usage = known_confusion(card)
    return Settings(card.name, weights, detector, float(every), confusion.tolist(), f"{card.title}, {usage}")


def _expected_pictures(source: Source, table: EventTable, seconds: float | None) -> int:
    """Return how many pictures of a source will be looked at, as far as one can know."""
    every = table.settings.every
    if source.kind == "photo":
        return 1
    if source.kind != "video":
        return int((seconds or 0) / (every or 1 / FALLBACK_FPS))
    with contextlib.suppress(CameraError), VideoFile(source.address) as video:
        left = max((video.total or 0) - table.position(source.address), 0)
        return math.ceil(min(left, left / video.fps / every if every else left))
    return 0


class _Workers:
    """Threads that read and look at pictures side by side, one for each core.

    Whole pictures side by side use the cores better than one picture divided among them, and decoding is shared too.
    """

    def __init__(self, model: str | Path, detector: str):
        self._count = os.cpu_count() or 1
        self._network = Predictor(model, self._detectors(detector, PHOTO_SIDES), threads=1)
        self._for_frames = self._network.with_detector(self._detectors(detector, FRAME_SIDES))

    def _detectors(self, name: str, sides: tuple[int, ...]) -> DetectorPool:
        # The network serves several threads at once, a detector only one.
        return DetectorPool(lambda: make_detector(name, sides if name == "yunet" else None), self._count)

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="event")
        self._opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(self._opencv_threads)

    def ahead(self, work: Callable[[Item], Result],
              items: Iterable[Item]) -> Iterator[tuple[Item, Callable[[], Result]]]:
        """Yield (item, function that returns or raises what its work did), in order, with a few under way."""
        waiting: deque[tuple[Item, Callable[[], Result]]] = deque()
        for item in items:
            waiting.append((item, self._pool.submit(work, item).result))
            if len(waiting) > 2 * self._count:
                yield waiting.popleft()
        yield from waiting

    def photo(self, path: str) -> tuple[tuple[datetime, str, list[Face]] | None, str]:
        """Return when a photo was taken, by which clock, and its faces; or None, and why it could not be read."""
        return look_at_photo(path, lambda image: (*photo_time(path), self._network.faces(image)))

    def pipeline(self, every: float) -> Pipeline:
        """Make the pipeline of a recording: whoever turns away for a moment, or walks past, stays the same person."""
        return Pipeline(self._for_frames, search_every=1, smooth_seconds=0, overlap=0.1,
                        patience=max(1.0, 3 * every))  # frames may lie further apart than a second


def photo_time(path: str | Path) -> tuple[datetime, str]:
    """Return when a photo was taken, in local time without zone as cameras write it, and which clock says so.

    The clock is "exif" (DateTimeOriginal), or "file" (last change) where EXIF says nothing or something impossible.
    """
    from PIL import Image

    with contextlib.suppress(Exception):  # damaged EXIF raises errors of many kinds; the file has a date all the same
        with Image.open(path) as image:
            text = image.getexif().get_ifd(0x8769).get(36867)
        taken = datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
        if 1900 <= taken.year <= datetime.now().year + 1:  # one photo of the year 1 would stretch the event
            return taken, "exif"
    return datetime.fromtimestamp(os.path.getmtime(path)), "file"


def _collect_photos(paths: list[str], table: EventTable, workers: _Workers, bar: "tqdm") -> None:
    for path, look in workers.ahead(workers.photo, paths):
        photo, problem = look()
        if photo is None:
            table.mark(path, "photo", "failed", note=problem)
        else:
            table.add_photo(path, *photo)
        bar.update()


def _collect_video(path: str, table: EventTable, workers: _Workers, bar: "tqdm") -> None:
    """Follow the faces of a video, from where the table stopped."""
    every = table.settings.every
    pipeline, position = workers.pipeline(every), table.position(path)
    if position:
        for seconds, faces in table.frames_before(path).items():
            pipeline.follow(faces, seconds)  # the same faces in the same order get the same numbers
    state, problem = "done", ""
    try:
        with VideoFile(path) as video:
            recording = Recording(path, "video", _video_start(path, video))
            last = position / video.fps
            wanted = video.frames(position, every_moment(every))
            for frame, look in workers.ahead(lambda frame: pipeline.look(frame.image), wanted):
                last = round(frame.time, 3)
                table.add_frame(recording, frame.index, last, pipeline.follow(look(), last))
                position = frame.index + 1
                bar.update()
            # Headers count up to a second too much, and after the last frame looked at there may be `every` seconds.
            if video.cut_short(last + every + 1):
                problem = f"{path}: cut short, {last:.0f} of {video.duration:.0f} seconds could be read"
    except Exception as error:  # whatever one video breaks, the sources after it can still be looked at
        state, problem = "failed", str(error) if isinstance(error, DataError) else (
            f"{path}: could not be looked at ({type(error).__name__}: {error})")
    table.mark(path, "video", state, position, note=problem)


def _video_start(path: str, video: VideoFile) -> datetime:
    """Return when a video began: a recorder writes the file's time when it stops."""
    return datetime.fromtimestamp(os.path.getmtime(path)) - timedelta(seconds=video.duration or 0)


def _collect_camera(source: Source, table: EventTable, workers: _Workers, bar: "tqdm", seconds: float | None) -> None:
    """Follow the faces of a camera until it ends, `seconds` have passed or Ctrl-C is pressed."""
    pipeline = workers.pipeline(table.settings.every)
    with open_source(source) as camera:
        began = datetime.now()
        name = f"camera {public_address(source.address)}, {began:%Y-%m-%d %H:%M:%S}"
        recording, frames = Recording(name, "camera", began), _CameraFrames(camera, table.settings.every, seconds)
        try:
            for frame, look in workers.ahead(lambda frame: pipeline.look(frame.image), frames):
                try:
                    faces = look()
                except KeyboardInterrupt:
                    frames.stopped, faces = True, look()
                moment = round(frame.time, 3)
                table.add_frame(recording, frame.index, moment, pipeline.follow(faces, moment))
                bar.update()
        finally:
            table.mark(name, "camera", "done", note=frames.problem and f"{name}: {frames.problem}")


class _CameraFrames:
    """The frames of a camera that are looked at.

    They end without an error, because what was seen counts, and the last few frames are still being looked at. Set
    `stopped` to end them; `problem` says how the camera failed.
    """

    def __init__(self, camera: FrameSource, every: float, seconds: float | None):
        self._camera, self._wanted, self._seconds = camera, every_moment(every), seconds
        self.stopped, self.problem = False, ""

    def __iter__(self) -> Iterator[Frame]:
        try:
            for frame in self._camera:
                if self.stopped or (self._seconds is not None and frame.time > self._seconds):
                    return
                if self._wanted(frame.time, frame.index):
                    yield frame
        except CameraError as error:  # unplugged, or taken by another program
            self.problem = str(error)
        except KeyboardInterrupt:
            pass
