"""Faces of photos and videos, found and cropped as the network sees them, into a folder of labelling."""
import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..errors import DataError
from ..files import only_one
from ..networks.spec import FaceSpec, face_to_tensor
from ..vision.detect import Detection, crop_face
from ..vision.draw import line_width
from ..vision.images import look_at_photo, read_photo, shrunk
from ..vision.predict import Predictor, live_predictor
from ..vision.sources import Source, find_sources
from ..vision.track import Tracker
from ..vision.video import VideoFile, every_moment, native_path
from .label_folder import LabelFace, LabelFolder, Looked

LOOK_S, MIN_LOOKS = 0.1, 3  # as for events: who is seen on fewer looks at a video is noise of the detector
_SAVE_AFTER = 100  # sources: a kill loses the search of so many
BOX_COLOUR = (255, 210, 0)


def find_faces(sources: str | Path | Sequence[str | Path], folder: LabelFolder, predictor: Predictor,
               every: float = 1.0, progress: bool = True) -> list[str]:
    """Find the faces of photos and videos, and add them to a folder of labelling.

    Sources that were searched before are skipped, unless their file has changed, or they showed no face and the
    detector is another one now.
    `sources` are as `collect_event` takes them, without cameras. Of a video it takes a face of each person that it
    follows every so many seconds. Returns what could not be read. Raises `DataError` where a source is not there or
    is a camera, or no face is found and the folder has none.
    """
    from tqdm.auto import tqdm

    if not every > 0:
        raise ValueError(f"every must be seconds, above 0, got {every:g}")
    own = folder.picture("").resolve()  # the labels may lie among the photos
    found = [source for source in find_sources(sources) if not Path(source.address).resolve().is_relative_to(own)]
    if cameras := [source.address for source in found if source.kind in ("camera", "stream")]:
        raise DataError(f"{cameras[0]}: is a camera; capture pictures first (python -m fer_utils webcam, Space), then "
                        "label the folder captures/")
    problems = [source.problem for source in found if source.problem]
    with only_one(folder.path, "faces are being found for this folder"):
        folder.read_index()
        finder = _Finder(folder, predictor, every)
        todo = [source for source in found if not source.problem and finder.is_new(source)]
        try:
            for number, source in enumerate(tqdm(todo, unit="source", disable=not progress or not todo), 1):
                if problem := finder.look(source):
                    problems.append(problem)
                if number % _SAVE_AFTER == 0:
                    finder.save()
        finally:
            if todo:
                finder.save()
    if not folder.faces:
        raise DataError(f"no face was found in {len(found)} photos and videos; try another --detector, or photos that "
                        f"show faces from the front{'. Not read: ' + problems[0] if problems else ''}")
    return problems


