"""What is drawn on photos and frames: where it goes, that it can be read, and that nothing is too small for it."""

import cv2
import numpy as np
import pytest

from fer_utils.labels import EMOTIONS
from fer_utils.vision import draw, emoji
from fer_utils.vision.predict import Face


def face(box, emotion="happy", confidence=0.7):
    probabilities = np.full(7, (1 - confidence) / 6, np.float32)
    probabilities[EMOTIONS.index(emotion)] = confidence
    return Face(box, 0.9, probabilities)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)


class TestEmoji:
    @pytest.mark.parametrize("size", [1, 7, 24, 200])
    def test_is_rgba_of_the_size_asked_for_and_round(self, size):
        for emotion in EMOTIONS:
            sprite = emoji.draw_emoji(emotion, size)
            assert sprite.shape == (size, size, 4) and sprite.dtype == np.uint8
        if size > 7:
            assert sprite[0, 0, 3] == 0 and sprite[size // 2, size // 2, 3] == 255
            covered = sprite[..., 3].astype(float).mean() / 255
            assert covered == pytest.approx(np.pi / 4 * 0.98**2, abs=0.02)  # a disc in its square

    def test_edges_are_smooth(self):
        alpha = emoji.draw_emoji("neutral", 48)[..., 3]
        assert len(np.unique(alpha)) > 8

    def test_the_seven_differ_clearly_even_in_gray_and_small(self):
        gray = [cv2.cvtColor(emoji.draw_emoji(e, 24)[..., :3], cv2.COLOR_RGB2GRAY).astype(float) for e in EMOTIONS]
        for i in range(7):
            for j in range(i):
                assert np.abs(gray[i] - gray[j]).mean() > 6, (EMOTIONS[i], EMOTIONS[j])

    def test_is_drawn_once_and_cannot_be_spoilt(self):
        assert emoji.draw_emoji("sad", 30) is emoji.draw_emoji("sad", 30)
        with pytest.raises(ValueError):
            emoji.draw_emoji("sad", 30)[0] = 0

    def test_says_what_is_wrong(self):
        with pytest.raises(ValueError, match="bored"):
            emoji.draw_emoji("bored", 20)
        with pytest.raises(ValueError, match="0"):
            emoji.draw_emoji("sad", 0)


class TestAnnotate:
    def test_draws_around_the_face_and_nowhere_else(self, photo):
        before = photo.copy()
        marked = draw.annotate(photo, [face((200, 150, 160, 200))])
        assert marked.dtype == np.uint8 and marked.shape == photo.shape
        assert np.array_equal(photo, before), "the photo itself must stay as it is"
        changed = (marked != photo).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert 100 < rows[0] < 150 and 345 < rows[-1] < 356  # the name above, the box below
        assert 195 < columns[0] and columns[-1] < 400
        assert not changed[170:330, 220:340].any(), "the face itself stays free"
        assert np.array_equal(draw.annotate(photo, []), photo)

    def test_box_has_the_emotions_colour(self, photo):
        marked = draw.annotate(photo, [face((200, 150, 160, 200), "disgust")])
        assert tuple(marked[250, 200]) == emoji.RGB["disgust"]

    def test_unsure_faces_are_called_so(self, photo):
        box = (200, 150, 160, 200)
        sure, unsure = (draw.annotate(photo, [face(box, confidence=0.4)], limit) for limit in (0.3, 0.5))
        assert tuple(sure[250, 200]) == emoji.RGB["happy"] and tuple(unsure[250, 200]) == draw.UNSURE_COLOUR
        # An unsure face looks the same whatever it may be: no emotion shows through.
        other = draw.annotate(photo, [face(box, "angry", 0.4)], 0.5)
        assert np.array_equal(unsure, other)

    def test_text_is_readable_on_every_plate(self):
        def luminance(colour):  # WCAG 2: relative luminance by its exact curve
            linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in np.array(colour) / 255]
            return np.dot(linear, (0.2126, 0.7152, 0.0722))

        for plate in (*emoji.RGB.values(), draw.UNSURE_COLOUR):
            a, b = sorted((luminance(plate), luminance(draw.text_colour(plate))))
            assert (b + 0.05) / (a + 0.05) > 4.5, plate

    def test_lines_and_letters_grow_with_the_image(self):
        assert draw.line_width(np.zeros((480, 640, 3))) == 2
        assert draw.line_width(np.zeros((3000, 4000, 3))) > 8
        # The same scene five times as large: drawn the same, five times as large.
        small = draw.annotate(np.zeros((480, 640, 3), np.uint8), [face((200, 150, 160, 200))])
        large = draw.annotate(np.zeros((2400, 3200, 3), np.uint8), [face((1000, 750, 800, 1000))])
        shrunk = cv2.resize(large, (640, 480), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(float) - small).mean() < 2

    @pytest.mark.parametrize(("shape", "live"), [((1, 1), False), ((3, 200), False), ((9000, 12000), False),
                                                 ((1, 1), True), ((3, 200), True), ((2160, 3840), True),
                                                 ((4000, 12000), True)])
    def test_any_size_of_image(self, shape, live):
        image = np.zeros((*shape, 3), np.uint8)
        faces = [face((0, 0, shape[1], shape[0])), face((shape[1] - 1, shape[0] - 1, 1, 1), "sad")]
        drawn = draw.annotate_live(image, faces, ["60 fps"]) if live else draw.annotate(image, faces)
        assert drawn.shape == image.shape

    def test_gray_and_transparent_photos(self):
        for shape in ((90, 90), (90, 90, 4)):
            assert draw.annotate(np.full(shape, 200, np.uint8), [face((20, 30, 40, 40))]).shape == (90, 90, 3)


