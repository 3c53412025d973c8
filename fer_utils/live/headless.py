"""An annotated video and a table of faces, without a window."""
import csv
import os
from pathlib import Path

import cv2

from ..errors import CameraError
from ..labels import EMOTIONS
from ..vision.draw import annotate_live, mirrored
from ..vision.predict import live_predictor
from ..vision.track import SMOOTH_S, Smoother
from ..vision.video import open_source

MAX_VIDEO_SIDE = 3840
COLUMNS = ("time", "frame", "face", "x", "y", "width", "height", "score", "emotion", *EMOTIONS)
"""Columns of ``faces.csv``."""


# Without a window.

def annotate_video(source, out, model="fer_net", detector=None, mirror=False, seconds=None, smooth=SMOOTH_S, unsure=0.0,
             progress=True):
    """Write ``annotated.mp4`` and ``faces.csv`` of a video, stream or camera.

    Parameters
    ----------
    source : int, str or Path
        As `open_source` takes it. Of a file every frame is used, of a camera the newest.
    out : str or Path
        Folder for both files; they appear when they are whole, and replace older ones.
    model, detector
        As `live_predictor` takes them; every frame is searched as a whole, for nobody waits.
    mirror : bool
        Mirror the video; ``faces.csv`` then holds the boxes of the mirrored one.
    seconds : float, optional
        Stop after this time, above 0; a camera goes on until Ctrl-C without it.
    smooth : float
        Time constant of the averaged probabilities, in seconds; 0 gives each frame's own.
    unsure : float
        A face whose confidence is below this is called "unsure" in the video.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict
        ``frames``, ``faces`` (rows of the table), ``people`` (tracked faces), ``seconds`` (of the source),
        ``complete`` (False: the file ended over a tenth earlier than it says), ``video`` and ``table`` (paths).

    Raises
    ------
    CameraError
        The source does not open, or a camera stops; what was finished is kept.
    ValueError
        `seconds` is not above 0.
    KeyboardInterrupt
        Ctrl-C while a file was read; what was finished is kept. A camera is ended so, without an error.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds:g}")
    predictor = live_predictor(model, detector)
    smoother = Smoother(smooth)
    with open_source(source) as frames, _Results(Path(out), frames) as results:
        try:
            for frame in _with_bar(frames, progress):
                if seconds is not None and frame.time >= seconds:
                    break
                image, faces = frame.image, predictor.faces(frame.image)
                if mirror:
                    image, faces = mirrored(image, faces)
                faces = smoother.update(faces, frame.time)
                results.add(frame, annotate_live(image, list(faces.values()), unsure=unsure), faces)
        except KeyboardInterrupt:
            if not frames.live:
                raise
        # By time, for Matroska and WebM count as if no frame were left out; and roughly, for trimmed MP4s count what
        # they hide, and sound may end later.
        short = seconds is None and results.seconds * (frames.fps or 1) < 0.9 * (frames.total or 0)
    return {"frames": results.frames, "faces": results.faces, "people": len(results.people),
            "seconds": round(results.seconds, 3), "complete": not short,
            "video": results.video, "table": results.table}


def _with_bar(frames, progress):
    from tqdm import tqdm

    return tqdm(frames, total=frames.total, unit="frame", dynamic_ncols=True, disable=not progress)


class _Results:
    """The video and the table: under other names until they are finished, so that what is there is whole."""

    def __init__(self, folder, source):
        folder.mkdir(parents=True, exist_ok=True)
        self.video, self.table = folder / "annotated.mp4", folder / "faces.csv"
        self._fps, self._live = source.fps or 1.0, source.live
        self.frames = self.faces = 0
        self.people, self.seconds = set(), 0.0
        self._writer = self._size = None
        self._written = 0

    def __enter__(self):
        self._file = open(self._part(self.table), "w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)
        return self

    def __exit__(self, *_):
        """Keep what was finished, whatever ended it; without a single frame leave nothing behind."""
        self._file.close()
        if self._writer:
            self._writer.release()
        for path in (self.video, self.table):
            if self.frames:
                os.replace(self._part(path), path)
            else:
                self._part(path).unlink(missing_ok=True)

    @staticmethod
    def _part(path):
        return path.with_name(f"part.{path.name}")

    def add(self, frame, picture, faces):
        """Write one frame and the rows of its faces."""
        picture = self._fitted(picture)
        if self._writer is None:
            self._writer = cv2.VideoWriter(str(self._part(self.video)), cv2.VideoWriter_fourcc(*"mp4v"), self._fps,
                                           self._size)
            if not self._writer.isOpened():
                raise CameraError(f"{self.video}: OpenCV cannot write a video there: is the folder writable, the disk "
                                  "full?")
        # A camera's frames come as they come: they are repeated or left out so that the video keeps real time.
        times = max(round((frame.time + 1 / self._fps) * self._fps) - self._written, 0) if self._live else 1
        for _ in range(times):
            self._writer.write(picture)
        self._written += times
        for number, face in faces.items():
            self._rows.writerow([f"{frame.time:.3f}", frame.index, number, *face.box, f"{face.score:.4f}", face.emotion,
                                 *(f"{p:.4f}" for p in face.probabilities)])
        self.frames, self.faces, self.seconds = self.frames + 1, self.faces + len(faces), frame.time + 1 / self._fps
        self.people |= set(faces)

    def _fitted(self, rgb):
        """Return a picture as the encoder takes it: BGR, the first one's size, even sides from 16 pixels on."""
        if self._size is None:
            scale = min(MAX_VIDEO_SIDE / max(rgb.shape[:2]), 1)
            self._size = tuple(max(round(side * scale) // 2 * 2, 16) for side in rgb.shape[1::-1])
        if rgb.shape[1::-1] != self._size:
            rgb = cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
