"""The event report: one self-contained HTML page, for a screen of any width and for paper."""
import base64
import contextlib
import html
import io
import json
import os
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from ..errors import DataError
from ..labels import EMOTIONS, VALENCE, VALENCES
from ..plots import event, style
from ..vision.detect import Detection, crop_face
from ..vision.images import read_photo
from . import collect
from .people import FAR_DAYS, summarise
from .store import write_csv

PEOPLE, REPORT = "participants.csv", "report.html"
FACES_SHOWN = 21
WIDTH = 5.2
"""Inches of a figure: small enough that its letters stay readable on a phone."""
DARK = {name: "#E6E6E6" for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
LIMITS = (
    "An expression is not a feeling. A smile may be posed, polite or nervous, and many who feel joy, anger or sadness "
    "do not show the face that goes with it (Barrett et al. 2019, <i>Psychological Science in the Public Interest</i> "
    "20(1)). Read the numbers as “how faces looked”, never as “what people felt”.",
    "The network learnt from small web pictures with noisy labels (FER2013). It is often wrong, as said below, and not "
    "equally often for every age, skin and light.",
    "The correction assumes that it takes one emotion for another here as often as on FER2013. Other "
    "cameras, light and angles break that assumption, and the intervals do not include it. For people followed through "
    "a video, whose mean over many frames is surer than one picture, it corrects rather too much.",
    "Only faces that were found count. Who turned away, wore a mask or stayed at home is missing.",
    "It must never be used to judge one person.",
    "People must know of it and agree before they are filmed. In the European Union, Article 5(1)(f) of the AI Act "
    "(Regulation 2024/1689) forbids inferring emotions at work and in education, except for medical or safety reasons, "
    "and data protection law applies as well: check with your own institution first.",
)
"""What the page and notebook 08 say about reading feelings from faces."""


def run_event(sources, out, model="fer_net", detector="auto", every=0.1, seconds=None, unsure=0.5, faces=False, blur=True,
        title="Event report", progress=True):
    """Collect, summarise and report an event: what ``python -m fer_utils event`` does.

    Parameters
    ----------
    sources, out, model, detector, every, seconds, progress
        As `event.collect` takes them.
    unsure : float
        As `event_summary.summarise` takes it.
    faces, blur : bool
        Show examples of faces in the page; blurred unless told otherwise.
    title : str

    Returns
    -------
    dict
        For JSON: out, report (paths), participants, photos, videos, cameras, photos_without_faces, photo_faces,
        followed, noise, unsure, threshold, first, last, shares (name → raw, corrected and their intervals), errors.

    Raises
    ------
    DataError
        As `event.collect` raises it.
    """
    collect.collect_event(sources, out, model, detector, every, seconds, progress)
    summary = summarise(out, unsure)
    people = summary["people"]
    write_csv(people, Path(out) / PEOPLE)
    examples = example_faces(people, blur) if faces else []
    page = write_report(summary, Path(out) / REPORT, title, examples, blur)
    keys = ("participants", "photos", "videos", "cameras", "photos_without_faces", "photo_faces", "followed", "noise",
            "unsure", "threshold", "first", "last", "errors")
    table = summary["shares"]
    return {"out": str(out), "report": str(page), **{key: summary[key] for key in keys},
            "shares": {} if table is None else json.loads(table.round(4).to_json(orient="index"))}


def report_text(result):
    """Return what `run` found as lines for a terminal."""
    lines = [f"{_several(result['participants'], 'participant')}: {_where(result)}",
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


def _several(n, what):
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _where(counts):
    """Say on what the participants were seen."""
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


def _left_out(counts):
    return (f"{_several(counts['noise'], 'face')} of videos and cameras left out, seen on too few of the frames looked "
            "at: noise of the detector, or people who passed quickly")


# --- Face pictures, when asked for -------------------------------------------------------------------------------


def example_faces(people, blur=True, limit=FACES_SHOWN):
    """Cut out faces, the surest of each emotion in turn; those of a camera are not kept anywhere.

    Parameters
    ----------
    people : DataFrame
        As `event_summary.participants` returns it.
    blur : bool
        Keep six by six spots of colour of each face, so that nobody can be recognised.
    limit : int

    Returns
    -------
    list of (str, float, ndarray)
        Emotion, its probability, and the face, uint8 (96, 96, 3) RGB. Faces whose file has gone are left out.
    """
    people = people[people["kind"] != "camera"].sort_values("confidence", ascending=False)
    people = people.assign(rank=people.groupby("emotion").cumcount()).sort_values("rank", kind="stable").head(limit)
    found = []
    for (source, kind), faces in people.groupby(["source", "kind"]):  # each file is read once
        with contextlib.suppress(DataError, OSError, cv2.error):
            frames = collect.read_frames(source, set(faces["frame"])) if kind == "video" else None
            image = read_photo(source) if kind == "photo" else None
            for row in faces.itertuples():
                if kind == "video" and (image := frames.get(row.frame)) is None:
                    continue
                face = crop_face(image, Detection((row.x, row.y, row.width, row.height)), 1.2)
                if blur:
                    face = cv2.resize(face, (6, 6), interpolation=cv2.INTER_AREA)
                found.append((row.emotion, row.confidence, cv2.resize(face, (96, 96), interpolation=cv2.INTER_LINEAR)))
    return sorted(found, key=lambda entry: (EMOTIONS.index(entry[0]), -entry[1]))


# --- The page ----------------------------------------------------------------------------------------------------


def write_report(summary, path, title="Event report", examples=(), blurred=True):
    """Write the page, whole or not at all.

    Parameters
    ----------
    summary : dict
        As `event_summary.summarise` returns it.
    path : str or Path
    title : str
    examples : sequence
        As `example_faces` returns them.
    blurred : bool
        Whether they are, for the page says so.

    Returns
    -------
    Path
    """
    path = Path(path)
    part = path.with_suffix(".part")
    part.write_bytes(report_page(summary, title, examples, blurred).encode("utf-8", "replace"))
    os.replace(part, path)
    return path


def report_page(summary, title="Event report", examples=(), blurred=True):
    """Return the report as HTML, as `write_report` writes it."""
    body = [f"<h1>{_escape(title)}</h1>", _counted(summary)]
    if summary["shares"] is None:
        body.append(_caveats(summary))
    else:
        body += [_tiles(summary["shares"]), _caveats(summary), _shares(summary), _over_time(summary),
                 _by_source(summary)]
    if len(examples):
        body.append(_examples(examples, blurred))
    body += ["<section><h2>What these numbers cannot tell</h2><ul>", *(f"<li>{line}</li>" for line in LIMITS),
             "</ul></section>", _method(summary), _errors(summary["errors"])]
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="color-scheme" content="light dark"><title>{_escape(title)}</title>'
            f"<style>{STYLE}</style></head>\n<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n")


def _escape(value):
    return html.escape(str(value))


def _counted(summary):
    when = "" if summary["first"] is None else f" between {summary['first'][:16]} and {summary['last'][:16]}"
    return (f"<p class=lead><strong>{_several(summary['participants'], 'participant')}</strong>{when}: "
            f"{_where(summary)}.</p>")


def _caveats(summary):
    """Say what is behind the counts, in what was read here."""
    lines = ["<p>Every face on every photo counts: <strong>a person who is on two photos counts twice</strong>. In a "
             "video a person counts once for as long as the face stays in sight, and again after coming back.</p>"]
    if summary["unsure_share"] is not None:
        lines.append(f"<p><strong>{summary['unsure']:,} ({summary['unsure_share']:.0%}) are unsure</strong>: their "
                     f"most probable emotion has less than {summary['threshold']:.0%}. They are counted all the same, "
                     "by that emotion.</p>")
    else:
        lines.append("<p>No face was found that counts, so there is nothing to report.</p>")
    if summary["noise"]:
        lines.append(f"<p>{_left_out(summary)}.</p>")
    if summary["file_times"]:
        lines.append(f"<p>{_several(summary['file_times'], 'face')} on photos that do not say when they were taken: "
                     "the file's date stands in, which copying may have changed.</p>")
    if summary["wrong_clock"]:
        lines.append(f"<p>{_several(summary['wrong_clock'], 'participant')} dated more than "
                     f"{FAR_DAYS} days from the others, perhaps by a camera that had lost its date: "
                     "counted, but not over time.</p>")
    if summary["videos"]:
        lines.append("<p>A video is taken to have ended when its file was last changed; copying may have moved that, "
                     "and with it the times of its people.</p>")
    return "".join(lines)


def _tiles(table):
    tiles = []
    for valence in reversed(VALENCES):
        row = table.loc[f"valence: {valence}"]
        tiles.append(f'<div class="tile {valence}"><span>{valence}</span><strong>{row.corrected:.0%}</strong>'
                     f"<span>{row.corrected_low:.0%} to {row.corrected_high:.0%}</span>"
                     f"<span>raw {row.raw:.0%}</span></div>")
    members = {v: ", ".join(e for e in EMOTIONS if VALENCE[e] == v) for v in VALENCES}
    return (f"<div class=tiles>{''.join(tiles)}</div><p>Corrected shares with their 95 % intervals. Positive: "
            f"{members['positive']}. Neutral: {members['neutral']} (surprise may be pleasant or not). Negative: "
            f"{members['negative']}.</p>")


def _shares(summary):
    table = summary["shares"]
    rows = [(name.replace("valence:", "all"), f"{int(row.faces):,}", *(
        f"{getattr(row, kind):.1%} <small>({getattr(row, kind + '_low'):.0%} to {getattr(row, kind + '_high'):.0%})"
        "</small>" for kind in ("corrected", "raw"))) for name, row in zip(table.index, table.itertuples())]
    emotions = table.iloc[:len(EMOTIONS)]
    largest = emotions["corrected"].idxmax()
    return ("<section><h2>Emotions</h2>" + _figure(
        lambda ax: event.plot_shares(emotions, ax=ax), 3.9,
        f"Shares of the seven emotions, raw and corrected; {largest} is the largest") + _table(
        ("emotion", "called so", "corrected (95 % interval)", "raw (95 % interval)"), rows, raw_from=1) + "</section>")


def _over_time(summary):
    table = summary["over_time"]
    busiest = table["participants"].idxmax()
    return ("<section><h2>Over time</h2>" + _figure(
        lambda ax: event.plot_over_time(table, ax=ax), 3.2,
        f"Participants by emotion in {len(table)} periods; most in the one that begins {busiest}") + "</section>")


def _by_source(summary):
    table = summary["by_source"]
    rows = [(_escape(name), f"{row.participants:,}", f"{row.unsure:,}",
             f"{row.positive:.0%} <small>({row.positive_low:.0%} to {row.positive_high:.0%})</small>")
            for name, row in zip(table.index, table.itertuples())]
    return ("<section><h2>By source</h2>" + _figure(
        lambda ax: event.plot_by_source(table, ax=ax), 1.4 + 0.36 * len(table),
        "Shares of positive, neutral and negative for each source") + _table(
        ("source", "participants", "unsure", "positive, raw"), rows, raw_from=1) + "</section>")


def _examples(examples, blurred):
    figures = []
    for emotion, probability, face in examples:
        png = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2BGR))[1].tobytes()
        figures.append(f'<figure class=face><img alt="A face called {emotion}" width=96 height=96 '
                       f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
                       f"<figcaption>{emotion} {probability:.0%}</figcaption></figure>")
    about = "blurred" if blurred else "as they are; show this page only to people who may see them"
    return (f"<section><h2>Faces</h2><p>The surest of each emotion, {about}.</p>"
            f"<div class=faces>{''.join(figures)}</div></section>")


