"""The pipeline: detect, crop, classify, follow, smooth."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fer_utils.vision import scenes
from fer_utils.vision.detect import DetectorPool, HaarDetector
from fer_utils.vision.pipeline import Pipeline
from fer_utils.vision.predict import Predictor, live_predictor
from fer_utils.vision.video import Frame, open_source
from tests.fakes import FakePredictor, face

MODEL = Path(__file__).resolve().parents[2] / "models" / "fer_net"
BLANK = np.zeros((120, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def predictor():
    return live_predictor(MODEL, "haar")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "two.mp4"
    scenes.write_clip(path, 2, 8)
    with open_source(path) as source:
        return list(source)


def same(found, expected):
    return len(found) == len(expected) and all(
        a.box == b.box and np.allclose(a.probabilities, b.probabilities, atol=1e-5) for a, b in zip(found, expected))


def test_a_first_step_gives_what_the_predictor_sees_in_the_picture_alone(predictor, frames):
    found = Pipeline(predictor).step(frames[0])
    assert list(found) == [0, 1] and same(found.values(), predictor.faces(frames[0].image))


def test_looks_side_by_side_and_then_following_are_the_same_as_steps(predictor, frames):
    one, two = (Pipeline(p, search_every=1) for p in (
        predictor, predictor.with_detector(DetectorPool(lambda: HaarDetector(max_side=640), 2))))
    expected = [one.step(frame) for frame in frames]
    with ThreadPoolExecutor(4) as threads:
        looks = list(threads.map(two.look, [frame.image for frame in frames]))
    for frame, faces, steps in zip(frames, looks, expected):
        found = two.follow(faces, frame.time)
        assert list(found) == list(steps) and {0, 1} <= set(found) and same(found.values(), steps.values())


def test_each_stage_is_reported_when_it_is_done(predictor, frames):
    stages = []
    pipeline = Pipeline(predictor, on_stage=stages.append)
    for frame in frames[:2]:
        assert len(pipeline.step(frame)) == 2
    assert stages == 2 * ["detect", "crop", "classify"]


def test_smoothing_patience_and_overlap_are_the_callers(frames):
    pipeline = Pipeline(FakePredictor(), smooth_seconds=0, patience=3, overlap=0.1)
    pipeline.follow([face((0, 0, 40, 40), 0.2)], 0.0)
    [(number, seen)] = pipeline.follow([face((25, 0, 40, 40), 0.8)], 2.5).items()
    assert number == 0 and seen.probabilities[3] == pytest.approx(0.8)
    assert list(Pipeline(FakePredictor()).follow([face()], 0.0)) == [0]


def test_a_missed_face_is_recent_for_a_moment():
    pipeline = Pipeline(FakePredictor())
    pipeline.step(Frame(BLANK, 0.0, 0))
    assert len(pipeline.recent(0.2)) == 1 and pipeline.recent(0.3) == [] and len(pipeline.recent(0.3, 0.5)) == 1


def test_live_predictors_search_small_and_keep_the_kind_of_detector():
    full = Predictor(MODEL, HaarDetector())
    live = live_predictor(full)
    assert (live.detector.name, live.detector.max_side, full.detector.max_side) == ("haar", 640, 1280)
    assert live.probabilities([]).shape == (0, 7)
