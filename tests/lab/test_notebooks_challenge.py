"""The notebooks, executed on the challenge's files, whose test faces have no labels."""

import pandas as pd

from fer_utils.data.drawn import draw_faces
from fer_utils.lab import notebooks
from fer_utils.networks.runs import read_card
from tests.lab.executing import ROOT, execute_in_one_kernel, places


def test_the_challenges_files_give_a_submission(tmp_path, monkeypatch):
    faces = draw_faces(400, seed=2)
    rows = [" ".join(map(str, face.ravel())) for face in faces.pixels]
    training = faces.usage == "Training"
    data = tmp_path / "challenge"
    data.mkdir()
    table = pd.DataFrame({"emotion": faces.emotion, "pixels": rows})
    table[training].to_csv(data / "train.csv", index=False)
    table.loc[~training, ["pixels"]].to_csv(data / "test.csv", index=False)
    for name, value in places(tmp_path).items():
        monkeypatch.setenv(name, value)
    parameters = {"model": "fer_net_tiny", "epochs": 1, "by_hand": 64, "pictures": 20}
    # 07 reads no faces of the data set.
    jobs, [run], _ = notebooks.plan("quick", ["01", "02", "03", "04", "05", "06", "08"], parameters, str(data))
    execute_in_one_kernel([(job.source, job.parameters) for job in jobs], ROOT / "notebooks")
    folder = tmp_path / "runs" / run
    assert list(read_card(folder).scores) == ["validation"]
    answers = pd.read_csv(folder / "submission.csv")
    assert len(answers) == (~training).sum() and answers["emotion"].between(0, 6).all()
