"""The pictures that Python draws for the page."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_utils.lab import page_pictures
from fer_utils.labels import EMOTIONS
from fer_utils.vision import detect


def test_the_examples_and_the_emoji_are_small_files(tmp_path):
    page_pictures.write_pictures(tmp_path)
    examples, emoji = sorted(tmp_path.glob("example-*.jpg")), sorted(tmp_path.glob("emoji-*.png"))
    assert {path.stem.removeprefix("example-") for path in examples} == set(page_pictures.EXAMPLES)
    assert {path.stem.removeprefix("emoji-") for path in emoji} == set(EMOTIONS)
    assert sum(path.stat().st_size for path in examples + emoji) < 150_000  # the single file has them within
    assert all(Image.open(path).mode == "RGBA" for path in emoji)


@pytest.mark.skipif(detect.yunet_file(download=False) is None, reason="YuNet's file is not here")
@pytest.mark.parametrize("name", page_pictures.EXAMPLES)
def test_the_detector_finds_each_drawn_face_within_its_frame(name):
    emotions, seed = page_pictures.EXAMPLES[name]
    wall = page_pictures.draw_wall(emotions, seed)
    faces = detect.YuNetDetector().detect(wall)
    assert len(faces) == len(emotions)
    paper = cv2.dilate((np.abs(wall.astype(int) - wall[0, 0]).max(axis=2) > 0).astype(np.uint8), np.ones((3, 3)))
    prints, _, boxes, _ = cv2.connectedComponentsWithStats(paper)
    centres = [(face.box[0] + face.box[2] // 2, face.box[1] + face.box[3] // 2) for face in faces]
    within = {int(np.flatnonzero([x <= cx < x + w and y <= cy < y + h for x, y, w, h, _ in boxes[1:]])[0])
              for cx, cy in centres}
    assert prints - 1 == len(emotions) == len(within)  # one in each print
