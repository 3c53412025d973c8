"""Faces of photos and videos for labelling: found once, cut as the network sees them, and shown in their photo."""
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data

from fer_utils.errors import DataError
from fer_utils.live.label_folder import LabelFolder
from fer_utils.live.label_sources import BOX_COLOUR, find_faces, source_picture
from fer_utils.live.labelling import LabelSession
from fer_utils.networks.spec import FaceSpec
from fer_utils.vision.detect import Detection, crop_face
from fer_utils.vision.images import read_photo
from fer_utils.vision.predict import Predictor
from tests.fakes import face, write_video

TINY = Path(__file__).resolve().parents[2] / "models" / "fer_net_tiny"
HOPPER = get_sample_data("grace_hopper.jpg", asfileobj=False)


class Stub:
    """Finds faces at these boxes in every picture."""

    spec = FaceSpec()

    def __init__(self, *boxes):
        self.detector = SimpleNamespace(name="stub", margin=1.0, detect=lambda image: [Detection(b) for b in boxes])

    def classify(self, image, detections):
        return [face(tuple(map(round, found.box))) for found in detections]

    def probabilities(self, crops):
        return np.stack([face().probabilities for _ in crops])


def photo(path, seed=0):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (120, 160, 3), np.uint8))
    return path


def found(sources, out, *boxes, **options):
    folder = LabelFolder(out)
    problems = find_faces(sources, folder, Stub(*(boxes or [(20, 20, 40, 40)])), progress=False, **options)
    return folder, problems


@pytest.fixture(scope="module")
def hopper(tmp_path_factory):
    predictor, out = Predictor(TINY, "haar"), tmp_path_factory.mktemp("hopper") / "labels"
    return predictor, LabelSession.of_sources(HOPPER, out, predictor, progress=False)


def test_a_face_is_cut_as_the_network_sees_it(hopper):
    predictor, session = hopper
    [name] = session.folder.faces
    image = read_photo(HOPPER)
    [detection] = predictor.detector.detect(image)
    crop = crop_face(image, detection, predictor.detector.margin)
    assert crop.shape[0] > 48
    kept = session.folder.pixels(name)
    assert np.array_equal(predictor.probabilities([crop]), predictor.probabilities([kept]))
    [seen] = predictor.faces(image)
    assert session.guess_of(name) == (seen.emotion, pytest.approx(seen.confidence)) and session.current.box == seen.box