def _method(summary):
    settings = summary["settings"]
    detector = {"yunet": "YuNet", "haar": "the Haar cascade"}.get(settings["detector"], settings["detector"])
    return (
        "<section><h2>How it was counted</h2><ul>"
        f"<li>Faces were found by {_escape(detector)} and read by the network "
        f"<code>{_escape(settings['model'])}</code> (weights <code>{_escape(settings['weights'])}</code>), which is "
        f"right on {summary['accuracy']:.0%} of {_escape(settings['confusion_usage'])}. Of videos and cameras a "
        f"frame every {settings['every']:g} s was looked at; people followed have the mean of their probabilities.</li>"
        "<li>Raw: the share of participants by their most probable emotion. Intervals: Bayesian bootstrap (Rubin 1981) "
        "over whole photos, for faces on one photo look alike, and over people followed; never narrower than for so "
        "many single faces.</li>"
        f"<li>Corrected: the shares that best explain the raw ones, given what the network takes for what on the "
        f"{summary['confusion_faces']:,} faces of {_escape(settings['confusion_usage'])} (adjusted counts, "
        "Forman 2008; found by expectation-maximisation and pulled a tenth to the raw shares). Intervals: Gibbs "
        "sampling of both, so that they hold the noise of the counts and of the matrix.</li></ul></section>")


