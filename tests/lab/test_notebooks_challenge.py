"""The notebooks, executed by papermill on the challenge's files, whose test faces have no labels."""

from pathlib import Path

import pandas as pd

from fer_utils.data.drawn import draw_faces
from tests.lab.executing import run


def test_the_challenges_files_give_a_submission(tmp_path):
    faces = draw_faces(400, seed=2)
    rows = [" ".join(map(str, face.ravel())) for face in faces.pixels]
    training = faces.usage == "Training"
    data = tmp_path / "challenge"
    data.mkdir()
    table = pd.DataFrame({"emotion": faces.emotion, "pixels": rows})
    table[training].to_csv(data / "train.csv", index=False)
    table.loc[~training, ["pixels"]].to_csv(data / "test.csv", index=False)
    result = run(tmp_path, "--data", data, "--only", "01,02,03,04,05,06,08",  # 07 reads no faces of the data set
                 "-p", "model", "fer_net_tiny", "-p", "epochs", 1, "-p", "by_hand", 64, "-p", "pictures", 20)
    assert [row["scored_on"] for row in result["table"]] == ["validation"]
    [submission] = Path(result["runs"]).glob("*/submission.csv")
    answers = pd.read_csv(submission)
    assert len(answers) == (~training).sum() and answers["emotion"].between(0, 6).all()
