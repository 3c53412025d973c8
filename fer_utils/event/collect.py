"""Find and classify the faces of an event's photos, videos or camera, and store each as it comes."""
import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

import cv2
from tqdm.auto import tqdm

from ..errors import CameraError, DataError
from ..networks.export import onnx_file
from ..networks.runs import read_card
from ..vision.clocks import photo_time, video_time
from ..vision.detect import DetectorPool, make_detector
from ..vision.images import look_at_photo
from ..vision.memory import keep_freed_memory
from ..vision.pipeline import Pipeline
from ..vision.predict import Face, Predictor
from ..vision.remote import Fetcher
from ..vision.sources import Source, find_sources, is_remote_file, public_address
from ..vision.video import FALLBACK_FPS, Frame, VideoFile, every_moment, open_source
from .parts import Part, collect_part, cut_note, cut_videos, how_to_follow, path_of, skipped_note
from .sharding import MANIFEST, Shard, cuts_videos, keep_manifest, read_own, refuse_cameras
from .shares import known_confusion
from .store import EventTable, Footage, Settings, changed_settings, count_kinds, open_table, read_errors
from .underway import LookingAt, UnderWay

Item = TypeVar("Item")
Result = TypeVar("Result")
FRAME_SIDES = (640,)
"""Where YuNet searches a video's frames; photos are searched as `make_detector` does, so that `predict` finds the same.
"""


def collect_event(sources: str | Path | int | Sequence[str | Path | int], out: str | Path,
                  model: str | Path = "fer_net", detector: str = "auto", every: float = 0.1,
                  seconds: float | None = None, progress: bool = True, shard: Shard | None = None,
                  threads: int | None = None) -> dict[str, int]:
    """Find and classify the faces of photos, videos or a camera, and write each to disk as it comes.

    A kill loses nothing that was finished. Called again with the same `out`, it skips the photos and videos that are
    done and continues a video where it stopped; a photo that could not be read is tried again.

    `sources` are folders (searched at any depth), photos, videos, a camera's number (0 is the first) or the address of
    its stream (rtsp://…), or addresses of files and folders that fsspec reads (s3://…, https://…/). Cameras are read
    one after the other: for two doors run two commands, each with an `out` of its own. Ctrl-C, or so many `seconds`,
    end a camera; Ctrl-C while photos or videos are read loses nothing finished.

    `every` is the seconds of video between two frames that are looked at. A face that moves by more than about its own
    width in between counts as two: at 0.1 a person may cross the picture at walking pace. `participants` leaves out who
    is seen on fewer than three of these frames. With 0 every frame is looked at.

    With a `shard` only that part of the photos and videos is looked at, and `out` gets a folder for it alone, which
    `merge_event` puts together with the others. Several shards may run at once.

    So many `threads` look at pictures side by side, by default one for each core.

    Returns counts for this call and those before; ``faces`` are the rows of faces.csv, ``already_done`` the photos and
    videos that were skipped, ``parts`` a shard's parts of long videos, where it has any. Raises `DataError` if a source
    is not there or holds no picture, or if `out` has faces from another network or detector, or another process writes
    there.
    """
    found = find_sources(sources, remote_files=True)
    if shard:
        refuse_cameras(found)
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    settings = event_settings(model, detector, every)
    everything = found
    if shard:
        everything = cut_videos(found) if cuts_videos(shard.folder(out) / MANIFEST) else found
        out, found = shard.folder(out), shard.own(everything)
    with _Workers(model, settings.detector, out, threads) as workers, open_table(out, settings) as table:
        if shard:
            keep_manifest(Path(out), shard, everything)
        return _collect(found, table, workers, seconds, progress, careful=shard is not None)


def collect_shard(folder: str | Path, model: str | Path, settings: Settings, threads: int) -> dict[str, int]:
    """Collect one of the shards that `begin_shards` began; return what `collect_event` does.

    Raises `DataError` where the network here is not that of the `settings`, or its sources are not here.
    """
    own = read_own(folder)
    if changed := changed_settings(settings, event_settings(model, settings.detector, settings.every), "is", "here"):
        raise DataError(f"the network is not the one that the event was begun with ({changed}); install the same "
                        "version of fer-utils, and the same networks, for all workers")
    if own and not any(is_remote_file(source) or os.path.lexists(path_of(source)) for source in own):
        raise DataError(f"{path_of(own[0])} is not there; workers must see the sources under the same paths")
    with _Workers(model, settings.detector, folder, threads) as workers, open_table(folder, settings) as table:
        return _collect(own, table, workers, None, progress=False, careful=True)


