"""FER+'s votes: read in their order, refused for other rows, counted by hand."""

import os

import numpy as np
import pandas as pd
import pytest

from fer_utils.data import ferplus
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
        assert ferplus.find_ferplus(tmp_path) is None
        file = self.write(table, tmp_path)
        assert ferplus.find_ferplus(tmp_path) == file == ferplus.find_ferplus(tmp_path / "fer2013.csv")
        assert ferplus.find_ferplus(tmp_path.parent) == file, "or in a folder of the data's folder"

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


def test_ferplus_agrees_with_two_thirds_of_fer2013(fer2013):
    file = ferplus.find_ferplus(os.environ["FER_DATA"])
    if file is None:
        pytest.skip("fer2013new.csv is not beside the data set")
    private = fer2013.usage == "PrivateTest"
    table = ferplus.ferplus_agreement(fer2013.emotion[private], ferplus.read_ferplus(file, fer2013)[private])
    assert table["agreement"].round(3)[["all", "fear", "happy"]].tolist() == [0.643, 0.169, 0.937]
