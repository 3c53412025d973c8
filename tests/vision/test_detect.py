import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_utils import paths
from fer_utils.errors import DataError
from fer_utils.vision import detect

yunet = pytest.mark.skipif(detect.yunet_file(download=False) is None, reason="YuNet's file is not on this computer")
SHARED = Path(__file__).resolve().parents[2] / "models"
PLACE = (195, 130, 150, 190)  # the portrait's face lies about here


@pytest.fixture(params=["haar", pytest.param("yunet", marks=yunet)])
def detector(request):
    return detect.make_detector(request.param)


def inside(box, outer):
    x, y, w, h = box
    return outer[0] <= x + w / 2 <= outer[0] + outer[2] and outer[1] <= y + h / 2 <= outer[1] + outer[3]


def test_a_real_portrait_has_one_face_in_its_place(detector, portrait):
    found = detector.detect(portrait)
    assert len(found) == 1 and inside(found[0].box, PLACE)
    assert 0 < found[0].score <= 1


def test_boxes_are_in_pixels_of_the_large_image(detector, portrait):
    large = cv2.resize(portrait, None, fx=4, fy=4)
    found = detector.detect(large)
    assert any(inside(d.box, [4 * v for v in PLACE]) for d in found)
    assert np.isclose(found[0].box[2], 4 * detector.detect(portrait)[0].box[2], rtol=0.15)


@yunet
def test_yunet_finds_large_and_small_faces_of_one_photo(portrait):
    photo = np.full((2400, 3200, 3), 128, np.uint8)
    photo[100:1900, 100:1636] = cv2.resize(portrait, (1536, 1800))
    small = cv2.resize(portrait, (128, 150), interpolation=cv2.INTER_AREA)
    for i in range(4):
        photo[2200:2350, 100 + 500 * i:228 + 500 * i] = small
    assert len(detect.YuNetDetector().detect(photo)) == 5


def test_small_faces_of_a_panorama_are_found_once_each(detector, portrait):
    photo = np.full((2000, 12_000, 3), 128, np.uint8)
    small = cv2.resize(portrait, None, fx=0.48, fy=0.48, interpolation=cv2.INTER_AREA)  # a face of 90 pixels
    places = [(100 + 700 * i, 300 + 1200 * (i % 2)) for i in range(17)] + [(3840 - 120, 1000)]  # on a tile's edge
    for left, top in places:
        photo[top:top + small.shape[0], left:left + small.shape[1]] = small
    found = detector.detect(photo)
    hits = sum(any(inside(each.box, (x + 94, y + 62, 72, 91)) for each in found) for x, y in places)
    assert len(found) == hits and hits >= (len(places) if detector.name == "yunet" else 15)
    assert len(detect.make_detector(detector.name, (640,)).detect(photo)) == 0, "live frames are searched once"


def test_tiles_cover_a_photo_and_overlap():
    for width, height in ((4000, 1000), (1600, 1601), (5000, 3201)):
        seen = np.zeros((height, width), int)
        for left, top in detect._tiles(width, height):
            seen[top:top + detect.TILE, left:left + detect.TILE] += 1
        assert seen.min() == 1 and seen[0].max() == (1 if width <= detect.TILE else 2)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (500, 2, 3), (64, 64), (64, 64, 4)])
def test_an_image_without_a_face_has_none(detector, shape):
    assert detector.detect(np.full(shape, 90, np.uint8)) == []


def test_a_strip_of_a_panorama_has_no_faces_out_of_nothing(detector):
    # YuNet alone returned boxes of infinite size for such pictures, another time for each new detector.
    rng = np.random.default_rng(0)
    for shape in [(32, 320, 3), (8, 200, 3), (16, 16, 3), (320, 6400, 3)]:
        for _ in range(3):
            found = detect.make_detector(detector.name).detect(rng.integers(0, 256, shape, np.uint8))
            assert all(0 <= value < 7000 for each in found for value in each.box)


def test_a_huge_image(detector):
    assert detector.detect(np.full((3000, 12000), 90, np.uint8)) == []