def _collect(found: Sequence[Source], table: EventTable, workers: "_Workers", seconds: float | None, progress: bool,
             careful: bool) -> dict[str, int]:
    """Look at what the table does not have yet; `careful` notes which pictures are under way, for after a death."""
    todo = [source for source in found if not source.problem and table.state(source.address) != "done"]
    already_done = sum(not source.problem for source in found) - len(todo)
    _note_problems(found, table)
    workers.fetcher.delete_left_over()
    with UnderWay(table) if careful else nullcontext() as notes:
        looking_at: LookingAt = nullcontext
        if notes:
            todo, looking_at = notes.without_deadly(todo), notes.looking_at
        expected = sum(_expected_pictures(source, table, seconds) for source in todo) if progress else 0
        with tqdm(total=expected or None, unit="picture", disable=not progress, dynamic_ncols=True,
                  smoothing=0.05) as bar:
            photos = [source.address for source in todo if source.kind == "photo"]
            suspects = {path for path in photos if notes and path in notes.deaths}
            for path in suspects:
                _collect_photos([path], table, workers, bar, looking_at)
            _collect_photos([path for path in photos if path not in suspects], table, workers, bar, looking_at)
            for source in todo:
                if source.kind == "video":
                    with looking_at(source.address):
                        _collect_video(source.address, table, workers, bar)
                elif source.kind == "part":
                    with looking_at(source.address):
                        collect_part(source.address, table, workers.pipeline(table.settings.every).look, workers.ahead,
                                     bar.update)
                elif source.kind != "photo":
                    with suppress(KeyboardInterrupt):
                        _collect_camera(source, table, workers, bar, seconds)
    parts = sum(record.kind == "part" and record.state != "failed" for record in table.records.values())
    return {**count_kinds(record for record in table.records.values() if record.state != "failed"),
            **({"parts": parts} if parts else {}), "faces": table.rows, "errors": len(read_errors(table.out)),
            "already_done": already_done}


def _note_problems(found: Sequence[Source], table: EventTable) -> None:
    """Note the folders that could not be searched, and forget those that now could."""
    problems = {source.address: source.problem for source in found if source.problem}
    for address, problem in problems.items():
        table.mark(address, "folder", "failed", note=problem)
    for address in {record.source for record in table.records.values() if record.kind == "folder"} - set(problems):
        table.mark(address, "folder", "done")


def event_settings(model: str | Path, detector: str, every: float) -> Settings:
    """Return what must stay the same for all faces that these options find."""
    if not 0 <= every < math.inf:
        raise ValueError(f"every must be seconds, 0 or more, got {every}")
    if detector == "auto":
        detector = make_detector("auto").name  # prints a line where it has to be Haar
    weights = hashlib.sha256(onnx_file(model).read_bytes()).hexdigest()[:16]
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
    with suppress(CameraError), VideoFile(path_of(source)) as video:
        if source.kind == "part":
            part = Part.parse(source.address)
            return math.ceil((min(part.end, video.duration or 0) - part.begin) * (1 / every if every else video.fps))
        left = max((video.total or 0) - table.position(source.address), 0)
        return math.ceil(min(left, left / video.fps / every if every else left))
    return 0


class _Workers:
    """Threads that read and look at pictures side by side, by default one for each core.

    Whole pictures side by side use the cores better than one picture divided among them, and decoding is shared too.
    """

    def __init__(self, model: str | Path, detector: str, out: str | Path, threads: int | None = None):
        self.fetcher = Fetcher(Path(out))
        self._count = threads or os.cpu_count() or 1
        self._network = Predictor(model, self._detectors(detector), threads=1)
        self._for_frames = self._network.with_detector(self._detectors(detector, FRAME_SIDES))

    def _detectors(self, name: str, sides: tuple[int, ...] | None = None) -> DetectorPool:
        # The network serves several threads at once, a detector only one.
        return DetectorPool(lambda: make_detector(name, sides if name == "yunet" else None), self._count)

    def __enter__(self) -> Self:
        keep_freed_memory()
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
        try:
            with self.fetcher.local(path) as file:
                photo, problem = look_at_photo(file, lambda image: (*photo_time(file), self._network.faces(image)))
                return photo, problem.replace(file, path)
        except DataError as error:  # it could not be fetched
            return None, str(error)

    def pipeline(self, every: float) -> Pipeline:
        """Make the pipeline of a recording."""
        return Pipeline(self._for_frames, search_every=1, **how_to_follow(every))