def test_the_photo_is_shown_with_a_box_around_the_face(hopper):
    face = hopper[1].current
    picture = source_picture(face, 300)
    assert picture.shape == (300, 256, 3)
    left, top, width, height = (round(value / 2) for value in face.box)
    for x, y in ((left, top + height // 2), (left + width - 1, top + height // 2), (left + width // 2, top)):
        assert np.abs(picture[y, x].astype(int) - BOX_COLOUR).max() < 40
    nose = read_photo(HOPPER)[face.box[1] + face.box[3] // 2, face.box[0] + face.box[2] // 2].astype(int)
    assert np.abs(picture[top + height // 2, left + width // 2] - nose).max() < 40


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names are always Unicode there")
def test_a_photo_whose_name_is_no_unicode_is_known_again(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")
    photo(tmp_path / "a.png").rename(name)
    found(name, tmp_path / "out")
    assert [face.source for face in found(name, tmp_path / "out")[0].faces.values()] == [name]
    looks = []
    find_faces(name, LabelFolder(tmp_path / "out"), SimpleNamespace(
        spec=FaceSpec(), detector=SimpleNamespace(name="stub", margin=1.0, detect=looks.append)), progress=False)
    assert looks == []


def test_a_photo_is_searched_once_and_its_copy_gives_no_second_face(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    photo(photos / "Ünï côde.png")
    folder, problems = found(photos, tmp_path / "out")
    [name] = folder.faces
    assert problems == [] and folder.faces[name].source == folder.faces[name].person == str(photos / "Ünï côde.png")
    (photos / "sub").mkdir()
    shutil.copy(photos / "Ünï côde.png", photos / "sub")
    photo(photos / "other.png", seed=1)
    folder, _ = found(photos, tmp_path / "out")
    assert [face.source for face in folder.faces.values()] == [str(photos / n) for n in ("Ünï côde.png", "other.png")]
    assert list(LabelFolder(tmp_path / "out").faces.values()) == list(folder.faces.values())


def test_a_photo_without_a_face_is_searched_again_for_another_detector_or_file_only(tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png", 1)
    stub, out, looks = Stub(), tmp_path / "labels", []

    def detect(image):
        looks.append(image)
        return [Detection((20, 20, 40, 40))] if (image == read_photo(tmp_path / "a.png")).all() else []

    def looked():
        looks.clear()
        find_faces([tmp_path / "a.png", tmp_path / "b.png"], LabelFolder(out), stub, progress=False)
        return len(looks)

    stub.detector.detect = detect
    assert [looked(), looked()] == [2, 0]
    stub.detector.name = "another"
    assert [looked(), looked()] == [1, 0], "the photo with a face is known"
    photo(tmp_path / "b.png", 2)
    assert [looked(), looked()] == [1, 0]
    (out / "looked.csv").write_text("damaged")
    assert [looked(), looked()] == [1, 0]
    index = out / "index.csv"
    index.write_text(index.read_text().splitlines()[0] + "\n")  # saved by an editor that had an older one open
    with pytest.raises(DataError, match="no face was found in 2 photos"):
        stub.detector.detect = lambda image: []
        looked()
    stub.detector.detect = detect
    assert looked() == 1 and len(LabelFolder(out).faces) == 1


def test_a_name_that_is_written_during_the_search_is_kept(tmp_path):
    out, stub = tmp_path / "labels", Stub()
    found(photo(tmp_path / "a.png"), out)

    def detect(image):
        index = out / "index.csv"
        index.write_text(index.read_text().replace(f",{tmp_path / 'a.png'},{tmp_path / 'a.png'},",
                                                   f",{tmp_path / 'a.png'},Ada,"))
        return [Detection((20, 20, 40, 40))]

    stub.detector.detect = detect
    find_faces(photo(tmp_path / "b.png", 1), LabelFolder(out), stub, progress=False)
    assert [face.person for face in LabelFolder(out).faces.values()] == ["Ada", str(tmp_path / "b.png")]


def test_faces_that_another_program_found_meanwhile_are_kept(tmp_path):
    early = LabelFolder(tmp_path / "out")
    found(photo(tmp_path / "a.png"), tmp_path / "out")
    find_faces(photo(tmp_path / "b.png", 1), early, Stub((20, 20, 40, 40)), progress=False)
    assert [face.source[-5:] for face in LabelFolder(tmp_path / "out").faces.values()] == ["a.png", "b.png"]


def test_labels_among_the_photos_are_no_photos(tmp_path):
    photo(tmp_path / "a.png")
    assert len(found(tmp_path, tmp_path / "labels")[0].faces) == 1
    assert len(found(tmp_path, tmp_path / "labels")[0].faces) == 1


def test_of_a_video_each_person_gives_a_face_every_so_often(tmp_path):
    video = write_video(tmp_path / "clip.mp4")  # 20 frames, 25 a second
    boxes = (10, 10, 40, 40), (100, 60, 40, 40)
    folder, _ = found(video, tmp_path / "out", *boxes, every=0.3)
    faces = list(folder.faces.values())
    assert {face.person for face in faces} == {f"{video}#1", f"{video}#2"} and {face.source for face in faces} == {
        str(video)}
    for number, box in enumerate(boxes, 1):
        frames = [face.frame for face in faces if face.person == f"{video}#{number}"]
        assert frames[0] == 0 and len(frames) == 3 and (np.diff(frames) >= 7.5).all()
        assert {face.box for face in faces if face.person == f"{video}#{number}"} == {box}
    assert len(found(video, tmp_path / "one", *boxes)[0].faces) == 2, "one second is longer than the clip"
    brightness = [source_picture(face).mean() for face in faces if face.person == f"{video}#1"]
    assert np.diff(brightness).min() > 40, "each frame is brighter than the one before"


def test_who_is_seen_on_two_looks_only_is_noise(tmp_path):
    stub, looks = Stub((10, 10, 40, 40)), []

    def detect(image):
        looks.append(image)
        return [Detection((10, 10, 40, 40))] + [Detection((100, 60, 40, 40))] * (len(looks) <= 2)

    stub.detector.detect, folder = detect, LabelFolder(tmp_path / "out")
    find_faces(write_video(tmp_path / "clip.mp4"), folder, stub, progress=False)
    assert [face.box for face in folder.faces.values()] == [(10, 10, 40, 40)]


def test_a_box_over_the_edge_is_cut_and_a_photo_that_is_gone_is_not_shown(tmp_path):
    source = photo(tmp_path / "a.png")
    folder, _ = found(source, tmp_path / "out", (-10, 100, 50, 50))
    [face] = folder.faces.values()
    assert face.box == (0, 100, 40, 20) and source_picture(face) is not None
    source.unlink()
    source_picture.cache_clear()
    assert source_picture(face) is None and folder.pixels(face.face).shape == (48, 48)


def test_what_cannot_be_read_is_named_and_the_others_count(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    folder, problems = found(tmp_path, tmp_path / "out")
    assert len(folder.faces) == 1 and ["b.jpg" in problems[0], "c.mp4" in problems[1]] == [True, True]


def test_no_face_a_camera_and_no_time_between_faces_are_said(tmp_path):
    source = photo(tmp_path / "a.png")
    stub = Stub()
    with pytest.raises(DataError, match="no face was found in 1 photos and videos; try another --detector"):
        find_faces(source, LabelFolder(tmp_path / "out"), stub, progress=False)
    assert not (tmp_path / "out" / "index.csv").exists()
    with pytest.raises(DataError, match="0: is a camera; capture pictures first"):
        found("0", tmp_path / "out")
    with pytest.raises(ValueError, match="every must be seconds, above 0"):
        found(source, tmp_path / "out", every=0)
