import io
import os

import cv2
import numpy as np
import pytest
from PIL import GifImagePlugin, Image, ImageOps, TiffImagePlugin, features

from fer_utils.errors import DataError
from fer_utils.vision import images


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def colours():
    """Left half red, right half blue; 40 wide, 20 high."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = 255
    pixels[:, 20:, 2] = 255
    return pixels


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_forms_keep_every_pixel_in_rgb_order(colours, form):
    assert np.array_equal(images.read_photo(encoded(Image.fromarray(colours), form)), colours)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_forms_keep_the_colours(colours, form):
    read = images.read_photo(encoded(Image.fromarray(colours), form, quality=95))
    assert read.shape == colours.shape and np.abs(read[:, :15].astype(int) - colours[:, :15]).max() < 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (600, 300, 3), np.uint8)  # more rows than one strip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(images.read_photo(data), expected)


def test_transparency_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = 10, 20, 30, 255
    read = images.read_photo(encoded(Image.fromarray(pixels), "PNG"))
    assert read[0, 0].tolist() == [10, 20, 30] and read[1, 1].tolist() == [255, 255, 255]


def test_sixteen_bit_gray_and_cmyk():
    deep = np.array([[0, 256 * 100], [256 * 200 + 255, 65535]], np.uint16)
    assert images.read_photo(encoded(Image.fromarray(deep), "PNG"))[..., 0].tolist() == [[0, 100], [200, 255]]
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert images.read_photo(encoded(red, "TIFF"))[0, 0].tolist() == [255, 0, 0]


GRAY = np.linspace(0, 255, 120 * 80).astype(np.uint8).reshape(80, 120)
BROKEN = np.where(np.arange(GRAY.size).reshape(GRAY.shape) % 1000 == 7, np.nan, GRAY / 255)


@pytest.mark.parametrize(("form", "values"), [
    ("TIFF", GRAY.astype(np.float32) / 255), ("TIFF", GRAY.astype(np.float32)), ("TIFF", GRAY * np.float32(257)),
    ("TIFF", GRAY * np.float32(1e-4) - np.float32(3)), ("TIFF", BROKEN.astype(np.float32)),
    ("TIFF", np.where(np.arange(GRAY.size).reshape(GRAY.shape) < 4, 1e30, GRAY / 30).astype(np.float32)),
    ("TIFF", GRAY.astype(np.int32)), ("TIFF", GRAY.astype(np.int32) * 8_000_000 - 10**9),
    ("TIFF", GRAY.astype(np.uint16) * 16), ("TIFF", GRAY.astype(np.uint16) * 257),
    ("PNG", GRAY.astype(np.uint16) * 257),
])
def test_numbers_of_every_kind_are_scaled_to_what_one_sees(form, values):
    right = np.isfinite(values) & (values < 1e29)  # the others are a sensor's broken pixels
    read = images.read_photo(encoded(Image.fromarray(values), form))
    assert np.abs(read[..., 0].astype(float) - GRAY)[right].max() <= 2 and (read[~np.isfinite(values)] == 0).all()


def test_a_dark_photo_of_16_bits_stays_dark_and_one_without_a_number_is_refused():
    dark = encoded(Image.fromarray(np.full((9, 9), 2570, np.uint16)), "PNG")
    assert (images.read_photo(dark) == 10).all()
    with pytest.raises(DataError, match="none of its pixels has a value"):
        images.read_photo(encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"))
    with pytest.raises(DataError, match="a TIFF of a kind that is not read here; save it as PNG"):
        images.read_photo(cv2.imencode(".tif", np.zeros((9, 9, 3), np.float32))[1].tobytes())


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_means_transparent_is_laid_on_white(mode):
    black = Image.new(mode, (4, 4))
    assert (images.read_photo(encoded(black, "PNG", transparency=0 if mode == "L" else (0, 0, 0))) == 255).all()


def test_palette_with_transparency_and_an_animation():
    frames = [Image.new("P", (8, 8), i) for i in range(3)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (images.read_photo(data) == 0).all(), "the first frame"
    seen = images.read_photo(encoded(frames[1], "PNG", transparency=1))
    assert (seen == 255).all(), "its one colour is transparent"


@pytest.mark.parametrize("data, word", [
    (b"", "not an image"), (b"hello, I am a text", "not an image"),
    (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "this photo: "), (b"\xff\xd8\xff\xe0" + bytes(100), "this photo: "),
])
def test_what_is_no_photo_is_an_error_in_words(data, word):
    with pytest.raises(DataError, match=word):
        images.read_photo(data)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_an_error_in_words(colours):
    data = bytearray(encoded(Image.fromarray(colours), "AVIF"))
    data[-20:] = bytes(20)
    with pytest.raises(DataError, match="damaged"):
        images.read_photo(bytes(data))


def test_a_decoders_warnings_are_kept_back(colours, recwarn):
    exif = Image.Exif()
    exif[0x010F] = "a camera's name that is long"
    data = encoded(Image.fromarray(colours), "TIFF", exif=exif)
    # The name's length is said to be beyond the file's end: its entry is tag 0x010F, type 2, count.
    place = data.index(b"\x0f\x01\x02\x00") + 4
    read = images.read_photo(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4:])
    assert np.array_equal(read, colours) and not list(recwarn)


def test_a_truncated_photo_is_an_error(colours):
    data = encoded(Image.fromarray(np.tile(colours, (10, 10, 1))), "JPEG")
    with pytest.raises(DataError, match="cut short"):
        images.read_photo(data[:len(data) // 2])


def test_a_bomb_is_refused_by_its_size(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(path)  # 25 kB on disk, 600 MB as RGB
    with pytest.raises(DataError, match="bomb.png.*pixels"):
        images.read_photo(path)
    with pytest.raises(DataError, match="20×20 pixels are too many"):
        images.read_photo(encoded(Image.new("RGB", (20, 20)), "PNG"), max_pixels=100)


def test_a_small_file_that_takes_long_is_refused_by_its_header():
    data = encoded(Image.new("L", (64, 64), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert images.read_photo(data[:-2] + data[last:-2] * 20 + data[-2:]).mean() == 90
    with pytest.raises(DataError, match="a JPEG of 30[0-9] scans takes too long"):
        images.read_photo(data[:-2] + data[last:-2] * 300 + data[-2:])


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG", "WEBP"])
def test_pages_are_never_counted(form, monkeypatch):
    pages = [Image.new("L", (8, 8), 60 * i) for i in range(4)]
    data = encoded(pages[0], form, save_all=True, append_images=pages[1:])
    for plugin in (TiffImagePlugin.TiffImageFile, GifImagePlugin.GifImageFile):
        monkeypatch.setattr(plugin, "n_frames", property(lambda self: 1 / 0))
    assert images.is_animated(data) and (images.read_photo(data) == 0).all()
    assert not images.is_animated(encoded(pages[0], form))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_said_and_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.symlink(tmp_path / "circle.jpg", tmp_path / "circle.jpg")
    for path, said in ((tmp_path / "pipe.jpg", "a pipe"), ("/dev/null", "a device"), ("x" * 300, "too long"),
                       (tmp_path / "circle.jpg", "cannot be opened"), ("a\0b", "cannot be opened")):
        with pytest.raises(DataError, match=said):
            images.read_photo(path)
    Image.new("L", (8, 8)).save(tmp_path / "locked.png")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match="locked.png: you have no permission to read it"):
        images.read_photo(tmp_path / "locked.png")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        images.read_photo(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="folder"):
        images.read_photo(tmp_path)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), float), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8),
                                 np.zeros(4, np.uint8)])
def test_to_rgb_refuses_what_is_no_image(bad):
    with pytest.raises(ValueError):
        images.to_rgb(bad)


def test_to_rgb_keeps_an_rgb_array_itself(colours):
    assert images.to_rgb(colours) is colours
    assert images.to_rgb(colours[..., 0]).shape == (20, 40, 3)


def test_formats_that_start_other_programs_are_no_photos():
    with pytest.raises(DataError, match="not an image that can be read"):
        images.read_photo(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def test_heic_without_its_reader_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "heic_readable", lambda: False)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for source in (tmp_path / "a.heic", (tmp_path / "a.heic").read_bytes()):
        with pytest.raises(DataError, match="HEIC cannot be read here .pip install pillow-heif"):
            images.read_photo(source)


def test_what_one_photo_breaks_becomes_one_line(tmp_path, colours):
    path = tmp_path / "a.png"
    Image.fromarray(colours).save(path)
    assert images.look_at_photo(path, lambda image: image.shape) == ((20, 40, 3), "")
    assert images.look_at_photo(path.read_bytes(), len) == (20, "")
    assert images.look_at_photo(path, lambda image: 1 / 0) == (
        None, f"{path}: could not be looked at (ZeroDivisionError: division by zero)")
    path.write_bytes(b"text")
    result, reason = images.look_at_photo(path, len)
    assert result is None and reason.startswith(f"{path}: not an image that can be read")
