"""From the table of an event's faces to its participants and how they looked."""
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..labels import EMOTIONS, VALENCE
from . import shares
from .store import count_kinds, read_errors, read_faces, read_journal, read_settings

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

    The result has a row for each participant. Its group is the photo's folder or the video, as short as is clear; time
    and until are its first and last sight; looks counts its frames, and frame and box are those where it is largest.
    """
    faces = faces.assign(time=pd.to_datetime(faces["time"], format="ISO8601"))
    of_photos = pd.Series(-1 - np.arange(len(faces)), faces.index, dtype="Int64")  # each face by itself
    key = faces["track"].astype("Int64").where(faces["kind"] != "photo", of_photos)
    faces = faces.assign(_key=key, _area=faces["width"] * faces["height"])
    grouped = faces.groupby(["source", "_key"], sort=False)
    table = faces.loc[grouped["_area"].idxmax().to_numpy()].reset_index(drop=True)
    table = table.assign(group=_groups(table), time=grouped["time"].min().to_numpy(),
                         until=grouped["time"].max().to_numpy(), looks=grouped.size().to_numpy())
    table[list(EMOTIONS)] = grouped[list(EMOTIONS)].mean().to_numpy()
    counted = (table["kind"] == "photo") | (table["looks"] >= min_looks)
    table = table.loc[counted, ["source", "group", "kind", "track", "time", "until", "clock", "looks", "frame",
                                "x", "y", "width", "height", *EMOTIONS]].reset_index(drop=True)
    probabilities = table[list(EMOTIONS)].to_numpy(float)
    table["emotion"] = np.array(EMOTIONS)[probabilities.argmax(axis=1)]
    table["confidence"] = probabilities.max(axis=1)
    table["valence"] = table["emotion"].map(VALENCE)
    return table


def _groups(table: pd.DataFrame) -> list[str]:
    places = [os.path.dirname(source) if kind == "photo" else source
              for source, kind in zip(table["source"], table["kind"])]
    files = {place for place, kind in zip(places, table["kind"]) if kind != "camera"}
    try:
        root = os.path.dirname(os.path.commonpath(files))
    except ValueError:  # there are cameras only, or drives of Windows, which have no common path
        return places
    return [os.path.relpath(place, root) if place in files else place for place in places]


def summarise(out: str | Path, unsure: float = 0.5, min_looks: int = 3, seed: int = 0) -> dict[str, Any]:
    """Summarise how the participants of an event looked, from a folder that `collect_event` filled.

    Participants whose most probable emotion has a probability below `unsure` count as unsure. They stay in the shares,
    because the confusion matrix was counted with such faces too. Raises `DataError` where `out` is another folder.

    Among the counts, ``followed`` are participants of videos and cameras, ``noise`` faces with too few looks,
    ``file_times`` participants whose photo or video has no time of its own, and ``wrong_clock`` participants with a
    time far from all others, whom ``first``, ``last`` and ``over_time`` leave out. ``confusion_faces`` and ``accuracy``
    are those of the confusion matrix. ``people`` is the table of `participants`, and ``shares`` of `estimate_shares`,
    or None. The rows of ``over_time`` (equal periods) and ``by_source`` hold counts, and the raw share of positive with
    its interval.
    """
    settings, faces = read_settings(out), read_faces(out)
    matrix = np.array(settings.confusion)
    people = participants(faces, min_looks)
    people["unsure"] = people["confidence"] < unsure
    wrong_clock = _wrong_clock(people["time"])
    timed = people[~wrong_clock]
    # The people of a video that failed half-way count too, so the video does.
    records = [record for record in read_journal(out) if record.state != "failed" or record.position]
    followed = int((people["kind"] != "photo").sum())
    tracks = len(faces.loc[faces["kind"] != "photo", ["source", "track"]].drop_duplicates())
    return {
        "participants": len(people), **count_kinds(records),
        "photos_without_faces": sum(record.kind == "photo" and not record.faces for record in records),
        "photo_faces": len(people) - followed, "followed": followed, "noise": tracks - followed,
        "unsure": int(people["unsure"].sum()), "file_times": int((people["clock"] == "file").sum()),
        "wrong_clock": int(wrong_clock.sum()),
        "unsure_share": float(people["unsure"].mean()) if len(people) else None, "threshold": unsure,
        "first": _iso(timed["time"].min()), "last": _iso(timed["until"].max()),
        "confusion_faces": int(matrix.sum()), "accuracy": float(matrix.trace() / max(matrix.sum(), 1)),
        "settings": settings, "errors": read_errors(out),
        "people": people,
        "shares": shares.estimate_shares(_units(people), matrix, seed) if len(people) else None,
        "over_time": _over_time(timed), "by_source": _by_source(people),
    }


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
    groups = people["group"]
    if groups.nunique() > MAX_GROUPS:
        small = groups.value_counts().index[MAX_GROUPS - 1:]
        groups = groups.mask(groups.isin(small), f"{len(small)} other sources")
    return _group_table(people, groups)


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
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(str(by.name))
