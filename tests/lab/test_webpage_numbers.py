"""The page's functions of pixels and boxes, run in Node, against OpenCV, SciPy and Pillow."""

import base64
import io
import json
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment

from fer_utils.errors import DataError
from fer_utils.lab import webpage
from fer_utils.networks.spec import FaceSpec, face_to_tensor
from fer_utils.vision.detect import Detection, crop_face
from fer_utils.vision.track import overlaps

ENGINE = Path(__file__).resolve().parents[2] / "site" / "src" / "engine"


@pytest.fixture(scope="module")
def in_node():
    """A function that runs an expression of the engine's modules in Node, with values from Python."""
    try:
        node = webpage.find_node().node[0]
    except DataError as problem:
        pytest.skip(str(problem))

    def run(expression, **values):
        code = "\n".join([f"import * as {name} from {json.dumps((ENGINE / f'{name}.js').as_uri())};"
                          for name in ("pixels", "detect", "track", "header")])
        code += """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0, "utf-8"));
const bytes = (text) => new Uint8ClampedArray(Buffer.from(text, "base64"));
const image = ({ shape: [height, width, channels], data }) => ({ width, height, channels, data: bytes(data) });
const plain = (value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
const result = await (async () => (""" + expression + """))();
console.log(JSON.stringify(result, (_, value) => plain(value)));
"""
        done = subprocess.run([node, "--input-type=module", "--eval", code], input=json.dumps(values), text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def packed(image):
    image = image[..., None] if image.ndim == 2 else image
    return {"shape": image.shape, "data": base64.b64encode(image.tobytes()).decode()}


def noise(*shape, seed=0):
    """Return random pixels, somewhat smooth, as those of photos."""
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 0.8)


@pytest.mark.parametrize("size, side", [((300, 400), 160), ((96, 96), 48), ((131, 97), 48), ((480, 640), 320),
                                        ((240, 240), 48), ((1201, 1600), 640), ((49, 49), 48)])
def test_pictures_shrink_as_opencv_shrinks_them(in_node, size, side):
    image = np.dstack([noise(*size, 3), np.full(size, 255, np.uint8)])
    height, width = size
    to = [max(round(each * side / max(size)), 1) for each in (width, height)]
    expected = cv2.resize(image[..., :3], to, interpolation=cv2.INTER_AREA)
    seen = in_node("pixels.shrunk(pixels.memoryPicture(given.i.shape[1], given.i.shape[0], bytes(given.i.data)), "
                   "given.side)", i=packed(image), side=side)
    assert (seen["image"]["width"], seen["image"]["height"]) == tuple(to)
    wrong = np.abs(np.reshape(seen["image"]["data"], expected.shape) - expected.astype(int))
    assert wrong.max() <= 1 and (wrong > 0).mean() < 0.001


TENSOR = "pixels.facesToTensor(given.faces.map(image), given.spec)"


@pytest.mark.parametrize("enlarge", ["cubic", "linear"])
def test_faces_become_the_same_gray_levels(in_node, enlarge):
    faces = [noise(side, side, 3, seed=side) for side in (9, 23, 36, 47, 48, 49, 60, 96, 200)]
    spec = {"size": 48, "channels": 1, "scaling": "unit", "enlarge": enlarge}
    seen = in_node(TENSOR, faces=list(map(packed, faces)), spec=spec)
    wrong = 255 * np.abs(np.reshape(seen, (9, 48 * 48)) - face_to_tensor(faces, FaceSpec(**spec)).reshape(9, -1))
    # OpenCV rounds in its own way on each kind of processor.
    assert wrong.max() < 1.01 and ((wrong > 0.5).mean(axis=1) < 0.1).all() and (wrong[4:] < 0.01).all()


def test_faces_are_standardised(in_node):
    faces = [noise(60, 60, 3), np.full((50, 50, 3), 7, np.uint8)]
    spec = {"size": 48, "channels": 1, "scaling": "standard", "enlarge": "cubic"}
    seen = in_node(TENSOR, faces=list(map(packed, faces)), spec=spec)
    assert np.abs(np.reshape(seen, (2, 48, 48, 1)) - face_to_tensor(faces, FaceSpec(**spec))).max() < 1e-4