def _errors(errors):
    if not errors:
        return ""
    shown = "".join(f"<li>{_escape(entry['error'])}</li>" for entry in errors[:50])
    return (f"<section><h2>Not read in full: {_several(len(errors), 'source')}</h2><ul>{shown}</ul>"
            "<p>All of them are in errors.csv.</p></section>")


def _table(head, rows, raw_from):
    """Return a table; cells before column `raw_from` are the row's head. The cells are HTML already."""
    lines = ["".join(f"<{'th scope=row' if i < raw_from else 'td'}>{cell}</{'th' if i < raw_from else 'td'}>"
                     for i, cell in enumerate(row)) for row in rows]
    return (f"<div class=wide><table><thead><tr>{''.join(f'<th scope=col>{cell}</th>' for cell in head)}</tr></thead>"
            f"<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table></div>")


def _figure(draw, height, alt):
    """Return a figure drawn for light and for dark pages; paper takes the light one."""
    light, dark = _svg(draw, height, {}), _svg(draw, height, DARK | {"axes.facecolor": "#1B1D21"})
    return (f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
            f'<img alt="{_escape(alt)}" src="{light}"></picture></figure>')


def _svg(draw, height, colours):
    buffer = io.BytesIO()
    with plt.rc_context({**colours, "svg.hashsalt": "fer_utils"}), style.use_style(), plt.ioff():
        figure, ax = plt.subplots(figsize=(WIDTH, height))
        draw(ax)
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1d21; --soft: #5b6068; --line: #d9dce1; --tile: #f4f5f7;
  --positive: #9c6500; --negative: #0063a0; --neutral: #5b6068; }
