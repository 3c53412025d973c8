"""Searching settings: what a search sees, where it goes on, and what it says of its trials."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest

from fer_utils import plots
from fer_utils.data.copies import clean_mask
from fer_utils.data.drawn import draw_faces
from fer_utils.errors import DataError
from fer_utils.networks import tune
from fer_utils.networks.tune import Choice
from tests.networks.quick import QUICK

optuna = pytest.importorskip("optuna")
SPACE = {"learning_rate": Choice(low=1e-4, high=3e-2)}
FIXED = {name: value for name, value in QUICK.items() if name not in ("model", "learning_rate")} | {"epochs": 2}


@pytest.fixture(scope="module")
def small():
    return draw_faces(300)


@pytest.fixture(scope="module")
def searched(small, tmp_path_factory, request):
    request.getfixturevalue("speck_module")
    out = tmp_path_factory.mktemp("search")
    return out, tune.tune("speck", small, out, 4, SPACE, **FIXED)


@pytest.fixture(scope="module")
def speck_module():
    from fer_utils.networks import zoo
    from tests.networks.quick import speck_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.NETWORKS, "speck", speck_network())
        yield


def test_a_search_sees_training_and_clean_publictest_alone(small):
    seen = tune.faces_to_tune(small)
    public = small.of("PublicTest")
    assert set(seen.usage) == {"Training", "PublicTest"}
    assert np.array_equal(seen.of("PublicTest").pixels, public.pixels[clean_mask(small, "PublicTest", labelled=True)])
    assert len(seen.of("PublicTest")) < len(public), "some had copies in Training"
    with pytest.raises(DataError, match="no labelled Training"):
        tune.faces_to_tune(small[small.usage == "PrivateTest"])


def test_trials_are_finished_kept_and_not_done_again(searched, small):
    out, study = searched
    table = tune.trials_table(study)
    assert len(table) == 4 and table["accuracy"].between(0, 1).all()
    assert (table.loc[~table["stopped"], "epochs"] == 2).all()
    for row in table.itertuples():
        history = pd.read_csv(out / f"trial-{row.trial}" / "history.csv")
        assert history["val_accuracy"].max() == pytest.approx(row.accuracy)
        assert not list((out / f"trial-{row.trial}").glob("*.weights.h5")), "no weights are left behind"
    again = tune.tune("speck", small, out, 4, SPACE, **FIXED)
    assert len(again.get_trials()) == len(study.get_trials())
    best = tune.best_settings(again)
    first = table[~table["stopped"]].iloc[0]
    assert best["learning_rate"] == first["learning_rate"] and first["accuracy"] == table["accuracy"][
        ~table["stopped"]].max()


def test_another_search_in_the_folder_is_refused(searched, small):
    out, _ = searched
    for options, said in (({"space": {"mixup": Choice(low=0, high=0.2)}}, "space"), ({"epochs": 3}, "fixed")):
        with pytest.raises(ValueError, match=f"another search .*{said}"):
            tune.tune("speck", small, out, 4, options.pop("space", SPACE), **FIXED | options)
    with pytest.raises(ValueError, match="another search .faces differ"):
        tune.tune("speck", draw_faces(310), out, 4, SPACE, **FIXED)


@pytest.mark.parametrize("space, fixed, trials, said", [
    ({"nothing": Choice(("a",))}, {}, 2, "nothing cannot be searched"),
    ({"protocol": Choice(("leaky",))}, {}, 2, "protocol cannot be searched"),
    ({"mixup": Choice(("a",))}, {"mixup": 0}, 2, "mixup: is searched and set"),
    (SPACE, {}, 0, "one trial or more"), ({}, {}, 2, "a setting to search"),
    (SPACE, {"epochs": 0}, 2, "epochs must be")])
def test_a_search_that_makes_no_sense_is_refused(space, fixed, trials, said, small, tmp_path):
    with pytest.raises(ValueError, match=said):
        tune.tune("cnn3", small, tmp_path, trials, space, **fixed)
    assert not list(tmp_path.iterdir())


def test_ranges_and_values_are_read():
    assert Choice.parse("64,128") == Choice((64, 128)) and Choice.parse("0.1,light") == Choice((0.1, "light"))
    assert Choice.parse("0..0.2") == Choice(low=0, high=0.2)
    for wrong in ("2..1", "a..b", "1..", "1..1"):
        with pytest.raises(ValueError, match="write LOW..HIGH"):
            Choice.parse(wrong)
    trial = optuna.trial.FixedTrial({"a": 0.5, "b": "x"})
    assert Choice(low=0.01, high=1).suggest(trial, "a") == 0.5 and Choice(("x", "y")).suggest(trial, "b") == "x"
    assert trial.distributions["a"].log, "a range over a factor of ten is searched by its logarithm"


def test_a_killed_search_does_its_trial_again_from_its_last_epoch(small, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {os.getcwd()!r})
        from fer_utils.data.drawn import draw_faces
        from fer_utils.networks import tune, zoo
        from tests.networks.quick import speck_network
        zoo.NETWORKS["speck"] = speck_network()
        tune.tune("speck", draw_faces(300), {str(tmp_path)!r}, 1, {{"learning_rate": tune.Choice(low=1e-4, high=3e-2)}},
                  **{FIXED | {"epochs": 400}!r})
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("trial-0/last-*.weights.h5")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    study = tune.open_study(tmp_path, optuna.load_study(
        study_name="tune", storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))).user_attrs["about"])
    (before,) = study.get_trials()
    tune._begin_again(study, tmp_path)
    tune._begin_again(study, tmp_path)  # a second process that begins
    states = [trial.state.name for trial in study.get_trials()]
    assert states == ["FAIL", "WAITING"], "once, not twice"
    again = study.ask({"learning_rate": optuna.distributions.FloatDistribution(1e-4, 3e-2, log=True)})
    assert again.params == before.params and again.user_attrs["folder"] == "trial-0"


def test_what_mattered_is_the_setting_that_the_score_follows():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    assert tune.what_mattered(study).empty
    study.optimize(lambda trial: trial.suggest_float("matters", 0, 1) + 0 * trial.suggest_float("idle", 0, 1), 30)
    found = tune.what_mattered(study)
    assert found["matters"] > 0.9 and found.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no trial was trained to its end"):
        tune.best_settings(optuna.create_study())


def test_the_figure_marks_the_best_so_far():
    trials = pd.DataFrame({"trial": [2, 0, 1, 3], "accuracy": [0.5, 0.3, 0.6, 0.4],
                           "stopped": [False, False, True, False]})
    left, right = plots.plot_tuning(trials, pd.Series({"mixup": 0.2, "learning_rate": 0.8})).axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in left.lines}
    assert lines == {"stopped early": [0.6], "trained to its end": [0.3, 0.5, 0.4], "best so far": [0.3, 0.5, 0.5]}
    assert [label.get_text() for label in right.get_yticklabels()] == ["mixup", "learning rate"]
    with pytest.raises(ValueError, match="accuracy"):
        plots.plot_tuning(trials.assign(accuracy=60), pd.Series(dtype=float))
