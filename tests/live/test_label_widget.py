"""The widget for labelling without a browser: messages as JavaScript sends them, answered."""
import io

import numpy as np
import pytest
from PIL import Image

from fer_utils.labels import EMOTIONS
from fer_utils.live.label_folder import LabelFolder
from fer_utils.live.label_widget import LabelWidget
from tests.live.test_labelling import PIXELS, session
from tests.live.test_widgets import Page


@pytest.fixture
def page(tmp_path):
    return Page(LabelWidget(session(tmp_path, annotator="Ada")))


def test_the_page_gets_the_face_and_how_far_it_is(page):
    hello, emoji = page.ask("hello")
    assert list(hello["emotions"]) == list(EMOTIONS) and hello["annotator"] == "Ada" and len(emoji) == 7
    answer, [jpeg] = page.ask("show")  # these faces have no photo
    assert (answer["face"], answer["done"], answer["total"], answer["remark"]) == ("face0.png", 0, 6, "")
    assert answer["of_photo"] is False, "so the page does not say that a photo is missing"
    shown = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L").resize((48, 48), Image.Resampling.BOX)).astype(int)
    assert np.corrcoef(shown.ravel(), PIXELS[0].ravel())[0, 1] > 0.95


def test_a_label_is_noted_and_the_next_face_comes(page, tmp_path):
    answer, files = page.ask("decide", face="face0.png", label="sad")
    assert answer["face"] == "face1.png" and answer["done"] == 1 and len(files) == 1
    assert answer["remark"] == "The face before: you say sad, the network says happy (90%)."
    assert LabelFolder(tmp_path).labels() == {"Ada": {"face0.png": "sad"}}
    assert "of" not in answer  # to the page that would be news of progress, and no answer
    assert page.ask("undo")[0]["face"] == "face0.png" and LabelFolder(tmp_path).labels() == {}


def test_a_key_that_was_pressed_twice_labels_one_face(page, tmp_path):
    for _ in range(2):
        answer, _ = page.ask("decide", face="face0.png", label="sad")
    assert answer["face"] == "face1.png" and LabelFolder(tmp_path).labels() == {"Ada": {"face0.png": "sad"}}


def test_at_the_end_it_shows_no_face_and_finish_makes_the_data_set(page, tmp_path):
    for i in range(6):
        answer, files = page.ask("decide", face=f"face{i}.png", label="fear")
    assert answer["face"] is None and answer["done"] == answer["total"] == 6 and not files
    assert page.ask("finish")[0]["summary"].startswith("6 of 6 faces have a label: fear 6")
    assert (tmp_path / "fer2013.csv").exists()


def test_what_is_no_label_is_an_answer_and_nothing_is_kept_in_the_notebook(page, tmp_path):
    assert "none of angry" in page.ask("decide", face="face0.png", label="hapy")[0]["error"]
    assert LabelFolder(tmp_path).labels() == {}
    assert all(not isinstance(value, bytes) for value in page.widget.get_state().values())
