"""From the table of an event's faces to its participants and their shares."""
import os
from pathlib import Path

import numpy as np
import pandas as pd

from ..labels import EMOTIONS, VALENCE
from . import shares
from .store import read_errors, read_faces, read_journal, read_settings

BIN_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 7 * 86400,
               30 * 86400, 365 * 86400)
MAX_BINS = 24
MAX_GROUPS = 12
FAR_DAYS, FEW = 30, 0.1
"""Times so many days from the middle one are taken for a wrong clock's where they are less than such a share."""


def participants(faces, min_looks=3):
    """Count a face on a photo once, and a face followed through a video once with its mean probabilities.

    Parameters
    ----------
    faces : DataFrame
        As `read_faces` returns it.
    min_looks : int
        A face that a video shows on fewer of the frames looked at counts as noise of the detector.

    Returns
    -------
    DataFrame
        source, group (the photo's folder or the video, as short as is clear), kind, track, time and until (datetime),
        clock, looks, frame, x, y, width, height (where it is largest), `EMOTIONS`, emotion, confidence, valence.
    """
    faces = faces.assign(time=pd.to_datetime(faces["time"], format="ISO8601"))
    key = faces["track"].astype("Int64").where(faces["kind"] != "photo", -1 - np.arange(len(faces)))
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


def _groups(table):
    places = [os.path.dirname(source) if kind == "photo" else source
              for source, kind in zip(table["source"], table["kind"])]
    files = sorted({place for place, kind in zip(places, table["kind"]) if kind != "camera"})
    try:
        root = os.path.dirname(os.path.commonpath(files)) if files else ""
    except ValueError:  # drives of Windows have no common path
        root = ""
    return [place if kind == "camera" or not root else os.path.relpath(place, root)
            for place, kind in zip(places, table["kind"])]


def summarise(out, unsure=0.5, min_looks=3, seed=0):
    """Say how the participants of an event looked.

    Parameters
    ----------
    out : str or Path
        A folder that `event.collect` filled.
    unsure : float
        Participants whose most probable emotion has less than this probability count as unsure. They stay in the
        shares: the confusion matrix was counted with such faces too.
    min_looks : int
        As `participants` takes it.
    seed : int
        Of the intervals of ``shares``.

    Returns
    -------
    dict
        participants (int), photos, photos_without_faces, videos, cameras, photo_faces, followed (participants of
        videos and cameras), noise (faces of too few looks), unsure (int), unsure_share, threshold, first, last (ISO
        times or None), file_times (faces on photos timed by their file), wrong_clock (participants of a time far from
        all others, which first, last and over_time leave out), confusion_faces and accuracy (of the
        confusion matrix), settings, errors (a list); and the DataFrames ``people`` (`participants`), ``shares``
        (`shares.estimate`, or None), ``over_time`` (rows of equal periods) and ``by_source``, both with columns of
        `EMOTIONS` (counts), participants, unsure, positive, positive_low, positive_high (raw share of positive, with
        its interval).

    Raises
    ------
    DataError
        `out` was not filled by `event.collect`.
    """
    out = Path(out)
    settings = read_settings(out)
    matrix = np.array(settings.pop("confusion"))
    # A video that broke half-way has shown its people all the same.
    records = [record for record in read_journal(out) if record["state"] != "failed" or record["position"]]
    faces = read_faces(out)
    people = participants(faces, min_looks)
    people["unsure"] = people["confidence"] < unsure
    followed = people["kind"] != "photo"
    wrong_clock = _wrong_clock(people["time"])
    timed = people[~wrong_clock]
    tracks = len(faces.loc[faces["kind"] != "photo", ["source", "track"]].drop_duplicates())
    kinds = [record["kind"] for record in records]
    return {
        "participants": len(people), **{f"{kind}s": kinds.count(kind) for kind in ("photo", "video", "camera")},
        "photos_without_faces": sum(r["kind"] == "photo" and not r["faces"] for r in records),
        "photo_faces": int((~followed).sum()), "followed": int(followed.sum()),
        "noise": int(tracks - followed.sum()),
        "unsure": int(people["unsure"].sum()),
        "unsure_share": float(people["unsure"].mean()) if len(people) else None, "threshold": unsure,
        "first": _iso(timed["time"].min()), "last": _iso(timed["until"].max()),
        "file_times": int((people["clock"] == "file").sum()), "wrong_clock": int(wrong_clock.sum()),
        "confusion_faces": int(matrix.sum()), "accuracy": float(matrix.trace() / max(matrix.sum(), 1)),
        "settings": settings, "errors": read_errors(out),
        "people": people,
        "shares": shares.estimate(_units(people), matrix, seed) if len(people) else None,
        "over_time": _over_time(timed), "by_source": _by_source(people),
    }


def _wrong_clock(times):
    """Mark the few times far from all others: one camera that lost its date would stretch the event over years."""
    far = (times - times.median()).abs() > pd.Timedelta(days=FAR_DAYS)
    return far if far.mean() < FEW else far & False


def _iso(moment):
    return None if pd.isna(moment) else moment.isoformat(" ", "seconds")


def _units(people):
    """Return int (N, 7): counts of emotions of each photo, or of each person followed."""
    unit = people["source"].where(people["kind"] == "photo", people["source"] + "\0" + people["track"].astype(str))
    return _counts(people, unit).to_numpy()


def _counts(people, by):
    return pd.crosstab(by, people["emotion"]).reindex(columns=list(EMOTIONS), fill_value=0)


def _over_time(people):
    span = (people["time"].max() - people["time"].min()).total_seconds() if len(people) else 0
    width = next((s for s in BIN_SECONDS if span / s < MAX_BINS), BIN_SECONDS[-1])
    table = _group_table(people, people["time"].dt.floor(f"{width}s") if len(people) else people["time"])
    if len(table) and span / width < MAX_BINS:
        table = table.reindex(pd.date_range(table.index[0], table.index[-1], freq=f"{width}s", name="time"))
        counts = [*EMOTIONS, "participants", "unsure"]
        table[counts] = table[counts].fillna(0).astype(int)
    return table


def _by_source(people):
    sizes = people["group"].value_counts()
    if len(sizes) > MAX_GROUPS:
        kept = set(sizes.index[:MAX_GROUPS - 1])
        rest = f"{len(sizes) - len(kept)} other sources"
        people = people.assign(group=people["group"].where(people["group"].isin(kept), rest))
    return _group_table(people, people["group"])


def _group_table(people, by):
    rows = {}
    for name, part in people.groupby(by.rename("by")):
        counts = part["emotion"].value_counts().reindex(list(EMOTIONS), fill_value=0)
        drawn = shares.with_valence(shares.draw_raw(_units(part)))[:, -1]
        share = float((part["valence"] == "positive").mean())
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows[name] = {**counts, "participants": len(part), "unsure": int(part["unsure"].sum()), "positive": share,
                      "positive_low": min(low, share), "positive_high": max(high, share)}
    columns = [*EMOTIONS, "participants", "unsure", "positive", "positive_low", "positive_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(by.name)