class TestLive:
    def test_a_fuller_bar_for_a_surer_emotion(self):
        lengths = []
        for confidence in (0.3, 0.6, 0.9):
            faces = [face((100, 150, 160, 200), "sad", confidence)]
            image = draw.annotate_live(np.zeros((480, 640, 3), np.uint8), faces)
            beside = image[150:300, 270:]
            lengths.append((beside == emoji.RGB["sad"]).all(axis=2).sum(axis=1).max())
        assert lengths[1] / lengths[0] == pytest.approx(2, rel=0.15)
        assert lengths[2] / lengths[0] == pytest.approx(3, rel=0.15)

    def test_bars_cover_no_other_face(self):
        boxes = [(30 + 200 * (i % 3), 40 + 230 * (i // 3), 150, 150) for i in range(6)]
        plain = np.full((480, 640, 3), 255, np.uint8)
        drawn = draw.annotate_live(plain.copy(), [face(box) for box in boxes])
        for x, y, width, height in boxes:
            assert (drawn[y + 10:y + height - 10, x + 10:x + width - 10] == 255).all()

    def test_bars_are_there_without_room_beside_the_face(self):
        drawn = draw.annotate_live(np.zeros((480, 640, 3), np.uint8), [face((10, 60, 620, 300), "surprise")])
        below = drawn[366:420]
        assert (below == emoji.RGB["surprise"]).all(axis=2).sum() > 1000

    def test_the_status_grows_with_the_image(self):
        heights = [np.flatnonzero(draw.annotate_live(np.zeros((height, height * 4 // 3, 3), np.uint8), [], ["60 fps"])
                                  .any(axis=(1, 2))).size for height in (480, 1440)]
        assert heights[1] / heights[0] == pytest.approx(3, rel=0.15)

    def test_the_status_is_light_on_dark_whatever_is_below(self):
        for level in (0, 128, 255):
            corner = draw.annotate_live(np.full((480, 640, 3), level, np.uint8), [], ["60 fps"])[455:, :80]
            assert corner.max() > 240 and np.median(corner[4:-4, 6:40]) < 100


def test_names_of_faces_side_by_side_do_not_cover_each_others_numbers(photo):
    large, small = face((100, 200, 60, 60), "surprise"), face((165, 202, 55, 55), "surprise")
    first, alone = (draw.place_plate(photo, each, 0, [])[0] for each in (large, small))
    assert first[0] + first[2] > alone[0], "with its number the second name would cover the first"
    beside = draw.place_plate(photo, small, 0, [first])[0]
    assert beside[2] < alone[2], "without its number it is shorter"
    far = face((400, 200, 55, 55), "surprise")
    assert draw.place_plate(photo, far, 0, [first])[0][2] == alone[2]
