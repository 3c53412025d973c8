"""Every layout gives the same faces; every kind of bad input is told by file, row and remedy."""

import gzip
import itertools
import os
import sys
import types
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_utils import paths
from fer_utils.data import load as load_module
from fer_utils.data import parse
from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import UNLABELLED_USAGE, USAGES, FaceSet
from fer_utils.data.load import download, find, load, sample
from fer_utils.errors import DataError
from fer_utils.labels import EMOTIONS


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Keep each test away from the user's data and cache."""
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "data" / "cache")


@pytest.fixture(scope="module")
def faces():
    """Smooth random faces, ordered by usage as FER2013 is."""
    rng = np.random.default_rng(5)
    pixels = np.stack([cv2.GaussianBlur(rng.integers(0, 256, (48, 48), dtype=np.uint8), (7, 7), 0) for _ in range(70)])
    pixels[3] = 0
    pixels[4] = 255
    emotion = np.tile(np.arange(7, dtype=np.int8), 10)
    usage = np.repeat(USAGES, (42, 14, 14))
    return FaceSet(pixels, emotion, usage, "test", "arrays")


def text(face):
    return " ".join(map(str, face.ravel().tolist()))


def write_csv(faces, path):
    rows = [f"{e},{text(p)},{u}\n" for p, e, u in zip(faces.pixels, faces.emotion, faces.usage)]
    path.write_text("emotion,pixels,Usage\n" + "".join(rows))
    return path


def write_icml(faces, path, order=("emotion", " Usage", " pixels")):
    values = {"emotion": faces.emotion, " Usage": faces.usage, " pixels": [text(p) for p in faces.pixels]}
    rows = [",".join(str(values[column][i]) for column in order) for i in range(len(faces))]
    path.write_text("\n".join([",".join(order), *rows]))  # no newline at the end
    return path


def write_challenge(faces, folder):
    train = faces.usage == "Training"
    rows = [f'{e},"{text(p)}"\r\n' for p, e in zip(faces.pixels[train], faces.emotion[train])]
    (folder / "train.csv").write_bytes(("emotion,pixels\r\n" + "".join(rows)).encode())
    (folder / "test.csv").write_text("pixels\n" + "".join(f'"{text(p)}"\n' for p in faces.pixels[~train]))
    (folder / "test_labels.csv").write_text("emotion\n" + "".join(f"{e}\n" for e in faces.emotion[~train]))
    (folder / "example_submission.csv").write_text("prediction\n" + "0\n" * (~train).sum())
    return folder


