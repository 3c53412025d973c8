"""FER+'s votes: read in their order, refused for other rows, counted by hand."""

import hashlib
import http.server
import os
import socket
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fer_utils import paths
from fer_utils.data import ferplus
from fer_utils.data.drawn import draw_faces
from fer_utils.data.split import split
from fer_utils.errors import DataError
from fer_utils.labels import EMOTIONS, FERPLUS_VOTES

from .handmade import face_set, noise


def votes(**counts):
    return [counts.get(name, 0) for name in FERPLUS_VOTES]


def test_ferplus_labels_by_hand():
    cases = [(votes(neutral=6, sadness=4), "neutral"), (votes(happiness=10), "happy"), (votes(fear=9), "fear"),
             (votes(contempt=6, disgust=3, anger=1), "disgust"),  # contempt is none of the seven
             (votes(neutral=5, anger=5), "angry"), (votes(surprise=4, fear=4, neutral=2), "fear"),  # the first of a tie
             (votes(NF=10), None), (votes(unknown=5, contempt=5), None)]
    labels = ferplus.ferplus_labels([row for row, _ in cases])
    assert [EMOTIONS[label] if label >= 0 else None for label in labels] == [name for _, name in cases]


def test_ferplus_agreement_by_hand():
    emotion = np.array([2, 2, 3, 3, 3, -1, 6])
    table = ferplus.ferplus_agreement(emotion, [votes(fear=9), votes(neutral=9), votes(happiness=8), votes(NF=9),
                                              votes(happiness=6), votes(anger=5), votes(sadness=4)])
    assert list(table.index) == [*EMOTIONS, "all"]
    assert table["faces"].tolist() == [0, 0, 2, 2, 0, 0, 1, 5]
    assert table["agreement"].dropna().to_dict() == {"fear": 0.5, "happy": 1.0, "neutral": 0.0, "all": 0.6}