class _Finder:
    """Looks at sources one after the other, and adds their faces to a folder."""

    def __init__(self, folder: LabelFolder, predictor: Predictor, every: float):
        self._folder, self._predictor, self._every = folder, predictor, every
        self._for_frames = live_predictor(predictor)
        # Copies of a photo give equal faces, wherever they lie: one is enough.
        self._marks = {match[1] for name in folder.faces if (match := re.search(r"-([0-9a-f]{10})\.png$", name))}
        self._looked = folder.read_looked()
        self._known = {face.source for face in folder.faces.values()}
        self._found = 0

    def is_new(self, source: Source) -> bool:
        """Return whether a photo or video is to be searched."""
        before = self._looked.get(source.address)
        if before is None or before.state != _state(source.address):
            return before is not None or source.address not in self._known
        return source.address not in self._known and (
            before.faces > 0 or before.detector != self._predictor.detector.name)

    def look(self, source: Source) -> str:
        """Add the faces of a photo or video; return why that failed, "" where it did not."""
        state, before, problem = _state(source.address), self._found, ""
        if source.kind == "photo":
            problem = look_at_photo(source.address, lambda image: self._photo(source.address, image))[1]
        else:
            try:
                self._video(source.address)
            except DataError as error:
                problem = str(error)
        if not problem:
            self._looked[source.address] = Looked(source.address, state, self._predictor.detector.name,
                                                  self._found - before)
        return problem

    def save(self) -> None:
        """Write what was found so far, and where no face was."""
        if self._folder.faces:  # a folder without a face is no folder of labelling yet
            self._folder.save_index()
            self._folder.save_looked(self._looked)

    def _photo(self, path: str, image: np.ndarray) -> None:
        detector = self._predictor.detector
        for found in detector.detect(image):
            self._add(path, path, found, self._crop(image, found, detector.margin), image.shape)

    def _video(self, path: str) -> None:
        predictor, tracker = self._for_frames, Tracker(smooth_seconds=0, overlap=0.1)
        looks: dict[int, int] = {}
        taken: dict[int, list[tuple[float, int, Detection, np.ndarray]]] = {}
        with VideoFile(path) as video:
            frames, shape = 0, (0, 0)
            for frame in video.frames(wanted=every_moment(LOOK_S)):
                frames += 1
                found, shape = predictor.detector.detect(frame.image), frame.image.shape
                numbers = tracker.update(predictor.classify(frame.image, found), frame.time)
                for person, detection in zip(numbers, found):
                    looks[person] = looks.get(person, 0) + 1
                    own = taken.setdefault(person, [])
                    if not own or frame.time - own[-1][0] >= self._every - 1e-6:
                        crop = self._crop(frame.image, detection, predictor.detector.margin)
                        own.append((frame.time, frame.index, detection, crop))
        for person, own in taken.items():
            if looks[person] >= min(MIN_LOOKS, frames):
                for _, index, detection, crop in own:
                    self._add(path, f"{path}#{person + 1}", detection, crop, shape, index)

    def _crop(self, image: np.ndarray, found: Detection, margin: float) -> np.ndarray:
        return face_pixels([crop_face(image, found, margin)], self._predictor.spec)[0]

    def _add(self, source: str, person: str, found: Detection, pixels: np.ndarray, shape: tuple[int, ...],
             frame: int | None = None) -> None:
        mark = hashlib.sha256(pixels.tobytes()).hexdigest()[:10]
        if mark in self._marks:
            return
        self._marks.add(mark)
        self._found += 1
        stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(source).stem).strip("_")[:40] or "face"
        left, top, width, height = (round(value) for value in found.box)
        right, bottom = min(left + width, shape[1]), min(top + height, shape[0])
        left, top = max(left, 0), max(top, 0)
        self._folder.add([LabelFace(f"{stem}-{mark}.png", source, person, (left, top, right - left, bottom - top),
                                    frame)], [pixels])


def _state(path: str) -> str:
    """Return what changes when a file does: its size and time."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def face_pixels(crops: Sequence[np.ndarray], spec: FaceSpec) -> np.ndarray:
    """Return face crops as a network of 48×48 gray pixels sees them, uint8 (N, 48, 48), by `face_to_tensor`."""
    tensor = face_to_tensor(list(crops), FaceSpec(enlarge=spec.enlarge))
    return np.rint(tensor[..., 0] * 255).astype(np.uint8)


@lru_cache(maxsize=4)
def source_picture(face: LabelFace, side: int = 640) -> np.ndarray | None:
    """Return the photo or frame that shows a face, with a box around it: uint8 (H, W, 3) RGB, `side` pixels at most.

    None where it is not there any more, or cannot be shown.
    """
    if not face.box or not Path(face.source).is_file():
        return None
    try:
        image = read_photo(face.source) if face.frame is None else _video_frame(face.source, face.frame)
    except DataError:
        return None
    if image is None:
        return None
    image, scale = shrunk(image, side)
    image = image.copy()
    left, top, width, height = (round(value * scale) for value in face.box)
    for colour, thick in (((0, 0, 0), line_width(image) + 2), (BOX_COLOUR, line_width(image))):
        cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), colour, thick, cv2.LINE_AA)
    return image


def _video_frame(path: str, index: int) -> np.ndarray | None:
    """Return a frame of a video fast, by seeking; in some containers it is a frame beside it."""
    video = cv2.VideoCapture(native_path(path))
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        readable, bgr = video.read()
    finally:
        video.release()
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if readable and bgr is not None else None