def write_folders(faces, folder, telling=True, extension="png", rgb=False, size=48):
    for i, (p, e, u) in enumerate(zip(faces.pixels, faces.emotion, faces.usage)):
        place = folder / ("train" if u == "Training" else "test") / EMOTIONS[e]
        place.mkdir(parents=True, exist_ok=True)
        image = cv2.cvtColor(p, cv2.COLOR_GRAY2BGR) if rgb else p
        image = np.kron(image, np.ones((size // 48, size // 48) + (1,) * rgb, np.uint8))
        cv2.imwrite(str(place / f"{f'{u}_' if telling else 'im'}{i}.{extension}"), image)
    return folder


def write_validation(faces, folder):
    for i, (p, e, u) in enumerate(zip(faces.pixels, faces.emotion, faces.usage)):
        place = folder / "images" / ("train" if u == "Training" else "validation") / EMOTIONS[e]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{i}.jpg"), p)
    return folder


def write_arrays(faces, path):
    np.savez_compressed(path, pixels=faces.pixels, emotion=faces.emotion, usage=faces.usage)
    return path


def zipped(place, path, under=""):
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, under + (file.name if place.is_file() else file.relative_to(place).as_posix()))
        archive.writestr("__MACOSX/._fer2013.csv", b"\0\1")
    return path


def gzipped(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return packed


def assert_same(got, faces):
    np.testing.assert_array_equal(got.pixels, faces.pixels)
    np.testing.assert_array_equal(got.emotion, faces.emotion)
    np.testing.assert_array_equal(got.usage, faces.usage)
    assert got.fingerprint() == faces.fingerprint()


# ---- every layout ----


@pytest.mark.parametrize("layout, packing", [
    *itertools.product(["fer2013.csv", "icml", "arrays", "folders"], ["plain", "folder", "deep", "zip", "zip inside"]),
    ("fer2013.csv", "gz"), ("icml", "gz"),
])
def test_layouts_agree(faces, tmp_path, layout, packing):
    folder = tmp_path / "archive" / "inner" if packing == "deep" else tmp_path / "archive"
    folder.mkdir(parents=True)
    place = {"fer2013.csv": lambda: write_csv(faces, folder / "fer2013.csv"),
             "icml": lambda: write_icml(faces, folder / "icml_face_data.csv"),
             "arrays": lambda: write_arrays(faces, folder / "fer2013.npz"),
             "folders": lambda: write_folders(faces, folder)}[layout]()
    if packing in ("folder", "deep"):
        place = tmp_path / "archive"
    elif packing == "gz":
        place = gzipped(place)
    elif packing != "plain":
        place = zipped(place, tmp_path / "data.zip", under="inner/")
    if packing == "zip inside":
        place = tmp_path / "only"
        place.mkdir()
        (tmp_path / "data.zip").rename(place / "data.zip")
    for _ in range(2):  # read, and read from the cache
        got = load(place)
        assert got.layout == layout and not got.drawn and got.title == "own faces"
        assert_same(got, faces)
    assert_same(load(find(place)), faces)


@pytest.mark.parametrize("packing", ["folder", "zip"])
def test_challenge(faces, tmp_path, packing):
    place = tmp_path / "challenge"
    place.mkdir()
    write_challenge(faces, place)
    if packing == "zip":
        place = zipped(place, tmp_path / "challenge.zip")
    got = load(place)
    assert got.layout == "challenge" and len(got) == 70
    assert_same(got.of("Training"), faces.of("Training"))
    test = got.of(UNLABELLED_USAGE)
    np.testing.assert_array_equal(test.pixels, faces.pixels[42:])
    assert (test.emotion == -1).all() and not test.labelled.any()
    assert got.counts().to_dict("list") == {"Training": [6] * 7, "Test": [0] * 7}


def test_challenge_parts_alone(faces, tmp_path):
    write_challenge(faces, tmp_path)
    assert_same(load(tmp_path / "train.csv"), faces.of("Training"))
    assert_same(load(gzipped(tmp_path / "train.csv")), faces.of("Training"))
    test = load(tmp_path / "test.csv")
    assert set(test.usage) == {"Test"} and len(test) == 28


def test_whole_challenge_download_prefers_the_labelled_file(faces, tmp_path):
    write_challenge(faces, tmp_path)
    write_icml(faces, tmp_path / "icml_face_data.csv")
    assert_same(load(tmp_path), faces)


@pytest.mark.parametrize("packing", ["folder", "zip"])
def test_validation_within_jpeg_loss(faces, tmp_path, packing):
    place = write_validation(faces, tmp_path / "archive")
    # The public archive holds its images once more further down: they count once.
    again = place / "images" / "images" / "train" / "angry"
    again.mkdir(parents=True)
    cv2.imwrite(str(again / "0.jpg"), faces.pixels[0])
    if packing == "zip":
        place = zipped(place, tmp_path / "archive.zip")
    got = load(place)
    assert got.layout == "validation" and len(got) == 70
    np.testing.assert_array_equal(got.emotion, faces.emotion)
    np.testing.assert_array_equal(got.usage, np.where(faces.usage == "Training", "Training", "PublicTest"))
    assert np.abs(got.pixels.astype(int) - faces.pixels).mean() < 2


def test_icml_columns_in_any_order(faces, tmp_path):
    assert_same(load(write_icml(faces, tmp_path / "a.csv", (" pixels", "emotion", " Usage"))), faces)


def test_file_names_that_do_not_tell_the_usage(faces, tmp_path):
    got = load(write_folders(faces, tmp_path, telling=False))
    np.testing.assert_array_equal(got.pixels, faces.pixels)
    np.testing.assert_array_equal(got.usage, np.where(faces.usage == "Training", "Training", "PrivateTest"))


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_three_folders(faces, tmp_path, name):
    for pixels, emotion, usage in zip(faces.pixels, faces.emotion, faces.usage):
        place = tmp_path / {"Training": "train", "PublicTest": name, "PrivateTest": "test"}[usage] / EMOTIONS[emotion]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{len(list(place.iterdir()))}.png"), pixels)
    got = load(tmp_path)
    assert got.layout == "validation" and got.counts().equals(faces.counts())


def test_images_in_colour_and_of_any_size(faces, tmp_path):
    assert_same(load(write_folders(faces, tmp_path / "rgb", rgb=True)), faces)
    # Each pixel made 2×2: the area average of an enlarged face is that face.
    assert_same(load(write_folders(faces, tmp_path / "large", rgb=True, size=96, extension="bmp")), faces)


def test_blank_lines_byte_order_mark_and_odd_blanks(faces, tmp_path):
    path = write_csv(faces, tmp_path / "fer2013.csv")
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(" ", "  ", 3)
    lines[3] = lines[3].replace(" ", "\t", 3)
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n\n\n", encoding="utf-8")
    assert_same(load(path), faces)


def test_unrelated_files_do_not_count(faces, tmp_path):
    paths.CACHE.mkdir(parents=True)
    write_arrays(faces, paths.CACHE / "kept.npz")
    (paths.DATA / "README.md").write_text("hello")
    (paths.DATA / "votes.csv").write_text("neutral,anger\n1,2\n")
    zipped(paths.DATA / "votes.csv", paths.DATA / "other.zip")
    assert find() is None
    with pytest.raises(DataError, match="no layout of FER2013.*download"):
        load(paths.DATA)
    write_csv(faces, paths.DATA / "fer2013.csv")
    assert find() == paths.DATA / "fer2013.csv"
    assert_same(load(), faces)
    # Nor do another project's tables of the challenge's names, or a damaged one.
    (paths.DATA / "titanic").mkdir()
    (paths.DATA / "titanic" / "train.csv").write_text("PassengerId,Survived\n1,0\n")
    (paths.DATA / "logs.csv.gz").write_bytes(b"\x1f\x8b\x08cut off")
    assert_same(load(), faces)


# ---- drawn faces ----


@pytest.mark.parametrize("how", [("drawn:60", {}), (None, {"drawn": 60})])
def test_drawn_on_demand(faces, tmp_path, how):
    paths.DATA.mkdir()
    write_csv(faces, paths.DATA / "fer2013.csv")
    got = load(how[0], **how[1])
    assert got.drawn and len(got) == 60 and got.title == "drawn faces, not FER2013"


def test_drawn_without_data(monkeypatch):
    drawn = []
    monkeypatch.setattr(load_module, "_load_drawn", lambda n, cache: drawn.append(n))
    monkeypatch.delenv("FER_DATA", raising=False)
    load()
    paths.DATA.mkdir()
    load()
    assert drawn == [3000, 3000]
    # A place that was named has to exist: a slip of the pen must not end in drawn faces.
    paths.DATA.rmdir()
    monkeypatch.setenv("FER_DATA", str(paths.DATA))
    with pytest.raises(DataError, match="no such file"):
        load()


def test_drawn_faces_are_drawn_once(monkeypatch):
    times, some = [], draw_faces(201)
    monkeypatch.setattr(load_module, "draw_faces", lambda n: times.append(n) or some[:n])
    first, again, fresh, other = load("drawn:200"), load("drawn:200"), load("drawn:200", cache=False), load("drawn:201")
    assert times == [200, 200, 201]
    for faces in (again, fresh):
        assert_same(faces, first)
        assert faces.drawn and (faces.source, faces.title) == (first.source, first.title)
    assert len(other) == 201
    monkeypatch.setattr(load_module.cv2, "__version__", "0")  # another version may draw otherwise
    assert_same(load("drawn:200"), first)
    assert times == [200, 200, 201, 200]


@pytest.mark.parametrize("source", ["drawn:", "drawn:many", "drawn:0"])
def test_drawn_number(source):
    if source == "drawn:":
        assert len(load("drawn:21")) == 21
    else:
        with pytest.raises(DataError, match="drawn:8000"):
            load(source)


# ---- bad input: file, row, remedy, and nothing cached ----


def assert_refused(place, *words):
    with pytest.raises(DataError) as caught:
        load(place)
    message = str(caught.value)
    for word in (place.name, *words):
        assert word in message, message
    assert not list(paths.CACHE.glob("*"))
    return message


@pytest.mark.parametrize("row, old, new, words", [
    (5, " ", " 256 ", ["pixel 2 is 256, outside 0–255"]),
    (5, " ", " 1000 ", ["pixel 2 is 1000, outside 0–255"]),
    (70, " ", " -1 ", ["pixel 2 is -1, outside 0–255"]),
    (70, " ", " ten ", ["pixel 2 is 'ten', not a whole number"]),
    (70, " ", " 1.5 ", ["pixel 2 is '1.5', not a whole number"]),
    (71, " ", " 7 ", ["2305 pixel values instead of 2304"]),
    (71, " ", " " + "9" * 5000 + " ", ["outside 0–255"]),
    (2, " ", ",", ["1 pixel values instead of 2304"]),
    (9, ",", "9,", ["emotion", "not one of 0–6"]),
    (9, ",", ".5,", ["emotion", "not one of 0–6"]),
    (9, ",", "x,", ["emotion", "not one of 0–6"]),
    (9, "Training", "Exam", ["unknown usage 'Exam'", "PublicTest"]),
    (9, ",Training", "", ["unknown usage ''"]),
])
def test_bad_row(faces, tmp_path, row, old, new, words):
    path = write_csv(faces, tmp_path / "fer2013.csv")
    lines = path.read_text().splitlines()
    lines[row - 1] = lines[row - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))
    assert_refused(path, f"row {row}:", *words, "remove this row")
    assert_refused(gzipped(path), f"row {row}:", *words)


def test_counts_that_balance_are_still_wrong(faces, tmp_path):
    """2,305 values in one row and 2,303 in the next make 2 × 2,304."""
    path = write_csv(faces, tmp_path / "fer2013.csv")
    lines = path.read_text().splitlines()
    lines[10] = lines[10].replace(" ", " 1 ", 1)
    lines[11] = lines[11].replace(lines[11].split()[5] + " ", "", 1)
    path.write_text("\n".join(lines))
    assert_refused(path, "row 11: 2305 pixel values")


def test_first_bad_row_far_down_is_named(faces, tmp_path):
    """Row numbers hold across the parts in which a long file is read, and past blank lines."""
    long = faces[np.arange(2100) % 70]
    path = write_csv(long, tmp_path / "fer2013.csv")
    lines = path.read_text().splitlines()
    lines[1500] = lines[1500].replace(" ", " 300 ", 1)
    lines[1900] = lines[1900].replace(" ", " 301 ", 1)
    lines.insert(10, "")
    path.write_text("\n".join(lines))
    assert_refused(path, "row 1502: pixel 2 is 300")


def test_bad_tables(faces, tmp_path):
    path = tmp_path / "fer2013.csv"
    path.write_text("")
    assert_refused(path, "empty", "download")
    path.write_text("emotion,pixels,Usage\n")
    assert_refused(path, "no rows", "download")
    path.write_text("label,image\n1,2\n")
    assert_refused(path, "row 1", "'label', 'image'", "rename them to emotion, pixels and Usage")
    assert_refused(zipped(path, tmp_path / "a.zip"), "fer2013.csv, row 1")
    with pytest.raises(DataError, match="row 1"):  # not passed over in silence for drawn faces
        find(tmp_path)
    write_csv(faces, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3000])
    assert_refused(path, "row 71", "pixel values instead of 2304", "cut off", "download")
    path.write_bytes(b'emotion,pixels\n3,"1 2 3\n')
    assert_refused(path, "row 2", "download or copy it again")
    path.write_bytes(bytes(range(256)) * 40)
    assert_refused(path, "row 1")


def test_bad_archives(faces, tmp_path):
    packed = gzipped(write_csv(faces, tmp_path / "fer2013.csv"))
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    assert_refused(packed, "cut off or corrupt", "download or copy it again")
    packed.write_bytes(b"no gzip")
    assert_refused(packed, "cut off or corrupt")
    packed.unlink()
    archive = zipped(write_csv(faces, tmp_path / "fer2013.csv"), tmp_path / "archive.zip")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert_refused(archive, "cut off or corrupt")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1  # a digit turns into another: only the checksum tells
    archive.write_bytes(damaged)
    assert_refused(archive, "fer2013.csv")
    with zipfile.ZipFile(archive, "w"):
        pass
    assert_refused(archive, "no layout", "download")


def test_bad_images(faces, tmp_path):
    for extension in ("png", "jpg", "bmp"):
        place = write_folders(faces, tmp_path / extension, extension=extension)
        image = sorted((place / "train" / "fear").iterdir())[0]
        whole = image.read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"no image"):
            image.write_bytes(content)
            assert_refused(place, str(image), f"{len(content)} bytes", "remove it")
    assert_refused(zipped(place, tmp_path / "a.zip"), image.name)


