"""From the table of an event's faces to its participants and how they looked."""
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..labels import EMOTIONS, VALENCE
from . import shares
from .store import Record, read_errors, read_faces, read_journal, read_settings

BIN_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 7 * 86400,
               30 * 86400, 365 * 86400)
"""Possible lengths of a period in the table over time; the shortest that gives fewer than `MAX_BINS` is taken."""
MAX_BINS = 24
MAX_GROUPS = 12
FAR_DAYS, FEW = 30, 0.1
"""Times more than `FAR_DAYS` from the median are a wrong clock's, if less than the share `FEW` of all are so far."""


def participants(faces: pd.DataFrame, min_looks: int = 3) -> pd.DataFrame:
    """Count a face on a photo once, and a face followed through a video once with its mean probabilities.

    `faces` is a table of `read_faces`. A face that a video shows on fewer than `min_looks` of the frames looked at
    counts as noise of the detector and is left out.

    Returns a row for each participant: source, group (the photo's folder or the video, as short as is clear), kind,
    track, time and until (first and last sight), clock, looks (frames), frame, x, y, width and height (where the face
    is largest), `EMOTIONS`, emotion, confidence and valence.
    """
    faces = faces.assign(time=pd.to_datetime(faces["time"], format="ISO8601"))
    of_photos = pd.Series(-1 - np.arange(len(faces)), faces.index, dtype="Int64")  # each face by itself
    key = faces["track"].astype("Int64").where(faces["kind"] != "photo", of_photos)
    faces = faces.assign(_key=key, _area=faces["width"] * faces["height"])
    grouped = faces.groupby(["source", "_key"], sort=False)
    best = faces.loc[grouped["_area"].idxmax().to_numpy()]
    table = best[["source", "kind", "track", "clock", "frame", "x", "y", "width", "height"]].reset_index(drop=True)
    table.insert(1, "group", _groups(table))
    table.insert(4, "time", grouped["time"].min().to_numpy())
    table.insert(5, "until", grouped["time"].max().to_numpy())
    table.insert(7, "looks", grouped.size().to_numpy())
    table[list(EMOTIONS)] = grouped[list(EMOTIONS)].mean().to_numpy()
    table = table[(table["kind"] == "photo") | (table["looks"] >= min_looks)].reset_index(drop=True)
    probabilities = table[list(EMOTIONS)].to_numpy(float)
    winner = probabilities.argmax(axis=1) if len(table) else np.empty(0, int)
    table["emotion"] = np.array(EMOTIONS)[winner]
    table["confidence"] = probabilities.max(axis=1, initial=0)
    table["valence"] = table["emotion"].map(VALENCE)
    return table


def _groups(table: pd.DataFrame) -> list[str]:
    places = [os.path.dirname(source) if kind == "photo" else source
              for source, kind in zip(table["source"], table["kind"])]
    files = sorted({place for place, kind in zip(places, table["kind"]) if kind != "camera"})
    try:
        root = os.path.dirname(os.path.commonpath(files)) if files else ""
    except ValueError:  # drives of Windows have no common path
        root = ""
    return [place if kind == "camera" or not root else os.path.relpath(place, root)
            for place, kind in zip(places, table["kind"])]


def summarise(out: str | Path, unsure: float = 0.5, min_looks: int = 3, seed: int = 0) -> dict[str, Any]:
    """Summarise how the participants of an event looked, from a folder that `collect_event` filled.

    Participants whose most probable emotion has a probability below `unsure` count as unsure. They stay in the shares,
    because the confusion matrix was counted with such faces too. `min_looks` is as for `participants`; `seed` is that
    of the intervals.

    Returns
    -------
    dict
        Counts: ``participants``, ``photos``, ``photos_without_faces``, ``videos``, ``cameras``, ``photo_faces``,
        ``followed`` (participants of videos and cameras), ``noise`` (faces with too few looks), ``unsure``,
        ``file_times`` (faces whose photo has no time of its own) and ``wrong_clock`` (participants with a time far from
        all others; ``first``, ``last`` and ``over_time`` leave them out).

        About the event: ``unsure_share``, ``threshold``, ``first`` and ``last`` (ISO times or None), ``settings``
        (`Settings`), ``confusion_faces`` and ``accuracy`` (of its confusion matrix), ``errors`` (a list).

        DataFrames: ``people`` (`participants`), ``shares`` (`estimate_shares`, or None), ``over_time`` (rows of equal
        periods) and ``by_source``. The last two have columns of `EMOTIONS` (counts), participants, unsure, and
        positive with positive_low and positive_high (raw share and its interval).

    Raises
    ------
    DataError
        `out` was not filled by `collect_event`.
    """
    settings = read_settings(out)
    matrix = np.array(settings.confusion)
    faces = read_faces(out)
    people = participants(faces, min_looks)
    people["unsure"] = people["confidence"] < unsure
    wrong_clock = _wrong_clock(people["time"])
    timed = people[~wrong_clock]
    return {
        "participants": len(people), **_count_sources(read_journal(out)), **_count_faces(faces, people),
        "wrong_clock": int(wrong_clock.sum()),
        "unsure_share": float(people["unsure"].mean()) if len(people) else None, "threshold": unsure,
        "first": _iso(timed["time"].min()), "last": _iso(timed["until"].max()),
        "confusion_faces": int(matrix.sum()), "accuracy": float(matrix.trace() / max(matrix.sum(), 1)),
        "settings": settings, "errors": read_errors(out),
        "people": people,
        "shares": shares.estimate_shares(_units(people), matrix, seed) if len(people) else None,
        "over_time": _over_time(timed), "by_source": _by_source(people),
    }


