"""An annotated video and a table of faces, without a window."""
from pathlib import Path
from typing import Any

from ..errors import CameraError
from ..files import only_one
from ..labels import EMOTIONS
from ..vision.draw import annotate_live, mirrored
from ..vision.pipeline import Pipeline
from ..vision.predict import Predictor, live_predictor
from ..vision.track import SMOOTH_S
from ..vision.video import Frame, native_path, open_source
from .recording import Recording

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

    Until it ends, both are called ``recording-<time>``; they are replaced together, after the video was read once. A
    kill leaves the recording, as ``.mkv`` and ``.csv``, and nobody deletes it.

    Returns ``frames``, ``faces`` (rows of the table), ``people`` (tracked faces), ``seconds`` (of the source),
    ``complete`` (False: over a tenth of the file's end is missing), ``skipped`` (frames that could not be decoded),
    ``left`` (recordings that killed runs left there), ``video`` and ``table`` (paths). Raises `CameraError` where the
    source does not open or a camera stops; what was finished is kept, as at Ctrl-C. Raises `DataError` where another
    process writes there or the disk is full.
    """
    from tqdm.auto import tqdm

    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds:g}")
    out = Path(native_path(out))
    predictor = live_predictor(model, detector)
    with open_source(source) as frames, only_one(out, "another annotated video is being written into this folder"):
        left = sorted(Path(out).glob("recording-*.mkv"))
        for path in left:
            path.with_suffix(".mp4").unlink(missing_ok=True)  # which was being made of it
        recording = Recording(Path(out), frames.fps or 1.0, TABLE_COLUMNS)
        results = _Results(recording, Pipeline(predictor, search_every=1, smooth_seconds=smooth), mirror, unsure)
        stopped: BaseException | None = None
        try:
            for frame in tqdm(frames, total=frames.total, unit="frame", dynamic_ncols=True, disable=not progress):
                if seconds is not None and frame.time >= seconds:
                    break
                results.add(frame)
        except BaseException as error:  # what was finished is kept, whatever ended it
            stopped = error
        if not results.frames:
            recording.discard()
            raise stopped or CameraError(f"{source}: no frame could be read")
        video, table = Path(out) / "annotated.mp4", Path(out) / "faces.csv"
        recording.finish(video, table, keep=frames.live)
        if stopped and not (frames.live and isinstance(stopped, KeyboardInterrupt)):
            raise stopped
        short = seconds is None and frames.cut_short(recording.seconds)
    return {"frames": results.frames, "faces": results.faces, "people": len(results.people),
            "seconds": round(recording.seconds, 3), "complete": not short, "skipped": frames.skipped, "left": left,
            "video": video, "table": table}


class _Results:
    """What is seen on the frames of a source, and the recording that it goes into."""

    def __init__(self, recording: Recording, pipeline: Pipeline, mirror: bool, unsure: float):
        self._recording, self._pipeline, self._mirror, self._unsure = recording, pipeline, mirror, unsure
        self.frames = self.faces = 0
        self.people: set[int] = set()

    def add(self, frame: Frame) -> None:
        """Look at one frame, and write it and the rows of its faces."""
        image, seen = frame.image, self._pipeline.look(frame.image)
        if self._mirror:
            image, seen = mirrored(image, seen)
        faces = self._pipeline.follow(seen, frame.time)
        self._recording.add(annotate_live(image, list(faces.values()), unsure=self._unsure), frame.time,
                            [(f"{frame.time:.3f}", frame.index, number, *face.box, f"{face.score:.4f}", face.emotion,
                              *(f"{p:.4f}" for p in face.probabilities)) for number, face in faces.items()])
        self.frames, self.faces = self.frames + 1, self.faces + len(faces)
        self.people |= set(faces)
