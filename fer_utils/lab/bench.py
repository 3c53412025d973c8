"""Measure the package against what people do without it."""
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..data import faceset, load
from ..networks import recipes, train, zoo
from ..networks.backend import import_keras


def bench_data(source=None):
    """Time reading ``fer2013.csv`` against pandas alone, the cache, and splitting the text row by row.

    Parameters
    ----------
    source : str or Path, optional
        A CSV of FER2013, by default what lies in `paths.DATA`. Where that is no CSV, random faces of FER2013's
        number are written into a temporary one.

    Returns
    -------
    dict
        ``pandas_read_csv_s``, ``load_s`` (first reading, writing the cache included), ``load_over_pandas`` (to stay
        below 2.5), ``cached_s``, ``first_over_cached`` (to stay above 20), ``naive_split_s``, ``naive_over_load``,
        ``rows`` and ``source``. Times are in seconds, the best of three; of the naive way, one.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = load.find(source)
        if found is None or found.suffix.lower() != ".csv":
            found = _write_random_csv(Path(folder) / "fer2013.csv")
        pandas_s = first_s = float("inf")
        for _ in range(3):  # in turn, so that what else the machine does slows both
            pandas_s = min(pandas_s, _seconds(lambda: pd.read_csv(found)))
            with tempfile.TemporaryDirectory(dir=folder) as cache:
                first_s = min(first_s, _seconds(lambda: _load_with_cache(found, cache)))  # noqa: B023
        cache = tempfile.mkdtemp(dir=folder)
        rows = len(_load_with_cache(found, cache))
        cached_s = min(_seconds(lambda: _load_with_cache(found, cache)) for _ in range(3))
        naive_s = _seconds(lambda: _naive(found))
        return {
            "pandas_read_csv_s": pandas_s, "load_s": first_s, "load_over_pandas": first_s / pandas_s,
            "cached_s": cached_s, "first_over_cached": first_s / cached_s,
            "naive_split_s": naive_s, "naive_over_load": naive_s / first_s,
            "rows": rows,
            "source": "random faces" if found.is_relative_to(folder) else str(found),
        }


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _load_with_cache(path, cache):
    before = paths.CACHE
    paths.CACHE = Path(cache)
    try:
        return load.load(path)
    finally:
        paths.CACHE = before


def _naive(path):
    """Read the CSV as the five projects do: split each row and convert each part."""
    table = pd.read_csv(path).rename(columns=lambda column: column.strip())
    return np.stack([np.array(row.split(), np.uint8) for row in table["pixels"]])


def _write_random_csv(path, rows=35_887):
    rng = np.random.default_rng(0)
    words = np.array([str(value) for value in range(256)], dtype=object)
    usages = np.repeat(faceset.USAGES, (rows - 2 * (rows // 10), rows // 10, rows // 10))
    with open(path, "w", newline="") as file:
        file.write("emotion,pixels,Usage\n")
        for usage in usages:
            pixels = " ".join(words[rng.integers(0, 256, faceset.SIZE**2)])
            file.write(f"{rng.integers(0, 7)},{pixels},{usage}\n")
    return path


def bench_train(source=None, networks=None, batch_size=64, batches=4):
    """Time training of each network in float32 and bfloat16, Keras's own batch normalisation, and making batches.

    bfloat16 is left out where the processor does not compute in it, for emulated it takes many times as long. What
    oneDNN gains shows a second run with ``TF_ENABLE_ONEDNN_OPTS=0`` in the environment.

    Parameters
    ----------
    source : str, optional
        The data set; by default what is found, else drawn faces. Only `batch_size` × `batches` faces are used.
    networks : sequence of str, optional
        Names of `zoo.NETWORKS`; all of them by default.
    batch_size, batches : int
        Of one pass: three are timed of each kind, in turn, after an untimed one, and the fastest counts.

    Returns
    -------
    dict
        ``cores``, ``faces`` (in a pass) and ``networks``: name → ``float32_images_s``, ``bfloat16_images_s`` and
        ``bfloat16_over_float32`` (ratio; both None where bfloat16 is left out), ``fused_over_keras`` (images a second
        over those with Keras's own batch normalisation, see `backend.fuse_batch_norm`, in bfloat16 if it is not left
        out) and ``batches_share`` (the time that making the batches takes alone, with the network's own augmentation,
        over the time that training on them takes; training never waits while it is well below 1, for batches are made
        beside it).
    """
    keras = import_keras()
    faces = load.sample(load.load(source).of("Training", labelled=True), batch_size * batches)
    native = "float32" if recipes.bfloat16_support() == "emulated" else "mixed_bfloat16"
    kinds = {"float32": ("float32", True), native: (native, True), "keras": (native, False)}
    result = {}
    for name in networks or zoo.NETWORKS:
        spec = zoo.network(name).spec
        config = recipes.TrainConfig.for_model(name, batch_size=batch_size)
        models = {}
        for kind, (precision, fuse) in kinds.items():
            models[kind] = zoo.build(name, precision)
            train.compile_model(models[kind], config, batches, fuse)
            models[kind].fit(batches.make_batches(faces, config, spec, None, 0), epochs=1, verbose=0)
        timed = batches.make_batches(faces, config, spec, None, 1)
        passes = {kind: [] for kind in models}
        for _ in range(3):  # in turn, so that what else the machine does slows all alike
            for kind, model in models.items():
                passes[kind].append(_batches_seconds(model, timed))
        entry = {kind: min(seconds) for kind, seconds in passes.items()}
        keras.backend.clear_session()
        start = time.perf_counter()
        for i in range(len(timed)):
            timed[i]
        making = time.perf_counter() - start
        images = batch_size * len(timed)
        bfloat16 = entry.get("mixed_bfloat16")
        result[name] = {"float32_images_s": round(images / entry["float32"], 1),
                        "bfloat16_images_s": bfloat16 and round(images / bfloat16, 1),
                        "bfloat16_over_float32": bfloat16 and round(entry["float32"] / bfloat16, 2),
                        "fused_over_keras": round(entry["keras"] / entry[native], 2),
                        "batches_share": round(making / min(entry.values()), 3)}
    return {"cores": os.cpu_count(), "faces": batch_size * batches, "networks": result}


def _batches_seconds(model, batches):
    """Train on batches once and return the seconds from the first one's begin to the last one's end.

    What `fit` does before and after is always the same, tenths of a second in all, and nothing to an epoch.
    """
    moments = []
    watch = import_keras().callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: moments.append(time.perf_counter()),
        on_train_batch_end=lambda batch, logs: moments.append(time.perf_counter()))
    model.fit(batches, epochs=1, verbose=0, callbacks=[watch])
    return moments[-1] - moments[0]


BENCHES = {"data": bench_data, "train": bench_train}
"""What ``python -m fer_utils bench NAME`` times."""