def _collect_photos(paths: list[str], table: EventTable, workers: _Workers, bar: tqdm, looking_at: LookingAt) -> None:
    def noted(path: str) -> tuple[tuple[datetime, str, list[Face]] | None, str]:
        with looking_at(path):
            return workers.photo(path)

    for path, look in workers.ahead(noted, paths):
        photo, problem = look()
        if photo is None:
            table.mark(path, "photo", "failed", note=problem)
        else:
            table.add_photo(path, *photo)
        bar.update()


def _collect_video(path: str, table: EventTable, workers: _Workers, bar: tqdm) -> None:
    """Follow the faces of a video, from where the table stopped."""
    every = table.settings.every
    pipeline, position = workers.pipeline(every), table.position(path)
    if position:
        for seconds, faces in table.frames_before(path).items():
            pipeline.follow(faces, seconds)  # the same faces in the same order get the same numbers
    state, problems = "done", []

    def looked() -> Iterator[tuple[Footage, int, float, dict[int, Face]]]:
        """Give what is to be written of each frame; an error in here is the video's, and not the table's."""
        nonlocal state
        file = path
        try:
            with workers.fetcher.local(path) as file, VideoFile(file) as video:
                recording = Footage(path, "video", *video_time(file, video.duration or 0))
                last = position / video.fps
                wanted = video.frames(position, every_moment(every))
                for frame, look in workers.ahead(lambda frame: pipeline.look(frame.image), wanted):
                    last = round(frame.time, 3)
                    yield recording, frame.index, last, pipeline.follow(look(), last)
                if cut := cut_note(video, path, last, every):
                    problems.append(cut)
                if skipped := skipped_note(path, video.skipped):
                    problems.append(skipped)
        except Exception as error:  # whatever one video breaks, the sources after it can still be looked at
            state = "failed"
            problems[:] = [str(error) if isinstance(error, DataError) else
                           f"{path}: could not be looked at ({type(error).__name__}: {error})"]
        problems[:] = [problem.replace(file, path) for problem in problems]

    for recording, index, moment, seen in looked():
        table.add_frame(recording, index, moment, seen)
        position = index + 1
        bar.update()
    table.mark(path, "video", state, position, note="; ".join(problems))


def _collect_camera(source: Source, table: EventTable, workers: _Workers, bar: tqdm, seconds: float | None) -> None:
    """Follow the faces of a camera until it ends, `seconds` have passed or Ctrl-C is pressed."""
    pipeline, wanted = workers.pipeline(table.settings.every), every_moment(table.settings.every)
    stopped, problem = False, ""

    def frames() -> Iterator[Frame]:
        """Give the wanted frames; an error ends them only, because the frames before it are still being looked at."""
        nonlocal problem
        try:
            for frame in camera:
                if stopped or (seconds is not None and frame.time > seconds):
                    return
                if wanted(frame.time, frame.index):
                    yield frame
        except CameraError as error:  # unplugged, or taken by another program
            problem = f"{name}: {error}"
        except KeyboardInterrupt:
            pass

    with open_source(source) as camera:
        began = datetime.now()
        name = f"camera {public_address(source.address)}, {began:%Y-%m-%d %H:%M:%S}"
        recording = Footage(name, "camera", began, "camera")
        try:
            for frame, look in workers.ahead(lambda frame: pipeline.look(frame.image), frames()):
                try:
                    faces = look()
                except KeyboardInterrupt:
                    stopped, faces = True, look()
                moment = round(frame.time, 3)
                table.add_frame(recording, frame.index, moment, pipeline.follow(faces, moment))
                bar.update()
        finally:
            table.mark(name, "camera", "done", note=problem)
