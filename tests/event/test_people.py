"""Participants: who is counted, how often, and what is said of their times."""

import numpy as np
import pandas as pd

from fer_utils.event import people, report, store
from fer_utils.labels import EMOTIONS
from fer_utils.vision import scenes

from .pictures import collect, needs_model, photo, video

pytestmark = needs_model


def page(summary, folder):
    """Return the report of a summary as text."""
    return report.write_report(summary, folder / "report.html").read_text(encoding="utf-8")


def test_a_crowd_with_known_answers(crowd):
    truth, result, out = crowd
    pairs = scenes.match_faces(truth, people.participants(store.read_faces(out)))
    found, missed, false = (pairs["true"].notna() & pairs["predicted"].notna(), pairs["predicted"].isna(),
                            pairs["true"].isna())
    assert found.sum() + missed.sum() == len(truth)
    assert found.mean() > 0.75 and false.sum() <= 0.25 * len(truth)  # Haar sees faces in leaves
    assert result["participants"] == found.sum() + false.sum() and result["photos"] == 20
    assert (result["first"], result["last"]) == ("2024-06-01 18:00:00", "2024-06-01 19:30:00")


def test_a_camera_that_lost_its_date_does_not_stretch_the_event(tmp_path):
    folder = tmp_path / "party"
    for i in range(4):
        photo(folder / f"{i}.jpg", taken=f"2024:06:01 18:{10 * i}:00", people=3)
    photo(folder / "reset.jpg", taken="2000:01:01 00:00:07")
    collect(folder, tmp_path / "out")
    summary = people.summarise(tmp_path / "out")
    assert summary["participants"] == 13 and summary["wrong_clock"] == 1
    assert (summary["first"], summary["last"]) == ("2024-06-01 18:00:00", "2024-06-01 18:30:00")
    assert summary["over_time"]["participants"].sum() == 12 and summary["shares"]["faces"].iloc[:7].sum() == 13
    assert "1 participant dated more than 30 days from the others" in page(summary, tmp_path)

    # As many as that are no mistake: people met twice.
    for i in range(2):
        photo(folder / f"before-{i}.jpg", taken="2023:06:01 18:00:00")
    collect(folder, tmp_path / "out")
    again = people.summarise(tmp_path / "out")
    assert again["wrong_clock"] == 0 and again["first"][:4] == "2000"


def test_a_person_walking_past_is_one_participant(walk):
    faces = store.read_faces(walk[1])
    found = people.participants(faces)
    assert len(faces) > 15 and len(found) == 1
    np.testing.assert_allclose(found[list(EMOTIONS)].to_numpy(float),
                               faces[list(EMOTIONS)].mean().to_numpy()[None], atol=1e-6)
    assert found["looks"][0] == len(faces) and faces["seconds"].max() <= 3
    assert found["until"][0] - found["time"][0] > pd.Timedelta(seconds=1.5)


def test_a_face_seen_twice_only_is_noise(tmp_path):
    path = video(tmp_path / "flash.avi", away=set(range(45)) - {10, 11, 12})
    collect(path, tmp_path / "out")
    summary = people.summarise(tmp_path / "out", min_looks=3)
    assert summary["participants"] == 0 and summary["noise"] == 1 and summary["shares"] is None
    said = page(summary, tmp_path)
    assert "No face was found that counts" in said and "1 face of videos and cameras left out" in said


def test_a_person_who_stays_is_one_participant_however_rarely_one_looks(tmp_path):
    collect(video(tmp_path / "still.avi", frames=150, step=0), tmp_path / "out", every=2.5)
    found = people.participants(store.read_faces(tmp_path / "out"))
    assert len(found) == 1 and found["looks"][0] == 4