def test_folders_without_known_emotions(faces, tmp_path):
    place = write_folders(faces, tmp_path / "archive" / "x")
    (place / "train" / "sad").rename(place / "train" / "contempt")
    assert_refused(tmp_path / "archive", "train/contempt", "angry, disgust, fear")
    for split in ("train", "test"):
        for i, folder in enumerate(sorted((place / split).iterdir())):
            folder.rename(folder.with_name(f"cat{i}"))
    assert_refused(place, "test/cat0", "not named for a known emotion")


def test_missing_place(tmp_path):
    assert_refused(tmp_path / "nowhere", "no such file", "download")
    assert find(tmp_path / "nowhere") is None


def test_bad_arrays(faces, tmp_path):
    path = tmp_path / "fer.npz"
    good = {"pixels": faces.pixels, "emotion": faces.emotion, "usage": faces.usage}
    for change, word in [({"pixels": faces.pixels / 255}, "not uint8"),
                         ({"pixels": faces.pixels[:, :40]}, "(N, 48, 48)"),
                         ({"emotion": faces.emotion[:9]}, "70 faces"), ({"emotion": faces.emotion + 1}, "outside 0–6"),
                         ({"emotion": faces.emotion / 2}, "not integers"),
                         ({"usage": np.full(70, "Exam")}, "unknown usage 'Exam'"),
                         ({"usage": np.full(70, "Training", dtype=object)}, "cannot be read")]:
        np.savez(path, **{**good, **change})
        assert_refused(path, word)
    np.savez(path, pixels=faces.pixels)
    assert_refused(path, "has no array emotion, usage", "numpy.savez")
    path.write_bytes(b"nothing of the kind")
    assert_refused(path)


