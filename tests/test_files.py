"""Files are whole or not there, caches are renewed, and a folder has one writer."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fer_utils import files
from fer_utils.errors import DataError

# --- whole ---


def test_a_file_is_put_in_place_when_all_went_well(tmp_path):
    path = tmp_path / "new" / "scores.keras"
    with files.whole(path) as part:
        assert part.parent == path.parent and part.suffix == ".keras"
        part.write_text("0.72")
        assert not path.exists()
    assert path.read_text() == "0.72" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_untouched_and_no_part_is_left(tmp_path, error):
    path = tmp_path / "scores.txt"
    path.write_text("old")
    with pytest.raises(error), files.whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_before_anything_is_written_is_raised_as_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError), files.whole(tmp_path / "scores.txt"):
        raise ZeroDivisionError


@pytest.mark.parametrize("start", [
    lambda folder: files.write_text(folder / "scores.txt", "whole"),
    lambda folder: files.cached_arrays(folder / "scores.txt", "one", lambda: {"n": np.array(1)})])
def test_parts_of_killed_programs_are_deleted_at_the_next_start_and_no_others(tmp_path, start):
    start(tmp_path)
    code = ("import sys, time\nfrom fer_utils import files\n"
            "with files.whole(sys.argv[1]) as part: part.write_text('half'), print(flush=True), time.sleep(60)")
    killed = subprocess.Popen([sys.executable, "-c", code, tmp_path / "capture_20261126-212909.png"],
                              stdout=subprocess.PIPE)
    killed.stdout.readline()
    left, = tmp_path.glob("part-*-capture_20261126-212909.png")
    os.utime(left, (0, 0))
    start(tmp_path)
    assert left.exists(), "its program lives"
    killed.kill()
    killed.communicate()
    # Those of another computer or an earlier version may be alive, unless they are old; a user's own file is kept.
    there, older, mine = (tmp_path / name for name in ("part-1h1-1-a [1].txt", "part-1-1-b.txt", "part-1.txt"))
    for file in (there, older, mine):
        file.write_text("half")
    start(tmp_path)
    assert set(tmp_path.iterdir()) == {tmp_path / "scores.txt", there, older, mine}
    for file in (there, older, mine):
        os.utime(file, (0, 0))
    start(tmp_path)
    assert set(tmp_path.iterdir()) == {tmp_path / "scores.txt", mine}


def test_a_full_disk_is_named_and_keeps_the_old_file(tmp_path, limited_files):
    path = tmp_path / "scores.txt"
    path.write_text("old")
    limited_files(100)
    with pytest.raises(OSError, match="scores.txt"):
        files.write_text(path, "new" * 100)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_json_and_tables_are_read_back_as_written(tmp_path):
    files.write_text(tmp_path / "a.txt", "Größe\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe\n".encode()
    files.write_json(tmp_path / "a.json", {"név": [1, 0.5, None]})
    assert files.read_json(tmp_path / "a.json", "") == {"név": [1, 0.5, None]}
    files.write_json(tmp_path / "b.json", {"name": "caf\udce9"})
    assert files.read_json(tmp_path / "b.json", "") == {"name": "caf\udce9"}
    assert "név" in (tmp_path / "a.json").read_text(encoding="utf-8")
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"source": ["caf\udce9.jpg"], "n": [1]}))
    assert (tmp_path / "a.csv").read_bytes() == b"source,n\ncaf\xe9.jpg,1\n"


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_named_with_a_remedy(tmp_path, content):
    if content is not None:
        (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(DataError, match=r"card\.json: not readable as JSON .*; train again"):
        files.read_json(tmp_path / "card.json", "train again")


# --- cached_arrays ---


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(made):
    """Return an array that says how many times it was made."""
    def make():
        made.append(None)
        return {"n": np.array(len(made)), "names": np.array(["a", "bc"])}

    return make


def test_a_cache_is_read_under_the_same_key_and_renewed_under_another(tmp_path, make, made):
    file = tmp_path / "cache" / "a.npz"
    results = [files.cached_arrays(file, key, make) for key in ("one", "one", "two", "two", "one")]
    assert [int(result["n"]) for result in results] == [1, 1, 2, 2, 3] and len(made) == 3
    for result in results:
        assert set(result) == {"n", "names"} and result["names"].tolist() == ["a", "bc"]
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_cache_is_made_anew(tmp_path, make, made, damage):
    file = tmp_path / "a.npz"
    files.cached_arrays(file, "one", make)
    file.write_bytes(damage(file.read_bytes()))
    assert files.cached_arrays(file, "one", make)["n"] == 2
    assert files.cached_arrays(file, "one", make)["n"] == 2 and len(made) == 2


def test_a_cache_that_cannot_be_written_warns_and_returns_the_arrays(tmp_path, make):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be cached"):
        assert files.cached_arrays(tmp_path / "file" / "a.npz", "one", make)["n"] == 1


def test_an_error_while_making_is_raised_and_nothing_is_cached(tmp_path):
    with pytest.raises(ZeroDivisionError):
        files.cached_arrays(tmp_path / "a.npz", "one", lambda: {"n": np.array(1 // 0)})
    assert list(tmp_path.iterdir()) == []


# --- only_one ---


def test_a_second_process_is_refused_while_the_lock_is_held(tmp_path):
    code = ("import sys\nfrom fer_utils import files\n"
            "with files.only_one(sys.argv[1], 'another program trains into this folder'): print('in')")

    def second():
        return subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True)

    with files.only_one(tmp_path / "run", "writes"):
        refused = second()
    assert refused.returncode == 1 and "in" not in refused.stdout.split()
    assert "run: another program trains into this folder; wait until it ends, or name another folder" in refused.stderr
    assert second().stdout == "in\n"


def test_the_lock_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), files.only_one(tmp_path, "writes"):
        raise ZeroDivisionError
    with files.only_one(tmp_path, "writes"):
        pass


# --- formulas ---


@pytest.mark.parametrize(("text", "written"), [
    ("=cmd()", "'=cmd()"), ("+49 170", "'+49 170"), ("-a", "'-a"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
    ("  =1", "'  =1"), ("\n=1", "'\n'=1"), ("a\n=1", "a\n'=1"), ("a\u2028 =1", "a\u2028' =1"),
    ("\ufeff=1", "'\ufeff=1"), ("\uff1dcmd", "'\uff1dcmd"), ("\uff0b1", "'\uff0b1"), ("\uff0d1", "'\uff0d1"),
    ("\uff20A", "'\uff20A"), ("-0.5", "-0.5"), ("+1e-3", "+1e-3"), ("a=b", "a=b"), ("/in/=b", "/in/=b"),
    ("zwei\nZeilen", "zwei\nZeilen"), ("a; =1;b", "a;' =1;b")])
def test_no_text_of_a_table_is_a_formula(tmp_path, text, written):
    table = pd.DataFrame({"name": [text], "group": pd.Categorical([text]), "number": [-0.5], "count": [-3],
                          "empty": [None]})
    files.write_csv(tmp_path / "a.csv", table)
    read = pd.read_csv(tmp_path / "a.csv", dtype={"name": str, "group": str})
    assert read["name"][0] == read["group"][0] == written
    assert (read["number"][0], read["count"][0]) == (-0.5, -3) and pd.isna(read["empty"][0])
