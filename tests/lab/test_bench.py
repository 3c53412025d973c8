from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_utils import paths
from fer_utils.data.drawn import draw_faces
from fer_utils.lab import bench, bench_cluster, bench_vision
from fer_utils.networks import recipes

TINY = Path(__file__).parents[2] / "models" / "fer_net_tiny"


def test_reading_is_timed_on_a_csv_that_is_there_or_on_random_faces(tmp_path, monkeypatch):
    faces = draw_faces(70, seed=1)
    pd.DataFrame({"emotion": faces.emotion, "pixels": [" ".join(map(str, face.ravel())) for face in faces.pixels],
                  "Usage": faces.usage}).to_csv(tmp_path / "fer2013.csv", index=False)
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    result = bench.bench_data(tmp_path / "fer2013.csv")
    assert list(result) == ["pandas_read_csv_s", "load_s", "load_over_pandas", "cached_s", "first_over_cached",
                            "naive_split_s", "naive_over_load", "rows", "source"]
    assert result["rows"] == 70 and result["source"].endswith("fer2013.csv") and not paths.CACHE.exists()
    assert result["load_over_pandas"] == pytest.approx(result["load_s"] / result["pandas_read_csv_s"])
    write = bench._write_random_csv
    monkeypatch.setattr(bench, "_write_random_csv", lambda path: write(path, rows=40))
    result = bench.bench_data()
    assert result["rows"] == 40 and result["source"] == "random faces"


@pytest.mark.parametrize("support", ["emulated", "native"])
def test_bfloat16_is_left_out_where_it_is_emulated(support, speck, monkeypatch):
    monkeypatch.setattr(recipes, "bfloat16_support", lambda: support)
    result = bench.bench_train("drawn:60", [speck], batch_size=8, steps=2)
    speeds = result["networks"]["speck"]
    assert result["faces"] == 16 and speeds["float32_images_s"] > 0 and speeds["fused_over_keras"] > 0
    if support == "emulated":
        assert speeds["bfloat16_images_s"] is None and speeds["bfloat16_over_float32"] is None
    else:
        assert speeds["bfloat16_over_float32"] == pytest.approx(
            speeds["bfloat16_images_s"] / speeds["float32_images_s"], rel=0.1)


def test_the_live_windows_loop_is_timed_against_the_plain_one(monkeypatch):
    write_clip = bench_vision.write_clip
    monkeypatch.setattr(bench_vision, "write_clip", lambda path, faces: write_clip(path, faces, frames=5))
    monkeypatch.setattr(bench_vision, "MEMORY_FRAMES", (2, 7))
    result = bench_vision.bench_live(model=TINY)
    assert list(result) == ["cores", "opencv_threads", "detector", "clips", "memory", "one_thread_ms"]
    assert list(result["memory"]) == ["2_frames_mib", "7_frames_mib", "grown_mib"]
    for count, clip in zip((1, 6), result["clips"].values()):
        assert clip["faces"] == count and clip["plain_faces"] > 0
        assert list(clip["ms"]) == ["read", "detect", "crop", "classify", "draw"] and min(clip["ms"].values()) > 0
        assert clip["ratio"] == pytest.approx(clip["frames_s"] / clip["plain_frames_s"], abs=0.06)
        # The stages are all that the loop does.
        assert sum(clip["ms"].values()) < 2000 / clip["frames_s"] + 5


def test_the_events_reading_is_timed_against_the_plain_loop(monkeypatch):
    resized = bench_vision._resized
    monkeypatch.setattr(bench_vision, "_resized", lambda path, width: resized(path, min(width, 1000)))
    result = bench_vision.bench_event("drawn:60", TINY, photos=2, seconds=0.2, memory_photos=10)
    assert list(result) == ["detector", "cores", "faces", "memory_photos", "rss_early_mb", "rss_late_mb",
                            *(key for name in ("photos", "frames") for key in (
                                f"{name}_s", f"plain_{name}_s", f"{name}_ratio", f"{name}_found",
                                f"plain_{name}_found"))]
    assert result["photos_s"] > 0 and result["frames_s"] > 0 and np.isfinite(result["rss_late_mb"])


def test_an_event_on_a_cluster_is_measured_beside_one_without(monkeypatch):
    help_only = bench_cluster._measured("event", "--help")
    assert 0 < help_only["cpu_s"] < 60 and help_only["s"] > 0 and 0 < help_only["peak_mb"] < 1000
    with pytest.raises(RuntimeError, match="the command nothing failed"):
        bench_cluster._measured("nothing")
    ways = []

    def measured(*arguments):
        *_, last = arguments
        ways.append(last)
        out, photos = Path(arguments[arguments.index("--out") + 1]), len(list(Path(arguments[1]).glob("*.jpg")))
        out.mkdir()
        (out / "faces.csv").write_text(f"{last == 'local:3'}")
        return {"s": 4 + photos / 50, "cpu_s": 7 + photos / 30, "peak_mb": photos}  # 4 seconds are not the photos'

    monkeypatch.setattr(bench_cluster, "_measured", measured)
    result = bench_cluster.bench_cluster("drawn:60", TINY, photos=30, workers=(2, 3), merged_rows=(20,), tasks=3)
    assert ways[2:6] == ["local:2", "local:2", "local:3", "local:3"] and "local:2" not in ways[:2]
    expected = {"s": 4.6, "photo_ms": 20, "photo_cpu_ms": 33.3, "fixed_s": 4, "fixed_cpu_s": 7, "peak_mb": 30}
    assert [result[way] for way in ("serial", "local:2", "local:3")] == [
        expected | {"same": same} for same in (True, True, False)]
    assert result["task_ms"] > 0 and result["merge"]["20 rows"]["shard_bytes_a_row"] > 100
