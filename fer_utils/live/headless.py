"""An annotated video and a table of faces, without a window."""
import contextlib
import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import CameraError
from ..files import whole
from ..labels import EMOTIONS
from ..vision.draw import annotate_live, mirrored
from ..vision.pipeline import Pipeline
from ..vision.predict import Face, Predictor, live_predictor
from ..vision.track import SMOOTH_S
from ..vision.video import Frame, FrameSource, open_source

MAX_VIDEO_SIDE = 3840
TABLE_COLUMNS = ("time", "frame", "face", "x", "y", "width", "height", "score", "emotion", *EMOTIONS)
"""Columns of ``faces.csv``."""


def annotate_video(source: str | Path | int, out: str | Path, model: str | Path | Predictor = "fer_net",
                   detector: str | None = None, mirror: bool = False, seconds: float | None = None,
                   smooth: float = SMOOTH_S, unsure: float = 0.0, progress: bool = True) -> dict[str, Any]:
    """Write ``annotated.mp4`` and ``faces.csv`` of a video, stream or camera into the folder `out`.

    `source` is as `open_source` takes it, `model` and `detector` as `live_predictor` does. It stops after `seconds`,
    else at the source's end; Ctrl-C ends a camera without an error. `mirror` mirrors the video and the table's boxes.
    `smooth` is the averaged probabilities' time constant in seconds, 0 gives each frame's own. A face whose confidence
    is below `unsure` is called "unsure" in the video.

    Returns ``frames``, ``faces`` (rows of the table), ``people`` (tracked faces), ``seconds`` (of the source),
    ``complete`` (False: the file ended over a tenth earlier than it says), ``video`` and ``table`` (paths). Raises
    `CameraError` where the source does not open or a camera stops; what was finished is kept, as at Ctrl-C.
    """
    from tqdm.auto import tqdm

    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds:g}")
    pipeline = Pipeline(live_predictor(model, detector), search_every=1, smooth_seconds=smooth)
    video, table = Path(out) / "annotated.mp4", Path(out) / "faces.csv"
    stopped: BaseException | None = None
    with open_source(source) as frames:
        with (whole(video) as video_part, whole(table) as table_part,
              contextlib.closing(_Results(video_part, table_part, frames)) as results):
            try:
                for frame in tqdm(frames, total=frames.total, unit="frame", dynamic_ncols=True, disable=not progress):
                    if seconds is not None and frame.time >= seconds:
                        break
                    image, seen = frame.image, pipeline.look(frame.image)
                    if mirror:
                        image, seen = mirrored(image, seen)
                    faces = pipeline.follow(seen, frame.time)
                    results.add(frame, annotate_live(image, list(faces.values()), unsure=unsure), faces)
            except BaseException as error:  # what was finished is kept, whatever ended it
                stopped = error
                if not results.frames:
                    raise  # and neither file is written
        if stopped and not (frames.live and isinstance(stopped, KeyboardInterrupt)):
            raise stopped
        short = seconds is None and frames.cut_short(results.seconds)
    return {"frames": results.frames, "faces": results.faces, "people": len(results.people),
            "seconds": round(results.seconds, 3), "complete": not short, "video": video, "table": table}


class _Results:
    """The video and the table while they are written."""

    def __init__(self, video: Path, table: Path, source: FrameSource):
        self._video, self._fps = video, source.fps or 1.0
        self._file = open(table, "w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(TABLE_COLUMNS)
        self._writer: cv2.VideoWriter | None = None  # opened when the size of the first picture is known
        self._size = (0, 0)
        self._written = 0
        self.frames = self.faces = 0
        self.people: set[int] = set()
        self.seconds = 0.0

    def close(self) -> None:
        """Finish both files."""
        self._file.close()
        if self._writer:
            self._writer.release()

    def add(self, frame: Frame, picture: np.ndarray, faces: dict[int, Face]) -> None:
        """Write one frame and the rows of its faces."""
        self.seconds = frame.time + 1 / self._fps
        self._write(picture, round(self.seconds * self._fps) - self._written)
        for number, face in faces.items():
            self._rows.writerow([f"{frame.time:.3f}", frame.index, number, *face.box, f"{face.score:.4f}", face.emotion,
                                 *(f"{p:.4f}" for p in face.probabilities)])
        self.frames, self.faces = self.frames + 1, self.faces + len(faces)
        self.people |= set(faces)

    def _write(self, rgb: np.ndarray, times: int) -> None:
        """Write a picture several times or not at all, so that the video lasts as long as its source.

        Cameras, screen recordings and phones give frames at uneven times; the video's frame rate is constant.
        """
        if self._writer is None:
            scale = min(MAX_VIDEO_SIDE / max(rgb.shape[:2]), 1)
            # The encoder takes even sides from 16 pixels on.
            width, height = (max(round(side * scale) // 2 * 2, 16) for side in rgb.shape[1::-1])
            self._size = width, height
            self._writer = cv2.VideoWriter(str(self._video), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size)
            if not self._writer.isOpened():
                raise CameraError(f"{self._video.parent}: OpenCV cannot write a video there: is the folder writable, "
                                  "the disk full?")
        if rgb.shape[1::-1] != self._size:
            rgb = cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        for _ in range(times):
            self._writer.write(bgr)
            self._written += 1