class TestReadFerplus:
    @pytest.fixture
    def faces(self):
        return face_set(noise(40), emotion=np.arange(40) % 7, usage=np.repeat(["Training", "PublicTest"], 20))

    @pytest.fixture
    def table(self, faces):
        names = dict(zip(range(7), ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")))
        table = pd.DataFrame([votes(**{names[label]: 8, "NF": 1, "unknown": 1}) for label in faces.emotion],
                             columns=FERPLUS_VOTES)
        table.insert(0, "Usage", faces.usage)
        table.insert(1, "Image name", "fer0000000.png")
        return table

    def write(self, table, tmp_path):
        table.to_csv(tmp_path / "fer2013new.csv", index=False)
        return tmp_path / "fer2013new.csv"

    def test_votes_in_the_order_of_their_columns(self, faces, table, tmp_path):
        read = ferplus.read_ferplus(self.write(table, tmp_path), faces)
        np.testing.assert_array_equal(read, table[list(FERPLUS_VOTES)])
        np.testing.assert_array_equal(ferplus.ferplus_labels(read), faces.emotion)

    def test_is_found_beside_the_data(self, table, tmp_path):
        folder = tmp_path / "inner"
        folder.mkdir()
        assert ferplus.find_ferplus(folder) is None
        file = self.write(table, folder)
        assert ferplus.find_ferplus(folder) == file == ferplus.find_ferplus(folder / "fer2013.csv")
        assert ferplus.find_ferplus(tmp_path) == file, "or in a folder of the data's folder"

    @pytest.mark.parametrize("spoil, message", [
        (lambda t: t.drop(columns="contempt"), "no column contempt"),
        (lambda t: t[:30], "votes for 30 faces, but there are 40.*original one"),
        (lambda t: t.assign(Usage=t["Usage"][::-1].to_numpy()), "row 2: a PublicTest face, but face 0.*is in Training"),
        (lambda t: pd.concat([t[19::-1], t[:19:-1]]), "agree with only .*other rows"),
        (lambda t: t.assign(fear=None), "votes for fear"),
        (lambda t: t.assign(fear="many"), "votes for fear"),
        (lambda t: t.assign(NF=-1), "votes for NF"),
    ])
    def test_other_rows_or_columns_are_refused(self, faces, table, tmp_path, spoil, message):
        with pytest.raises(DataError, match=message):
            ferplus.read_ferplus(self.write(spoil(table), tmp_path), faces)

    def test_no_file_and_no_table(self, faces, tmp_path):
        with pytest.raises(DataError, match="no such file.*FERPlus"):
            ferplus.read_ferplus(tmp_path / "fer2013new.csv", faces)
        (tmp_path / "fer2013new.csv").write_text("")
        with pytest.raises(DataError, match="not readable as CSV"):
            ferplus.read_ferplus(tmp_path / "fer2013new.csv", faces)


class TestDownload:
    ROWS = [votes(anger=9, unknown=1), votes(NF=10), votes(happiness=10)]

    @pytest.fixture
    def site(self, tmp_path, monkeypatch):
        """A web site with a file of votes for three faces; the folder that it serves, and the requests that it got."""
        class Site(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def log_message(self, text, *args):
                asked.append(args[0])

        folder, asked = tmp_path / "site", []
        folder.mkdir()
        self.table().to_csv(folder / "fer2013new.csv", index=False)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(ferplus, "_URL", f"http://127.0.0.1:{server.server_port}/fer2013new.csv")
        monkeypatch.setattr(ferplus, "_ROWS", 3)
        monkeypatch.setattr(ferplus, "_VOTES_SHA256", hashlib.sha256(bytes(sum(self.ROWS, []))).hexdigest())
        monkeypatch.setattr(paths, "DATA", tmp_path / "data")
        yield folder, asked
        server.shutdown()
        server.server_close()

    def table(self):
        table = pd.DataFrame(self.ROWS, columns=FERPLUS_VOTES)
        table.insert(0, "Usage", "Training")
        table.insert(1, "Image name", ["fer0000000.png", None, "fer0000001.png"])
        return table

    def test_is_fetched_once_and_whole(self, site):
        folder, asked = site
        file = ferplus.download_ferplus()
        assert file == paths.DATA / "fer2013new.csv" == ferplus.find_ferplus()
        assert file.read_bytes() == (folder / "fer2013new.csv").read_bytes() and len(asked) == 1
        assert ferplus.download_ferplus() == file and len(asked) == 1
        assert [path.name for path in paths.DATA.iterdir()] == ["fer2013new.csv"]

    def test_goes_beside_a_file_that_is_the_data(self, site, tmp_path):
        (tmp_path / "fer2013.csv").write_text("")
        assert ferplus.download_ferplus(tmp_path / "fer2013.csv") == tmp_path / "fer2013new.csv"

    @pytest.mark.parametrize("spoil, message", [
        (lambda t: t[:2], "127.0.0.1.*has 2 rows of votes, not 3"),
        (lambda t: t.assign(fear=1), "127.0.0.1.*its votes are not FER.'s"),
        (lambda t: t[::-1], "its votes are not FER.'s"),
        (lambda t: t.drop(columns="NF"), "127.0.0.1.*no column NF"),
        (lambda t: t.assign(fear="x"), "its votes are not FER.'s"),
    ])
    def test_another_file_is_refused_and_not_kept(self, site, spoil, message):
        folder, _ = site
        spoil(self.table()).to_csv(folder / "fer2013new.csv", index=False)
        with pytest.raises(DataError, match=message):
            ferplus.download_ferplus()
        assert ferplus.find_ferplus() is None

    def test_another_file_of_that_name_is_not_replaced(self, site):
        paths.DATA.mkdir()
        (paths.DATA / "fer2013new.csv").write_text("mine")
        with pytest.raises(DataError, match="no column Usage"):
            ferplus.download_ferplus()
        assert (paths.DATA / "fer2013new.csv").read_text() == "mine"

    def test_without_a_network_it_says_what_to_do_by_hand(self, site, monkeypatch):
        with socket.socket() as nobody:  # bound, and it does not listen
            nobody.bind(("127.0.0.1", 0))
            monkeypatch.setattr(ferplus, "_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}/fer2013new.csv")
            with pytest.raises(DataError, match="could not be downloaded.*ConnectionError") as caught:
                ferplus.download_ferplus()
        assert str(paths.DATA) in str(caught.value) and "github.com/microsoft/FERPlus" in str(caught.value)

    def test_a_page_that_is_not_there(self, site):
        (site[0] / "fer2013new.csv").unlink()
        with pytest.raises(DataError, match="could not be downloaded.*404"):
            ferplus.download_ferplus()


def test_ferplus_agrees_with_two_thirds_of_fer2013(fer2013):
    file = ferplus.find_ferplus(os.environ["FER_DATA"])
    if file is None:
        pytest.skip("fer2013new.csv is not beside the data set")
    private = fer2013.usage == "PrivateTest"
    table = ferplus.ferplus_agreement(fer2013.emotion[private], ferplus.read_ferplus(file, fer2013)[private])
    assert table["agreement"].round(3)[["all", "fear", "happy"]].tolist() == [0.643, 0.169, 0.937]


def test_the_checksum_is_that_of_ferplus(fer2013):
    file = ferplus.find_ferplus(os.environ["FER_DATA"])
    if file is None:
        pytest.skip("fer2013new.csv is not beside the data set")
    assert ferplus.download_ferplus(os.environ["FER_DATA"]) == file


class TestVotesToLearnFrom:
    def test_vote_shares_by_hand(self):
        # Half of the labels are fear, but 0.2 of the votes: one for fear counts 0.5 / 0.2, one for neutral 0.5 / 0.8.
        emotion = np.array([2, 6])
        shares = ferplus.vote_shares([votes(fear=4, neutral=6, NF=7), votes(neutral=10)], emotion)
        assert shares.dtype == np.float32 and shares.shape == (2, 7)
        assert shares[0, 2] == pytest.approx(0.4 * 2.5 / (0.4 * 2.5 + 0.6 * 0.625), abs=1e-6)
        assert shares[0, 6] == pytest.approx(1 - shares[0, 2], abs=1e-6) and shares[1].tolist() == [0, 0, 0, 0, 0, 0, 1]

    def test_a_face_without_a_vote_that_counts_keeps_its_label(self):
        emotion = np.array([2, 3, 3])
        shares = ferplus.vote_shares([votes(NF=10), votes(happiness=10), votes(sadness=10)], emotion)
        assert shares.argmax(axis=1).tolist() == [2, 3, 3], "no label is sad, so those votes say nothing"
        assert np.allclose(shares.sum(axis=1), 1)

    def test_drawn_faces_have_ten_votes_for_their_label(self):
        faces = ferplus.with_votes(draw_faces(60))
        assert (ferplus.ferplus_labels(faces.votes) == faces.emotion).all() and (faces.votes.sum(axis=1) == 10).all()
        some = faces[faces.usage == "Training"]
        assert (ferplus.ferplus_labels(some.votes) == some.emotion).all(), "votes stay with their faces"
        assert np.array_equal(ferplus.vote_shares(some.votes, some.emotion), np.eye(7)[some.emotion])

    def test_votes_follow_over_sampled_faces_and_not_made_up_ones(self):
        faces = ferplus.with_votes(draw_faces(210))
        over = split(faces, balance="over").train
        assert len(over) > 168 and (ferplus.ferplus_labels(over.votes) == over.emotion).all()
        assert split(faces, balance="smote").train.votes is None

    def test_own_faces_without_votes_are_told_where_to_get_them(self, tmp_path, monkeypatch):
        monkeypatch.setattr(paths, "DATA", tmp_path)
        with pytest.raises(DataError, match="not beside it; `python -m fer_utils data --ferplus`"):
            ferplus.with_votes(replace(face_set(noise(3)), source=str(tmp_path / "own.csv")))

    def test_votes_must_be_one_row_a_face(self):
        with pytest.raises(DataError, match="3 faces, but votes of 2"):
            replace(face_set(noise(3)), votes=np.zeros((2, 10), int))
