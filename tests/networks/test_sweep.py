"""Trainings and trials on a Dask cluster: all are finished once, also where workers or the caller die."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import dask
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from fer_utils import files
from fer_utils.cli import main
from fer_utils.data.load import load
from fer_utils.errors import DataError, InUseError
from fer_utils.networks import runs, sweep
from fer_utils.networks.checkpoints import last_epoch
from fer_utils.networks.recipes import TrainConfig
from fer_utils.networks.sweep import FacesFrom, Share, TrainingError, train_all, tune_on_cluster
from fer_utils.networks.tune import Choice, Search, faces_to_tune, finished_trials, open_study, trials_table
from tests.networks.quick import QUICK

pytestmark = pytest.mark.usefixtures("speck")
FACES, EPOCHS = "drawn:150", 12
PRELOAD = """
from fer_utils.networks import zoo
from tests.networks.quick import speck_network
zoo.NETWORKS["speck"] = speck_network()
"""


def config(**changes):
    return TrainConfig(**QUICK | {"epochs": EPOCHS} | changes)


@pytest.fixture(scope="module")
def source():
    return FacesFrom.of(load(FACES), FACES)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """The address of a worker in this process, where tests end sooner."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
                      silence_logs="CRITICAL", local_directory=tmp_path_factory.mktemp("worker")) as local:
        yield local.scheduler_address


def wait_until(what, seconds=300):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found


def is_free(folder):
    try:
        with files.only_one(folder, "busy"):
            return True
    except InUseError:
        return False


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_training_goes_on_where_its_worker_died_and_one_that_fails_is_named(source, tmp_path):
    long, wrong = tmp_path / "long", tmp_path / "wrong"
    trainings = {long: config(), wrong: config(teachers=("nobody",))}
    (preload := tmp_path / "preload.py").write_text(PRELOAD)
    with (ThreadPoolExecutor(1) as pool, dask.config.set({"distributed.worker.preload": [str(preload)]}),
          LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL",
                       memory_limit=0, local_directory=tmp_path / "worker") as local):
        driver = pool.submit(train_all, trainings, source, local.scheduler_address, 1, False)
        wait_until(lambda: driver.done() or last_epoch(long) >= 2)
        before = pd.read_csv(long / "history.csv")
        os.kill(local.workers[0].pid, signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"1 of 2 trainings failed(.|\n)*  wrong: DataError: .*'nobody'"):
            driver.result(300)
    rows = pd.read_csv(long / "history.csv")
    assert 2 <= len(before) < EPOCHS == len(rows) == runs.read_card(long).epochs_run
    pd.testing.assert_frame_equal(before, rows.head(len(before)))  # with its seconds: not trained again
    assert not (wrong / "card.json").exists()


def test_a_worker_stops_when_its_caller_has_gone_and_the_same_call_goes_on(worker, source, tmp_path):
    run = tmp_path / "run"
    with Client(worker) as client:
        under_way = client.submit(sweep._train_here, str(run), config(), source, Share(1, ()), pure=False)
        wait_until(lambda: under_way.done() or last_epoch(run) >= 2)
        with pytest.raises(InUseError):
            files.only_one(run, "another process trains in this folder").__enter__()
    wait_until(lambda: is_free(run))
    before = pd.read_csv(run / "history.csv")
    assert 2 <= last_epoch(run) < EPOCHS
    train_all({run: config()}, source, worker, progress=False)
    pd.testing.assert_frame_equal(before, pd.read_csv(run / "history.csv").head(len(before)))
    finished = (run / "card.json").stat().st_mtime_ns
    train_all({run: config()}, source, worker, progress=False)
    assert finished == (run / "card.json").stat().st_mtime_ns


