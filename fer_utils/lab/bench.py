"""Benchmarks of reading the data and of training; the others are in `bench_vision`, `bench_cluster`, `bench_page`."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import paths
from ..data import faceset, load
from ..networks import recipes, train, zoo
from ..networks.backend import import_keras
from .bench_cluster import bench_cluster
from .bench_page import bench_page
from .bench_vision import bench_event, bench_live
from .measure import fastest_in_turn, seconds


def bench_data(source: str | Path | None = None) -> dict[str, Any]:
    """Time reading ``fer2013.csv`` against pandas alone, against the cache, and against splitting its text row by row.

    Without a CSV of FER2013, random faces of the same number are written into a temporary one. Times are in seconds,
    the best of three; the row-by-row way runs once. ``load_over_pandas`` must stay below 2.5 and ``first_over_cached``
    above 20.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = load.find(source)
        if found is None or found.suffix.lower() != ".csv":
            found = _write_random_csv(Path(folder) / "fer2013.csv")
        times = fastest_in_turn({
            "pandas": lambda: seconds(pd.read_csv, found),
            "load": lambda: seconds(_load_with_cache, found, tempfile.mkdtemp(dir=folder))})
        cache = tempfile.mkdtemp(dir=folder)
        rows = len(_load_with_cache(found, cache))
        cached_s = min(seconds(_load_with_cache, found, cache) for _ in range(3))
        row_by_row_s = seconds(_split_row_by_row, found)
        return {
            "pandas_read_csv_s": times["pandas"], "load_s": times["load"],
            "load_over_pandas": times["load"] / times["pandas"],
            "cached_s": cached_s, "first_over_cached": times["load"] / cached_s,
            "naive_split_s": row_by_row_s, "naive_over_load": row_by_row_s / times["load"],
            "rows": rows,
            "source": "random faces" if found.is_relative_to(folder) else str(found),
        }


def _load_with_cache(path: Path, cache: str) -> faceset.FaceSet:
    before = paths.CACHE
    paths.CACHE = Path(cache)
    try:
        return load.load(path)
    finally:
        paths.CACHE = before


def _split_row_by_row(path: Path) -> np.ndarray:
    """Read the CSV as the five projects do: split each row and convert each part."""
    table = pd.read_csv(path).rename(columns=lambda column: column.strip())
    return np.stack([np.array(row.split(), np.uint8) for row in table["pixels"]])


def _write_random_csv(path: Path, rows: int = 35_887) -> Path:
    rng = np.random.default_rng(0)
    words = np.array([str(value) for value in range(256)], dtype=object)
    usages = np.repeat(faceset.USAGES, (rows - 2 * (rows // 10), rows // 10, rows // 10))
    with open(path, "w", newline="") as file:
        file.write("emotion,pixels,Usage\n")
        for usage in usages:
            pixels = " ".join(words[rng.integers(0, 256, faceset.SIZE**2)])
            file.write(f"{rng.integers(0, 7)},{pixels},{usage}\n")
    return path


def bench_train(source: str | Path | None = None, networks: Sequence[str] | None = None, batch_size: int = 64,
                steps: int = 4) -> dict[str, Any]:
    """Time the training of each network in float32 and in bfloat16, with and without fused batch normalisation.

    A pass is `steps` batches. After an untimed pass, three of each kind are timed in turn; the fastest counts. bfloat16
    is left out (None) where the processor only emulates it, which takes many times as long. For what oneDNN gains, run
    this once more with ``TF_ENABLE_ONEDNN_OPTS=0`` in the environment.

    Of each network, ``fused_over_keras`` is the speed over that with Keras's own batch normalisation (see
    `backend.fuse_batch_norm`), in bfloat16 where it is not left out. ``batches_share`` is the time of making the
    batches over the time of training on them: as they are made beside it, training waits only when it nears 1.
    """
    faces = load.sample(load.load(source).of("Training", labelled=True), batch_size * steps)
    return {"cores": os.cpu_count(), "faces": batch_size * steps,
            "networks": {name: _network_speed(name, faces, batch_size, steps) for name in networks or zoo.NETWORKS}}


def _network_speed(name: str, faces: faceset.FaceSet, batch_size: int, steps: int) -> dict[str, float | None]:
    from ..networks.batches import TrainingBatches  # which imports Keras

    keras = import_keras()
    spec = zoo.network(name).spec
    config = recipes.TrainConfig.for_model(name, batch_size=batch_size)
    native = "float32" if recipes.bfloat16_support() == "emulated" else "mixed_bfloat16"
    batches = TrainingBatches(faces, config, spec)
    timers = {}
    for kind, precision, fuse in (("float32", "float32", True), (native, native, True), ("keras", native, False)):
        model = zoo.build(name, precision)
        train.compile_model(model, config, steps, fuse)
        model.fit(batches, epochs=1, verbose=0)
        timers[kind] = lambda model=model: _pass_seconds(model, batches)
    best = fastest_in_turn(timers)
    keras.backend.clear_session()
    making = seconds(lambda: [batches[i] for i in range(len(batches))])
    images = batch_size * len(batches)
    bfloat16 = best.get("mixed_bfloat16")
    return {"float32_images_s": round(images / best["float32"], 1),
            "bfloat16_images_s": bfloat16 and round(images / bfloat16, 1),
            "bfloat16_over_float32": bfloat16 and round(best["float32"] / bfloat16, 2),
            "fused_over_keras": round(best["keras"] / best[native], 2),
            "batches_share": round(making / min(best.values()), 3)}


def _pass_seconds(model: Any, batches: Any) -> float:
    """Train on batches once; return the seconds from the begin of the first to the end of the last.

    What `fit` does before and after takes tenths of a second, however many the batches: nothing to an epoch.
    """
    moments = []
    watch = import_keras().callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: moments.append(time.perf_counter()),
        on_train_batch_end=lambda batch, logs: moments.append(time.perf_counter()))
    model.fit(batches, epochs=1, verbose=0, callbacks=[watch])
    return moments[-1] - moments[0]


BENCHES: dict[str, Callable[[str | None], dict[str, Any]]] = {
    "data": bench_data, "train": bench_train, "live": lambda source: bench_live(), "event": bench_event,
    "page": lambda source: bench_page(), "cluster": bench_cluster}
"""What ``python -m fer_utils bench NAME`` measures, each called with ``--data``."""
