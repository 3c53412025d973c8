"""The event report: one self-contained HTML page, for a screen of any width and for paper."""
import base64
import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes

from .. import files
from ..errors import DataError
from ..labels import EMOTIONS, VALENCE, VALENCES
from ..plots import event
from ..plots.style import use_style
from ..vision.detect import Detection, crop_face
from ..vision.images import read_photo
from ..vision.remote import local_copy
from ..vision.video import read_frames
from .collect import collect_event
from .people import FAR_DAYS, summarise

PEOPLE, REPORT = "participants.csv", "report.html"
FACES_SHOWN = 21
_CHART_WIDTH = 5.2
"""Inches of a figure: small enough that its letters stay readable on a phone."""
DARK: dict[Any, Any] = {"axes.facecolor": "#1B1D21", **dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#E6E6E6")}
LIMITS = (
    "An expression is not a feeling. A smile may be posed, polite or nervous, and many who feel joy, anger or sadness "
    "do not show the face that goes with it (Barrett et al. 2019, <i>Psychological Science in the Public Interest</i> "
    "20(1)). Read the numbers as “how faces looked”, never as “what people felt”.",
    "The network learnt from small web pictures with noisy labels (FER2013). It is often wrong, as said below, and not "
    "equally often for every age, skin and light.",
    "The correction assumes that the network takes one emotion for another here as often as on FER2013. Other cameras, "
    "light and angles break that assumption, and the intervals do not include it. For people followed through a video, "
    "whose mean over many frames is more reliable than one picture, the correction is somewhat too strong.",
    "The 95 % intervals of corrected shares are somewhat too narrow where the mix of emotions is unlike FER2013’s. In "
    "trials with known shares they held about three in four of the true shares, and not 95 %.",
    "Only faces that were found count. Who turned away, wore a mask or stayed at home is missing.",
    "It must never be used to judge one person.",
    "People must know of it and agree before they are filmed. In the European Union, Article 5(1)(f) of the AI Act "
    "(Regulation 2024/1689) forbids inferring emotions at work and in education, except for medical or safety reasons, "
    "and data protection law applies as well: check with your own institution first.",
)
"""What the page and notebook 08 say about reading feelings from faces, as HTML."""


def run_event(sources: str | Path | int | Sequence[str | Path | int], out: str | Path, *, unsure: float = 0.5,
              faces: bool = False, blur: bool = True, title: str = "Event report", **collecting: Any) -> dict[str, Any]:
    """Run `collect_event`, which `collecting` are options of, then `report_event`, and return its result."""
    collect_event(sources, out, **collecting)
    return report_event(out, unsure, faces, blur, title)


def report_event(out: str | Path, unsure: float = 0.5, faces: bool = False, blur: bool = True,
                 title: str = "Event report") -> dict[str, Any]:
    """Write participants.csv and report.html into a folder that `collect_event` filled.

    `unsure` is as for `summarise`. `faces` shows examples of faces in the page, blurred unless `blur` is False. Returns
    what JSON can hold of the summary, and both paths.
    """
    summary = summarise(out, unsure)
    people, shares = summary["people"], summary["shares"]
    files.write_csv(Path(out) / PEOPLE, people)
    page = write_report(summary, Path(out) / REPORT, title, example_faces(people, blur) if faces else (), blur)
    keys = ("participants", "photos", "videos", "cameras", "photos_without_faces", "photo_faces", "followed", "noise",
            "unsure", "threshold", "first", "last", "errors")
    return {"out": str(out), "report": str(page), **{key: summary[key] for key in keys},
            "shares": {} if shares is None else shares.to_dict("index")}


def report_text(result: Mapping[str, Any]) -> str:
    """Return what `report_event` found as lines for a terminal."""
    lines = [f"{_several(result['participants'], 'participant')}: {_seen_on(result)}",
             f"{result['unsure']:,} unsure (under {result['threshold']:.0%})"]
    if result["noise"]:
        lines.append(_left_out(result))
    for name, row in result["shares"].items():
        lines.append(f"  {name:18} corrected {row['corrected']:6.1%} ({row['corrected_low']:.1%} to "
                     f"{row['corrected_high']:.1%}), raw {row['raw']:6.1%}")
    if result["errors"]:
        lines.append(f"{_several(len(result['errors']), 'source')} could not be read in full, see errors.csv:")
        lines += [f"  {entry['error']}" for entry in result["errors"][:10]]
    return "\n".join([*lines, f"report: {result['report']}"]).encode("utf-8", "replace").decode()


def _several(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _seen_on(counts: Mapping[str, Any]) -> str:
    parts = []
    if counts["photos"]:
        without = counts["photos_without_faces"]
        parts.append(f"{_several(counts['photo_faces'], 'face')} on {_several(counts['photos'], 'photo')}"
                     + (f" ({without:,} of them without a face)" if without else ""))
    filmed = [_several(counts[f"{name}s"], what) for name, what in (("video", "video"), ("camera", "camera recording"))
              if counts[f"{name}s"]]
    if filmed:
        people = "1 person" if counts["followed"] == 1 else f"{counts['followed']:,} people"
        parts.append(f"{people} followed through {' and '.join(filmed)}")
    return " and ".join(parts) or "nothing could be read"


def _left_out(counts: Mapping[str, Any]) -> str:
    return (f"{_several(counts['noise'], 'face')} of videos and cameras left out, seen on too few of the frames looked "
            "at: noise of the detector, or people who passed quickly")


class Example(NamedTuple):
    """A face to show: its emotion, the probability of that, and the picture, uint8 (96, 96, 3) RGB."""

    emotion: str
    probability: float
    face: np.ndarray


def example_faces(people: pd.DataFrame, blur: bool = True, limit: int = FACES_SHOWN) -> list[Example]:
    """Cut out faces of `participants`, the surest of each emotion in turn.

    `blur` keeps six by six spots of colour of each face, so that nobody can be recognised. Faces of a camera, whose
    pictures are not kept, and of a file that is gone are left out.
    """
    people = people[people["kind"] != "camera"].sort_values("confidence", ascending=False)
    people = people.assign(rank=people.groupby("emotion").cumcount()).sort_values("rank", kind="stable").head(limit)
    found = []
    for source, rows in people.groupby("source"):  # each file is read once
        faces: list[dict[Any, Any]] = rows.to_dict("records")
        with contextlib.suppress(DataError, OSError, cv2.error):
            for face, image in zip(faces, _images(str(source), faces)):
                if image is not None:
                    cut = crop_face(image, Detection((face["x"], face["y"], face["width"], face["height"])), 1.2)
                    if blur:
                        cut = cv2.resize(cut, (6, 6), interpolation=cv2.INTER_AREA)
                    cut = cv2.resize(cut, (96, 96), interpolation=cv2.INTER_LINEAR)
                    found.append(Example(face["emotion"], face["confidence"], cut))
    return sorted(found, key=lambda example: (EMOTIONS.index(example.emotion), -example.probability))


def _images(source: str, faces: Sequence[Mapping[Any, Any]]) -> list[np.ndarray | None]:
    """Return for each of these faces of one source the picture that shows it; None where it cannot be read."""
    with local_copy(source) as file:
        if faces[0]["kind"] == "photo":
            return [read_photo(file)] * len(faces)
        frames = read_frames(file, {face["frame"] for face in faces})
        return [frames.get(face["frame"]) for face in faces]


def write_report(summary: Mapping[str, Any], path: str | Path, title: str = "Event report",
                 examples: Sequence[Example] = (), blurred: bool = True) -> Path:
    """Write the report of `summarise`, HTML; `blurred` says how the `examples` of faces are."""
    pages = Environment(loader=FileSystemLoader(Path(__file__).with_name("template")), autoescape=True,
                        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    detector = summary["settings"].detector
    page = pages.get_template("report.html").render(
        summary, title=title, seen_on=_seen_on(summary), left_out=_left_out(summary), several=_several,
        far_days=FAR_DAYS, valences=VALENCES[::-1], limits=[Markup(line) for line in LIMITS],
        members={v: ", ".join(e for e in EMOTIONS if VALENCE[e] == v) for v in VALENCES},
        detector={"yunet": "YuNet", "haar": "the Haar cascade"}.get(detector, detector),
        figures={} if summary["shares"] is None else _figures(summary), examples=examples, blurred=blurred, png=_png)
    files.write_bytes(path, page.encode("utf-8", "replace"))
    return Path(path)


def _figures(summary: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    emotions, over_time, by_source = summary["shares"].loc[list(EMOTIONS)], summary["over_time"], summary["by_source"]
    return {
        "shares": _figure(event.plot_shares, emotions, 3.9, "Shares of the seven emotions, raw and corrected; "
                          f"{emotions['corrected'].idxmax()} is the largest"),
        "over_time": _figure(event.plot_over_time, over_time, 3.2,
                             f"Participants by emotion in {len(over_time)} periods; most in the one that begins "
                             f"{over_time['participants'].idxmax()}"),
        "by_source": _figure(event.plot_by_source, by_source, 1.4 + 0.36 * len(by_source),
                             "Shares of positive, neutral and negative for each source")}


def _figure(plot: Callable[..., Axes], table: pd.DataFrame, height: float, alt: str) -> dict[str, str]:
    """Draw a figure for light and for dark pages; paper takes the light one."""
    drawn = {"alt": alt}
    for page, colours in (("light", {}), ("dark", DARK)):
        buffer = io.BytesIO()
        with plt.rc_context({**colours, "svg.hashsalt": "fer_utils"}), use_style(), plt.ioff():
            figure, ax = plt.subplots(figsize=(_CHART_WIDTH, height))
            plot(table, ax=ax)
            figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
            plt.close(figure)
        drawn[page] = _data_address("image/svg+xml", buffer.getvalue())
    return drawn


def _png(face: np.ndarray) -> str:
    return _data_address("image/png", cv2.imencode(".png", face[..., ::-1])[1].tobytes())


def _data_address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