def test_a_run_that_another_program_trains_is_waited_for(worker, source, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "_PAUSE_S", 0.1)
    with ThreadPoolExecutor(1) as pool:
        with files.only_one(tmp_path / "theirs", "the other program"):
            trainings = {tmp_path / "theirs": config(epochs=1), tmp_path / "ours": config(epochs=1, seed=1)}
            driver = pool.submit(train_all, trainings, source, worker, None, False)
            wait_until(lambda: driver.done() or (tmp_path / "ours" / "card.json").exists())
            with pytest.raises(TimeoutError):
                driver.result(0.5)
        driver.result(300)
    assert runs.read_card(tmp_path / "theirs").epochs_run == 1


def test_trials_that_were_left_are_done_again_and_none_is_one_too_many(worker, source, tmp_path):
    optuna = pytest.importorskip("optuna")
    fixed = {name: value for name, value in QUICK.items() if name not in ("model", "learning_rate")} | {"epochs": 2}
    search = Search("speck", 3, {"learning_rate": Choice(low=1e-4, high=3e-2)}, fixed)
    begun = open_study(tmp_path, search.about(faces_to_tune(source.read())))
    dead, living = begun.ask(), begun.ask()
    for trial in (dead, living):
        search.space["learning_rate"].suggest(trial, "learning_rate")
        trial.set_user_attr("folder", f"trial-{trial.number}")
    with ThreadPoolExecutor(1) as pool:
        with files.only_one(tmp_path / "locks" / "trial-1", "another process trains this trial"):
            driver = pool.submit(tune_on_cluster, search, source, tmp_path, worker, 1, False)
            wait_until(lambda: driver.done() or finished_trials(begun) == 2)
            with pytest.raises(TimeoutError):
                driver.result(1.5)  # the third is under way in the other process, so none is begun
        study = driver.result(300)  # which has died, so its trial is done here
    states = [trial.state for trial in study.get_trials()]
    assert states.count(optuna.trial.TrialState.FAIL) == 2 and len(states) == 5
    rates = {trial.user_attrs["folder"]: trial.params["learning_rate"] for trial in study.get_trials()
             if trial.state != optuna.trial.TrialState.FAIL}
    assert set(rates) == {"trial-0", "trial-1", "trial-3"} and len(trials_table(study)) == 3
    assert (rates["trial-0"], rates["trial-1"]) == (dead.params["learning_rate"], living.params["learning_rate"])
    assert tune_on_cluster(search, source, tmp_path, worker, progress=False).get_trials() == study.get_trials()
    with pytest.raises(ValueError, match="holds another search .model differ"):
        tune_on_cluster(replace(search, model="cnn3"), source, tmp_path, worker, progress=False)


def test_what_workers_cannot_do_is_said(source, tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0") as local:
        with pytest.raises(TrainingError, match="run: DataError: it works on 2 trainings at a time; start workers"):
            train_all({tmp_path / "run": config()}, source, local.scheduler_address, progress=False)
    with pytest.raises(DataError, match="drawn:200: holds other faces for this worker"):
        replace(source, place="drawn:200").read()
    client = SimpleNamespace(nthreads=lambda: {"tcp://10.0.0.1:71": 1, "tcp://10.0.0.1:72": 1, "tcp://10.0.0.2:71": 1})
    assert Share.of(client, None).beside == (("tcp://10.0.0.1", 2), ("tcp://10.0.0.2", 1))
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        Share.of(client, 0)


@pytest.mark.parametrize("arguments, said", [
    (["tune", "cnn3", "--cluster", "here"], "as tcp://10.0.0.1:8786, or local:4"),
    (["tune", "cnn3", "--threads", "2"], "--threads goes with --cluster"),
    (["run", "--only", "04", "--cluster", "local:2"], "only notebook 03 does so: add it to --only"),
    (["run", "--cluster", "local:0"], "got local:0")])
def test_what_the_command_line_refuses(arguments, said, capsys):
    pytest.importorskip("optuna")
    assert main([*arguments, "--data", FACES]) == 1 and said in capsys.readouterr().err