def test_unit_scaling_and_three_channels(in_node):
    face = noise(60, 60, 3)
    spec = {"size": 32, "channels": 3, "scaling": "unit", "enlarge": "cubic"}
    seen = in_node(TENSOR, faces=[packed(face)], spec=spec)
    assert np.abs(np.reshape(seen, (1, 32, 32, 3)) - face_to_tensor([face], FaceSpec(**spec))).max() < 0.01


@pytest.mark.parametrize("box", [(30, 20, 40, 50), (-20, -5, 60, 70), (80, 50, 60.5, 40), (10.5, 10.5, 21, 33),
                                 (-10, -10, 140, 120)])
@pytest.mark.parametrize("margin", [0.9, 2.0])
def test_crops_continue_the_edge(in_node, box, margin):
    image = noise(90, 120, 3)
    rgba = np.dstack([image, np.full((90, 120), 255, np.uint8)])
    expected = crop_face(image, Detection(box), margin)
    seen = in_node("pixels.crop(pixels.memoryPicture(120, 90, bytes(given.i.data)), "
                   "pixels.cropPlace(given.box, given.margin))", i=packed(rgba), box=box, margin=margin)
    assert np.array_equal(np.reshape(seen["data"], (seen["height"], seen["width"], 3)), expected)


def test_of_boxes_that_overlap_the_surest_are_kept(in_node):
    rng = np.random.default_rng(1)
    boxes = np.concatenate([rng.uniform(0, 200, (80, 2)), rng.uniform(20, 90, (80, 2))], axis=1).round(2)
    scores = rng.permutation(np.linspace(0.7, 1, 80)).round(4)
    expected = boxes[cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, 0.3).ravel()]
    seen = in_node("detect.surest(given.boxes.map((box, i) => ({ box, score: given.scores[i] })), .3)",
                   boxes=boxes.tolist(), scores=scores.tolist())
    assert np.array_equal([face["box"] for face in seen], expected)


@pytest.mark.parametrize("counts", [(5, 5), (3, 9), (9, 3), (1, 1), (0, 4)])
def test_faces_of_two_frames_are_paired_as_well_as_can_be(in_node, counts):
    rng = np.random.default_rng(sum(counts))
    a, b = (np.concatenate([rng.uniform(0, 60, (n, 2)), rng.uniform(30, 60, (n, 2))], axis=1) for n in counts)
    shared = overlaps(a, b)
    rows, columns = linear_sum_assignment(-shared)
    expected = {(i, j) for i, j in zip(rows.tolist(), columns.tolist()) if shared[i, j] >= 0.2}
    seen = in_node("track.matchBoxes(given.a, given.b, .2)", a=a.tolist(), b=b.tolist())
    assert {tuple(pair) for pair in seen} == expected


@pytest.mark.parametrize("form, options", [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}),
                                           ("BMP", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {})])
def test_a_files_first_bytes_say_how_large_the_picture_is(in_node, form, options):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a text before the size"
    try:
        Image.new("RGB", (321, 123), "red").save(file, form, exif=exif, **options)
    except (KeyError, OSError) as error:
        pytest.skip(f"Pillow writes no {form} here ({error})")
    seen = in_node("header.readHeader(bytes(given.data))", data=base64.b64encode(file.getvalue()).decode())
    assert seen == {"kind": form.lower(), "width": 321, "height": 123}


def test_an_old_bitmap_says_its_size_in_two_bytes_each(in_node):
    data = b"BM" + struct.pack("<IHHIIHHHH", 26 + 12, 0, 0, 26, 12, 2, 1, 1, 24) + bytes(8)
    assert Image.open(io.BytesIO(data)).size == (2, 1)
    seen = in_node("header.readHeader(bytes(given.data))", data=base64.b64encode(data).decode())
    assert seen == {"kind": "bmp", "width": 2, "height": 1}


@pytest.mark.parametrize("progressive, scans", [(False, 1), (True, 10)])
def test_scans_are_counted_up_to_the_end_and_not_within_what_a_decoder_skips(in_node, progressive, scans):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "a small picture: " + "\xff\xda\0\x08\x01" * 30
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=95, progressive=progressive, exif=exif)
    film = b"\xff\xda" * 500  # as phones put a short film behind a photo
    seen = in_node("header.countScans(bytes(given.data))", data=base64.b64encode(file.getvalue() + film).decode())
    assert seen == scans
    more = file.getvalue()[:-2] + 200 * b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"\xff\xd9"
    assert in_node("header.countScans(bytes(given.data))", data=base64.b64encode(more).decode()) == scans + 200