def test_a_face_at_the_edge_gives_a_square_crop(detector, portrait):
    cut = portrait[:, 170:]  # Haar finds no face that is cut further
    (found,) = detector.detect(cut)
    crop = detect.crop_face(cut, found, margin=1.5)  # and so reaches over the edge
    assert crop.shape[0] == crop.shape[1] == round(max(found.box[2:]) * 1.5)


def test_crop_of_a_known_square():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = detect.crop_face(image, detect.Detection((2, 3, 4, 4)))
    assert np.array_equal(crop, image[3:7, 2:6])
    wide = detect.crop_face(image, detect.Detection((2, 3, 4, 2)), margin=1.5)  # side 6 about (4, 4)
    assert np.array_equal(wide, image[1:7, 1:7])


def test_crop_continues_the_edge_of_the_image():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = detect.crop_face(image, detect.Detection((-2, -2, 4, 4)))
    assert crop.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [10, 10, 10, 11]]
    for box in [(50, 50, 4, 4), (-50, -50, 4, 4), (0, 0, 0.1, 0.1)]:
        assert detect.crop_face(image, detect.Detection(box)).shape[0] >= 1


def test_unknown_and_missing_detectors(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="auto, yunet, haar"):
        detect.make_detector("dlib")
    monkeypatch.setenv("FER_YUNET", str(tmp_path / "none.onnx"))
    with pytest.raises(DataError, match="FER_YUNET.*no such file"):
        detect.make_detector("yunet")
    for content in (b"not a network", *(path.read_bytes() for path in SHARED.glob("fer_net/model.onnx"))):
        (tmp_path / "none.onnx").write_bytes(content)
        with pytest.raises(DataError, match="none.onnx: FER_YUNET names no YuNet file.*fetch"):
            detect.make_detector("auto")


def test_auto_falls_back_to_haar_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("FER_YUNET", raising=False)
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(detect, "YUNET_URL", "http://127.0.0.1:9/none.onnx")
    assert detect.make_detector("auto").name == "haar"
    out, err = capsys.readouterr()  # under --json stdout is read by a program
    assert out == "" and err.count("\n") == 1 and "finding faces by Haar" in err


def test_a_download_must_have_the_known_checksum(tmp_path):
    """A server of our own hands out another file: it must not be used."""
    import hashlib
    import http.server
    import threading

    (tmp_path / "face.onnx").write_bytes(b"not the file")
    handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=tmp_path)  # noqa: E731
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, known = f"http://127.0.0.1:{server.server_port}/face.onnx", hashlib.sha256(b"not the file").hexdigest()
    try:
        assert detect._fetch_yunet(url, detect.YUNET_SHA256, tmp_path / "cache") is None
        assert detect._fetch_yunet(url, known, tmp_path / "cache").read_bytes() == b"not the file"
    finally:
        server.shutdown()


def test_opencv_without_cascades_says_what_to_install(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(DataError, match="opencv-python>=4.10,<5"):
        detect.HaarDetector()


def test_haar_in_yunets_place_searches_live_frames_small_too(monkeypatch, capsys):
    monkeypatch.setattr("fer_utils.vision.detect.yunet_file", lambda: None)
    assert detect.live_detector("auto").max_side == detect.live_detector("haar").max_side == detect.LIVE_SIDE


def test_a_pool_gives_each_thread_a_detector_of_its_own():
    busy, most = [], []

    class Detector:
        name, margin = "fake", 1.5

        def detect(self, image):
            assert self not in busy
            busy.append(self)
            most.append(len(busy))
            time.sleep(0.01)
            busy.remove(self)
            if image is None:
                raise ValueError("no image")
            return [image]

    pool = detect.DetectorPool(Detector, 2)
    assert (pool.name, pool.margin) == ("fake", 1.5)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(pool.detect, range(20))) == [[i] for i in range(20)]
    assert max(most) == 2
    for _ in range(3):  # a detector that failed is free again
        with pytest.raises(ValueError):
            pool.detect(None)