def test_labels_that_are_not_there(faces, tmp_path):
    write_challenge(faces, tmp_path)
    got = load(tmp_path)
    with pytest.raises(DataError, match=r"no PrivateTest faces; .*Training \(42 faces\), Test \(28 faces, unlabelled"):
        got.of("PrivateTest")
    with pytest.raises(DataError, match="the Test faces have no labels.*icml_face_data.csv"):
        got.of("Test", labelled=True)
    assert len(got.of("Test")) == 28


# ---- the cache ----


def test_cache_is_used_and_renewed(faces, tmp_path, monkeypatch):
    path = write_csv(faces, tmp_path / "fer2013.csv")
    read = []
    reader = parse._read_table
    monkeypatch.setattr(parse, "_read_table", lambda *args: read.append(args) or reader(*args))
    load(path)
    load(path)
    assert len(read) == 1 and len(list(paths.CACHE.iterdir())) == 1
    load(path, cache=False)
    assert len(read) == 2
    # Same size, another pixel, and the old time put back: the hash of the head tells.
    status = path.stat()
    content = path.read_bytes()
    at = content.index(b"0 0")
    path.write_bytes(content[:at] + b"9 0" + content[at + 3:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert (load(path).pixels != faces.pixels).sum() == 1
    assert len(read) == 3 and len(list(paths.CACHE.iterdir())) == 1


def test_cache_of_folders_notices_a_new_image(faces, tmp_path):
    place = write_folders(faces, tmp_path / "archive")
    assert len(load(place)) == 70
    cv2.imwrite(str(place / "train" / "sad" / "Training_900.png"), faces.pixels[0])
    assert len(load(place)) == 71


def test_a_flipped_bit_in_the_cache_is_noticed(faces, tmp_path):
    path = write_csv(faces, tmp_path / "fer2013.csv")
    load(path)
    cached, = paths.CACHE.iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:])
    assert_same(load(path), faces)


