"""An event on a cluster beside the same event without one: time, processor time and memory."""
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..data import load
from ..event.collect import event_settings
from ..event.sharding import begin_shards
from ..event.store import FACES, open_table
from ..labels import EMOTIONS
from ..vision.detect import yunet_file
from ..vision.predict import Face
from ..vision.scenes import write_crowd
from ..vision.sources import Source

_LOOK_S = 0.1  # between two looks at the memory of processes


def bench_cluster(source: str | Path | None = None, model: str = "fer_net", photos: int = 1000,
                  workers: Sequence[int] = (1, 2, 4), merged_rows: Sequence[int] = (10_000, 100_000),
                  tasks: int = 500) -> dict[str, Any]:
    """Measure an event of so many crowd pictures in one process, and on clusters of so many `workers` here.

    Each is the whole command, run on a tenth of the photos and on all: from the difference come the milliseconds a
    photo, and from the rest the seconds before and after. ``cpu`` are those of all processes together, which hardly
    depend on what else the computer does; ``peak_mb`` is their resident memory, in which what they share counts for
    each. ``same`` says whether faces.csv has the same bytes as without a cluster.

    ``task_ms`` is what Dask takes for a task that does nothing. ``merge`` is the time and memory of putting so many
    rows of faces together, with the report.
    """
    known = load.load(source)
    known = known[known.labelled]
    detector = "yunet" if yunet_file() else "haar"
    result: dict[str, Any] = {"photos": photos, "detector": detector, "cores": os.cpu_count(), "faces": known.title}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_crowd(scratch / "few", known, min(200, photos))
        drawn = sorted((scratch / "few").rglob("*.jpg"))
        parts = {"tenth": photos // 10, "all": photos}
        for name, count in parts.items():
            (scratch / name).mkdir()
            for i in range(count):
                os.link(drawn[i % len(drawn)], scratch / name / f"{i:06d}.jpg")
        for way in ("serial", *(f"local:{count}" for count in workers)):
            options = [] if way == "serial" else ["--cluster", way]
            few, every = (_measured("event", scratch / name, "--out", scratch / f"{name} {way}", "--model", model,
                                    "--detector", detector, *options) for name in parts)
            result[way] = _per_photo(few, every, *parts.values())
            result[way]["same"] = ((scratch / f"all {way}" / FACES).read_bytes()
                                   == (scratch / "all serial" / FACES).read_bytes())
        result["task_ms"] = _task_ms(tasks)
        result["merge"] = {f"{rows:,} rows": _merge(scratch / f"rows {rows}", rows, model) for rows in merged_rows}
    return result


def _measured(*arguments: str | Path) -> dict[str, float]:
    """Run a command of this package; return its seconds, its processes' processor seconds and their memory in MB."""
    import psutil

    before, start = os.times(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fer_utils", *map(str, arguments), "--json"],
                               stdout=subprocess.DEVNULL)
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        resident = 0
        for each in [watched, *_children(watched)]:
            try:
                resident += each.memory_info().rss
            except psutil.Error:  # it has ended
                continue
        peak = max(peak, resident)
        time.sleep(_LOOK_S)
    if process.returncode:
        raise RuntimeError(f"the command {arguments[0]} failed; what it printed is above")
    after = os.times()
    return {"s": time.perf_counter() - start, "peak_mb": peak / 2**20,
            "cpu_s": sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))}


def _children(process: Any) -> list[Any]:
    import psutil

    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _per_photo(few: dict[str, float], every: dict[str, float], n_few: int, n: int) -> dict[str, Any]:
    """Return what a photo takes and what does not depend on their number, from runs on few and on all photos."""
    photo_s, photo_cpu_s = ((every[name] - few[name]) / (n - n_few) for name in ("s", "cpu_s"))
    return {"s": round(every["s"], 1),
            "photo_ms": round(1000 * photo_s, 1), "photo_cpu_ms": round(1000 * photo_cpu_s, 1),
            "fixed_s": round(every["s"] - n * photo_s, 1), "fixed_cpu_s": round(every["cpu_s"] - n * photo_cpu_s, 1),
            "peak_mb": round(every["peak_mb"])}


def _task_ms(tasks: int) -> float:
    """Return the milliseconds from giving Dask one more task to its result, over many tasks that do nothing."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                      silence_logs="CRITICAL") as local, Client(local) as client:
        client.submit(abs, -1).result()
        start = time.perf_counter()
        client.gather([client.submit(abs, -number, pure=False) for number in range(tasks)])
        return round(1000 * (time.perf_counter() - start) / tasks, 2)


def _merge(folder: Path, rows: int, model: str) -> dict[str, float]:
    """Write a shard with so many faces, two on a photo, and measure ``event --merge``."""
    rng = np.random.default_rng(0)
    sources = [Source("photo", f"/photos/{number:08d}.jpg") for number in range(rows // 2)]
    [shard] = begin_shards(folder, 1, sources, 1)
    with open_table(shard.folder(folder), event_settings(model, "haar", 0.1)) as table:
        for source in sources:
            table.add_photo(source.address, datetime(2024, 6, 1), "exif", [
                Face((10, 10, 80, 80), 0.9, rng.dirichlet([0.3] * len(EMOTIONS)).astype(np.float32)) for _ in range(2)])
    found = _measured("event", "--merge", folder, "--out", folder / "merged")
    return {name: round(value, 1) for name, value in found.items()} | {
        "shard_bytes_a_row": round(sum(path.stat().st_size for path in shard.folder(folder).iterdir()) / rows)}