@media screen and (prefers-color-scheme: dark) { :root { --page: #1b1d21; --ink: #e6e6e6; --soft: #a8adb5;
  --line: #3a3e45; --tile: #26292e; --positive: #f0b43c; --negative: #6cb8ec; --neutral: #b5b9c0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1.1rem 3rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
.lead { font-size: 1.1rem; }
small { color: var(--soft); font-size: .85em; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: .7rem; margin: 1.4rem 0 .8rem; }
.tile { background: var(--tile); border-radius: .6rem; padding: .8rem .6rem; text-align: center; }
.tile span { display: block; font-size: .9rem; } .tile strong { font-size: 2rem; line-height: 1.25; }
.positive strong { color: var(--positive); } .negative strong { color: var(--negative); }
.neutral strong { color: var(--neutral); }
figure { margin: 1rem 0; } figure img { width: 100%; height: auto; display: block; }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: .7rem; }
.face { margin: 0; } .face img { width: 96px; height: 96px; border-radius: .4rem; }
figcaption { font-size: .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th:first-child { text-align: left; min-width: 4.5rem; max-width: 16rem; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 600; }
li { margin: .35rem 0; overflow-wrap: anywhere; }
code { font-size: .9em; overflow-wrap: anywhere; }
@media (max-width: 480px) { td small { display: block; } table { font-size: .84rem; } th, td { padding: .35rem .2rem; }
  .tile strong { font-size: 1.6rem; } }
@media print { @page { margin: 16mm; } main { max-width: none; padding: 0; } body { font-size: 10.5pt; }
  figure, .tiles, .face, tr, li { break-inside: avoid; } h2 { break-after: avoid; }
  figure img { max-width: 14cm; } .tile { border: 1px solid var(--line); } }
"""