# ---- FaceSet and sample ----


def test_faceset_indexing_and_counts(faces):
    assert len(faces[:5]) == 5 and len(faces[3]) == 1 and len(faces[[1, 2]]) == 2
    assert_same(faces[faces.usage == "PublicTest"], faces.of("PublicTest"))
    counts = faces.counts()
    assert list(counts.index) == list(EMOTIONS) and list(counts.columns) == list(USAGES)
    assert counts.to_numpy().tolist() == [[6, 2, 2]] * 7
    assert counts.dtypes.map(lambda dtype: dtype.kind).tolist() == ["i"] * 3


def test_fingerprint_depends_on_everything(faces):
    pixels, emotion, usage = faces.pixels.copy(), faces.emotion.copy(), faces.usage.copy()
    pixels[9, 9, 9] ^= 1
    emotion[9] = 0
    usage[9] = "PublicTest"
    prints = {FaceSet(*arrays, "a", "arrays").fingerprint() for arrays in [
        (faces.pixels, faces.emotion, faces.usage), (pixels, faces.emotion, faces.usage),
        (faces.pixels, emotion, faces.usage), (faces.pixels, faces.emotion, usage)]}
    assert len(prints) == 4 and faces.fingerprint() in prints


def test_sample_keeps_proportions_and_order(faces):
    part = sample(faces, 35, seed=1)
    assert part.counts().to_numpy().tolist() == [[3, 1, 1]] * 7
    at = [int(np.flatnonzero((faces.pixels == face).all((1, 2)))[0]) for face in part.pixels]
    assert at == sorted(at) and len(set(at)) == 35
    assert_same(sample(faces, 35, seed=1), part)
    with pytest.raises(ValueError, match="at least 1 face, got 0"):
        sample(faces, 0)
    assert sample(faces, 35, seed=2).fingerprint() != part.fingerprint()
    assert sample(faces, 70) is faces
    assert len(sample(faces, 5)) == 5