def _count_sources(records: list[Record]) -> dict[str, int]:
    # The people of a video that failed half-way count too, so the video does.
    records = [record for record in records if record.state != "failed" or record.position]
    kinds = [record.kind for record in records]
    return {**{f"{kind}s": kinds.count(kind) for kind in ("photo", "video", "camera")},
            "photos_without_faces": sum(record.kind == "photo" and not record.faces for record in records)}


def _count_faces(faces: pd.DataFrame, people: pd.DataFrame) -> dict[str, int]:
    followed = int((people["kind"] != "photo").sum())
    tracks = len(faces.loc[faces["kind"] != "photo", ["source", "track"]].drop_duplicates())
    return {"photo_faces": len(people) - followed, "followed": followed, "noise": tracks - followed,
            "unsure": int(people["unsure"].sum()), "file_times": int((people["clock"] == "file").sum())}


def _wrong_clock(times: pd.Series) -> pd.Series:
    """Mark the few times far from all others: one camera that lost its date would stretch the event over years."""
    far = (times - times.median()).abs() > pd.Timedelta(days=FAR_DAYS)
    return far if far.mean() < FEW else far & False


def _iso(moment: pd.Timestamp) -> str | None:
    return None if pd.isna(moment) else moment.isoformat(" ", "seconds")


def _units(people: pd.DataFrame) -> np.ndarray:
    """Return int (N, 7): counts of emotions of each photo, and of each person followed."""
    unit = people["source"].where(people["kind"] == "photo", people["source"] + "\0" + people["track"].astype(str))
    return pd.crosstab(unit, people["emotion"]).reindex(columns=list(EMOTIONS), fill_value=0).to_numpy()


def _over_time(people: pd.DataFrame) -> pd.DataFrame:
    span = (people["time"].max() - people["time"].min()).total_seconds() if len(people) else 0
    width = next((s for s in BIN_SECONDS if span / s < MAX_BINS), BIN_SECONDS[-1])
    table = _group_table(people, people["time"].dt.floor(f"{width}s") if len(people) else people["time"])
    if len(table) and span / width < MAX_BINS:
        table = table.reindex(pd.date_range(table.index[0], table.index[-1], freq=f"{width}s", name="time"))
        counts = [*EMOTIONS, "participants", "unsure"]
        table[counts] = table[counts].fillna(0).astype(int)
    return table


def _by_source(people: pd.DataFrame) -> pd.DataFrame:
    sizes = people["group"].value_counts()
    if len(sizes) > MAX_GROUPS:
        kept = set(sizes.index[:MAX_GROUPS - 1])
        rest = f"{len(sizes) - len(kept)} other sources"
        people = people.assign(group=people["group"].where(people["group"].isin(kept), rest))
    return _group_table(people, people["group"])


def _group_table(people: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    rows = {}
    for name, part in people.groupby(by.rename("by")):
        counts = part["emotion"].value_counts().reindex(list(EMOTIONS), fill_value=0)
        drawn = shares.with_valence(shares.bootstrap_shares(_units(part)))[:, -1]
        share = float((part["valence"] == "positive").mean())
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows[name] = {**counts, "participants": len(part), "unsure": int(part["unsure"].sum()), "positive": share,
                      "positive_low": min(low, share), "positive_high": max(high, share)}
    columns = [*EMOTIONS, "participants", "unsure", "positive", "positive_low", "positive_high"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.index.name = by.name
    return table
