"""Data sets in several parts: joined, left out with a word, or refused; and files that claim more than they hold."""

import gzip
import io
import os
import struct
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from fer_utils import paths
from fer_utils.data import load as load_module
from fer_utils.data import parse
from fer_utils.data.load import load
from fer_utils.data.places import reading_errors
from fer_utils.errors import DataError
from fer_utils.labels import EMOTIONS
from tests.data.handmade import noise

HEAD = {"usage": "emotion,pixels,Usage\n", "labels": "emotion,pixels\n", "test": "pixels\n"}
PIXELS = noise(60)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("FER_DATA", raising=False)


def table(kind, start, n, usage=""):
    """A table of the faces `start` to `start + n`; a face's emotion is its number modulo 7."""
    rows = [([i % 7] if kind != "test" else []) + [" ".join(map(str, PIXELS[i].ravel()))] + [usage] * bool(usage)
            for i in range(start, start + n)]
    return (HEAD[kind] + "".join(",".join(map(str, row)) + "\n" for row in rows)).encode()


def packed(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tar(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def images(*parts, start=0, ending="png"):
    kind = ".jpg" if ending == "jfif" else ".png"
    return {f"{part}/{emotion}/{i}.{ending}": cv2.imencode(kind, PIXELS[i])[1].tobytes()
            for part in parts for i, emotion in enumerate(EMOTIONS, start)}


def arrays(start, n, usage):
    file = io.BytesIO()
    np.savez(file, pixels=PIXELS[start:start + n], emotion=np.arange(start, start + n, dtype=np.int8) % 7,
             usage=np.full(n, usage))
    return file.getvalue()


def put(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


WHOLE = {f"fer2013_{usage}.csv": table("usage", start, n, usage) for usage, start, n in
         (("Training", 0, 14), ("PublicTest", 14, 7), ("PrivateTest", 21, 7))}
ALL = {"Training": range(14), "PublicTest": range(14, 21), "PrivateTest": range(21, 28)}
CHALLENGE = {"train.csv": table("labels", 0, 14), "test.csv": table("test", 14, 7)}
SPLIT = {"Training": range(14), "Test": range(14, 21)}


@pytest.mark.parametrize("files, parts", [
    (WHOLE, ALL),
    ({"train.csv": table("labels", 0, 14), "dev.csv": table("labels", 14, 7),
      "Private_Test.CSV": table("labels", 21, 7)}, ALL),
    ({f"{name}.zip": packed({name: data}) for name, data in CHALLENGE.items()}, SPLIT),
    ({f"{name}/{name}": data for name, data in CHALLENGE.items()}, SPLIT),
    ({f"train_{n}.csv": table("labels", start, 7) for n, start in ((2, 7), (10, 14), (1, 0))}, {"Training": range(21)}),
    ({f"{i}.npz": arrays(rows[0], len(rows), usage) for i, (usage, rows) in enumerate(ALL.items())}, ALL),
    (images("train/train") | images("test/test", start=7), {"Training": range(7), "PrivateTest": range(7, 14)}),
    ({"train.zip": packed(images("train")), "test.zip": packed(images("../test", start=7))},
     {"Training": range(7), "PrivateTest": range(7, 14)}),
    ({"train.zip": packed({name[2:]: data for name, data in images("a").items()}), **images("Test", start=7)},
     {"Training": range(7), "PrivateTest": range(7, 14)}),
    (images("Training") | images("PublicTest", start=7) | images("PrivateTest", start=14),
     {"Training": range(7), "PublicTest": range(7, 14), "PrivateTest": range(14, 21)}),
    (images("train") | {"train/happy/person 1/9.png": cv2.imencode(".png", PIXELS[9])[1].tobytes()},
     {"Training": [*range(7), 9]}),
])
def test_parts_are_joined_by_columns_names_and_folders(files, parts, tmp_path):
    for _ in range(2):  # read, and read from the cache
        faces = load(put(tmp_path / "mine", files))
        assert faces.usages() == list(parts) and not faces.left_out and faces.title == "own faces"
        for usage, rows in parts.items():
            np.testing.assert_array_equal(faces.of(usage).pixels, PIXELS[list(rows)])
            right = [3 if i == 9 and "train/happy/person 1/9.png" in files else i % 7 for i in rows]
            assert faces.of(usage).emotion.tolist() == (right if usage != "Test" else [-1] * 7)


def test_jfif_is_jpeg(tmp_path):
    assert len(load(put(tmp_path / "mine", images("train", "test", ending="jfif")))) == 14


@pytest.mark.parametrize("files, said", [
    ({"a/train.csv": table("labels", 0, 7), "b/train.csv": table("labels", 7, 7)}, "a/train.csv.*belong together"),
    ({"one.csv": table("labels", 0, 7), "two.csv": table("labels", 7, 7)}, "two.csv and one.csv.*belong together"),
    ({"one.csv": table("labels", 0, 7), "val.csv": table("labels", 7, 7)}, "one.csv has no column Usage"),
    ({"a/train.csv": table("labels", 0, 7), "b/val.csv": table("labels", 7, 7)}, "b/val.csv and a/train.csv"),
    ({"v1.csv": table("usage", 0, 9, "Training"), "v2.csv": table("usage", 2, 8, "Training")}, "v2.csv and v1.csv"),
    (images("jaffe/train", "jaffe/test") | images("ck/train", "ck/test", start=7), "ck and jaffe"),
    (images("a/train") | images("b/train", start=7), "both a and b"),
    ({"train.csv": table("labels", 0, 7)} | images("test"), r"holds image folders too \(test/angry"),
    ({"train.csv": table("labels", 0, 7), "test.tar": tar(CHALLENGE)}, "test.tar: is a tar archive; unpack it"),
    ({"train.csv": table("labels", 0, 7), "val.csv": b"PK\3\4"}, "val.csv: is a zip archive, not CSV"),
    (images("train") | {"test.zip": b"PK\3\4junk"}, "test.zip: is cut off or corrupt"),
    ({"fer2013.tar.gz": gzip.compress(tar(WHOLE))}, "fer2013.tar.gz: is a gzip file; unpack it"),
    ({"fer2013": tar(WHOLE)}, "fer2013: is a tar archive; unpack it"),
    ({"fer2013.csv": tar(WHOLE)}, "fer2013.csv: is a tar archive, not CSV; unpack it"),
    ({"fer2013.zip": tar(WHOLE)}, "fer2013.zip: is a tar archive of another name; unpack it"),
    ({"fer2013.csv": b"emotion,emotion,pixels\n"}, "fer2013.csv, row 1: the column emotion is there 2 times"),
    ({"train.csv": b"emotion,pixels, Pixels\n"}, "train.csv, row 1: the column pixels is there 2 times"),
    ({"fer2013.csv": "emotion,pixels".encode("utf-16")}, "fer2013.csv, row 1: is no text in UTF-8"),
    ({"out.zip": packed({"in.zip": packed(CHALLENGE)})}, "in.zip: is a zip archive; unpack it"),
    ({f"{e}/{i}.png": b"" for i, e in enumerate(EMOTIONS)}, r"7 \(an image outside folders .*\): angry/0.png"),
    ({"faces.7z.001": b"?"}, r"1 \(of an unknown kind\): faces.7z.001"),
])
def test_what_is_not_certain_is_refused_with_names(files, said, tmp_path, monkeypatch):
    folder = put(tmp_path / "mine", files)
    with pytest.raises(DataError, match=said):
        load(folder)
    # Nor are drawn faces the answer where the default place holds something that was not read.
    monkeypatch.setattr(paths, "DATA", folder)
    monkeypatch.setattr(load_module, "draw_faces", lambda n: pytest.fail("drawn"))
    with pytest.raises(DataError, match=said):
        load()


@pytest.mark.parametrize("more, said", [
    ({"old/x.csv": WHOLE["fer2013_Training.csv"]}, r"1 \(copies of faces in the other files\): old/x.csv"),
    ({"test.csv": table("test", 21, 7)}, r"1 \(copies of faces in the other files\): test.csv"),
    ({"faces.zip": packed(WHOLE)}, r"3 \(copies of faces in the other files\): faces.zip/fer2013_"),
    ({"votes.csv": b"a,b\n1,2\n"}, r"1 \(a table without the columns emotion, pixels and Usage\): votes.csv"),
    (images("test"), r"7 \(image folders, since faces in another layout are read\): test/angry/0.png, .* and 4 more"),
    ({"x.rar": b"Rar!\x1a\7"}, r"1 \(that cannot be read as they are\): x.rar"),
    ({"a.txt": b"", "b\n\t.dat": b""}, r"1 \(of an unknown kind\): b\?\?.dat"),
])
def test_what_is_left_out_is_always_said(more, said, tmp_path):
    folder = put(tmp_path / "mine", WHOLE | more)
    for _ in range(2):  # from the cache too
        with pytest.warns(UserWarning, match=f"left out {said}"):
            faces = load(folder)
        assert len(faces) == 28 and any(line.startswith("left out") for line in faces.left_out)
        assert faces[:14].left_out == faces.left_out


def test_copies_of_images_count_once_and_other_images_of_the_same_names_do_not(tmp_path):
    folder = put(tmp_path / "mine", images("train", "test"))
    (folder / "all.zip").write_bytes(packed(images("train", "test")))
    with pytest.warns(UserWarning, match="left out 14 .a copy of an image"):
        assert len(load(folder)) == 14
    (folder / "all.zip").write_bytes(packed({name: data[:-1] for name, data in images("train", "test").items()}))
    with pytest.raises(DataError, match="belong together"):
        load(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_what_is_no_file_is_left_out_and_links_in_loops_end(tmp_path):
    folder = put(tmp_path / "mine", images("store/train", "store/test"))
    happy = folder / "store" / "train" / "happy"
    os.mkfifo(happy / "pipe.png")
    for name, target in (("zero.png", "/dev/zero"), ("gone.png", "nowhere"), ("up", "../.."), ("self", "self")):
        (happy / name).symlink_to(target)
    with pytest.warns(UserWarning) as said:
        assert len(load(folder)) == 14
    told = "\n".join(str(warning.message) for warning in said)
    assert "left out 4 (a pipe, socket, device or broken link)" in told and "1 (a link to a folder that is read" in told
    (tmp_path / "linked").symlink_to(folder / "store")
    with pytest.warns(UserWarning):
        assert len(load(tmp_path / "linked")) == 14
    for place in (happy / "pipe.png", "/dev/null"):
        with pytest.raises(DataError, match="is a pipe, a socket or a device.*name a file"):
            load(place)
    (folder / os.fsdecode(b"train\xff.csv")).write_bytes(CHALLENGE["train.csv"])
    assert len(load(folder / os.fsdecode(b"train\xff.csv"))) == 14


def test_no_permission_is_not_called_damaged(tmp_path, monkeypatch):
    folder = put(tmp_path / "mine", WHOLE | {"more/train/happy/1.png": b"", "a.zip": b""})
    real = os.scandir

    def scandir(place):
        if str(place).endswith(("more", "closed")):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    (folder / "a.zip").unlink()
    with pytest.warns(UserWarning, match=r"left out 1 \(you have no permission to read it; .*\): more"):
        assert len(load(folder)) == 28
    (tmp_path / "closed").mkdir()
    with pytest.raises(DataError, match="closed: you have no permission to read it"):
        load(tmp_path / "closed")
    with pytest.raises(DataError, match="x.csv: you have no permission to read it; ask its owner"), \
            reading_errors("x.csv"):
        raise PermissionError(13, "Permission denied")


def zeros(head, unit, times):
    """A member of an archive that is far larger than the archive: a head, and a unit again and again."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, \
            archive.open("fer2013.csv", "w", force_zip64=True) as member:
        member.write(head)
        for _ in range(times):
            member.write(unit)
    return file.getvalue()


def npz(shape, dtype="|u1", version=1):
    head = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(head) if version == 1 else 3 << 30)
    array = b"\x93NUMPY" + bytes([version, 0]) + size + head
    return packed({f"{name}.npy": array for name in ("pixels", "emotion", "usage")})


def bmp(width, height):
    return struct.pack("<2sIHHI IiiHHIIiiII", b"BM", 0, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


ROW = HEAD["usage"].encode() + b"3,"


@pytest.mark.parametrize("name, make, said", [
    ("line.zip", lambda: zeros(ROW, b"1 " * (1 << 22), 12), "has a row of many million bytes"),
    ("line.csv.gz", lambda: gzip.compress(ROW + b"1 " * (1 << 26), 1), "has a row of many million bytes"),
    ("lines.csv.gz", lambda: gzip.compress(ROW + b'"' + b"1\n" * (1 << 26), 1), "has a row of many million bytes"),
    ("columns.csv", lambda: b",".join(b"%d" % i for i in range(200_000)), "row 1: is longer than 65,536 bytes"),
    ("huge.npz", lambda: npz((10**11, 48, 48)), r"pixels claims the shape \(100000000000, 48, 48\)"),
    ("bigger.npz", lambda: npz((10**400, 48, 48)), "pixels claims the shape"),
    ("negative.npz", lambda: npz((-1, 48, 48)), "pixels claims the shape"),
    ("head.npz", lambda: npz((1,), version=2), "cannot be read"),
    ("objects.npz", lambda: npz((1,), "|O"), "cannot be read .no array file, or one of Python objects"),
    ("none.npz", lambda: arrays(0, 0, "Training"), "holds no faces"),
    ("image.zip", lambda: packed({"train/happy/1.png": b"\0" * ((1 << 26) + 1)}), "is larger than 67,108,864 bytes"),
    ("pixels.zip", lambda: packed({"train/happy/1.bmp": bmp(40_000, 40_000)}), "has more than 50 million pixels"),
    ("fraction.zip", lambda: packed({"train/happy/1.tiff": cv2.imencode(".tiff", np.ones((48, 48), np.float32))[1]
                                     .tobytes()}), "numbers of 32 bits"),
    ("gif.zip", lambda: packed({"train/happy/1.png": b"GIF89a"}), "no whole image"),
])
def test_a_small_file_that_claims_much_is_refused_for_little(name, make, said, tmp_path):
    import tracemalloc

    path = put(tmp_path, {name: make()}) / name
    tracemalloc.start()
    with pytest.raises(DataError, match=said) as error:
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()
    assert name in str(error.value)


def test_rows_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parse, "MAX_FACES", 9_000)
    (tmp_path / "blank.csv.gz").write_bytes(gzip.compress(ROW[:-2] + b"\n" * 12_000))
    with pytest.raises(DataError, match="blank.csv.gz: has more than the 9,000 rows that are read at most"):
        load(tmp_path / "blank.csv.gz")


@pytest.mark.parametrize("source", ["drawn:99999999999", "drawn:" + "9" * 5000, "drawn:-1", "drawn:²"])
def test_faces_that_no_memory_holds_are_not_drawn(source):
    with pytest.raises(DataError, match="from 1 to 1,000,000 faces can be drawn; write drawn, or drawn:8000"):
        load(source)


def test_memory_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="x.npz: needs more memory than there is"), reading_errors("x.npz"):
        raise MemoryError