# ---- download, the real data ----


def test_download(faces, tmp_path, monkeypatch):
    def dataset_download(handle):
        assert handle == "msambare/fer2013"
        return str(write_folders(faces, paths.DATA / ".download" / "datasets" / "versions" / "1"))

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=dataset_download))
    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    target = download()
    assert target == paths.DATA / "fer2013" and "KAGGLEHUB_CACHE" not in os.environ
    assert_same(load(), faces)
    assert [entry.name for entry in paths.DATA.iterdir() if entry != paths.CACHE] == ["fer2013"]
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert download() == target  # nothing is fetched twice
    for file in target.rglob("*.png"):
        file.unlink()
    with pytest.raises(DataError, match="holds no layout of FER2013; remove it"):
        download()


def test_an_empty_folder_is_no_download(faces, monkeypatch):
    (paths.DATA / "fer2013").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(
        dataset_download=lambda handle: str(write_folders(faces, paths.DATA / ".download" / "1"))))
    download()
    assert_same(load(), faces)


def test_download_without_network(monkeypatch):
    def dataset_download(handle):
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=dataset_download))
    with pytest.raises(DataError) as caught:
        download()
    for word in ("no route to host", "https://www.kaggle.com/datasets/msambare/fer2013", "icml_face_data.csv",
                 "challenges-in-representation-learning-facial-expression-recognition-challenge", str(paths.DATA)):
        assert word in str(caught.value)
    assert list(paths.DATA.iterdir()) == []
    with pytest.raises(DataError, match="could not be downloaded"):
        monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=lambda handle: "/nowhere"))
        download()


@pytest.mark.skipif(not os.environ.get("FER_DATA"), reason="FER_DATA names no real FER2013")
def test_real_data(monkeypatch):
    monkeypatch.setattr(paths, "DATA", Path(os.environ["FER_DATA"]))
    got = load(cache=False)
    if len(got) != 35_887 or len(got.usages()) != 3:
        pytest.skip("not the whole of FER2013 with its official usages")
    assert got.counts().T.to_numpy().tolist() == [[3995, 436, 4097, 7215, 4830, 3171, 4965],
                                                  [467, 56, 496, 895, 653, 415, 607],
                                                  [491, 55, 528, 879, 594, 416, 626]]
