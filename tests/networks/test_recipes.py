"""Recipes: what TrainConfig accepts, how runs are named, and what "auto" precision means."""

import pytest

from fer_utils.networks import recipes
from fer_utils.networks.recipes import TrainConfig


def test_config_refuses_what_it_does_not_know():
    assert TrainConfig.from_dict(TrainConfig().to_dict()) == TrainConfig()
    with pytest.raises(ValueError, match="learning_rat.*learning_rate"):
        TrainConfig.from_dict({"learning_rat": 1})
    for wrong in ({"model": "x"}, {"protocol": "x"}, {"balance": "x"}, {"augment": "x"}, {"epochs": 0},
                  {"epochs": 1.5}, {"learning_rate": 0}, {"ema": 2}, {"precision": "float8"}, {"optimizer": "x"}):
        with pytest.raises(ValueError):
            TrainConfig(**wrong)
    with pytest.raises(ValueError, match="over"):
        TrainConfig(protocol="leaky")


def test_wrong_kinds_are_named():
    for wrong in ({"label_smoothing": "abc"}, {"teachers": 5}, {"learning_rate": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrainConfig(**wrong)
    assert TrainConfig.for_model("fer_net", epochs=1).warmup_epochs == 1, "the recipe's warm-up fits a short run"


@pytest.mark.parametrize("options, word", [({"teachers": "fer_net"}, "teachers must be a list"),
                                           ({"teacher_share": 1.5}, "teacher_share"),
                                           ({"teacher_views": 2}, "teacher_views=2 needs teachers"),
                                           ({"teacher_views": -1}, "teacher_views must be"),
                                           ({"start": "a", "weights": "imagenet", "model": "vgg16"}, "give one")])
def test_wrong_values_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        TrainConfig(**options)


def test_a_networks_own_recipe_is_its_projects():
    config = TrainConfig.for_model("cnn5_bn")
    assert (config.balance, config.learning_rate, config.batch_size, config.epochs) == ("over", 1e-4, 32, 35)
    assert TrainConfig.for_model("cnn5_bn", epochs=None, balance="none").balance == "none"
    assert TrainConfig.for_model("cnn3").epochs == 100
    peers = TrainConfig.for_model("mini_xception")
    assert (peers.augment, peers.schedule, peers.batch_size) == ("arriaga", "plateau", 32)


def test_run_names_tell_runs_apart():
    a, b = TrainConfig(), TrainConfig(learning_rate=1e-3)
    assert a.run_name("x") != b.run_name("x") != b.run_name("y")
    assert a.run_name("x").startswith("cnn3-official-none-none-seed0-")


@pytest.mark.parametrize("vendor, flags, support", [
    ("GenuineIntel", "avx2 avx512_bf16 amx_bf16", "faster"), ("AuthenticAMD", "avx512_bf16", "faster"),
    ("GenuineIntel", "avx2 avx512_bf16 avx512_fp16", "native"), ("AuthenticAMD", "avx2", "emulated"),
    (None, "", "emulated")])
def test_auto_is_bfloat16_where_that_is_faster(vendor, flags, support, tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    if vendor:
        cpuinfo.write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    assert recipes.bfloat16_support(cpuinfo) == support
    monkeypatch.setattr(recipes, "bfloat16_support", lambda: support)
    assert recipes.resolve_precision("auto") == ("mixed_bfloat16" if support == "faster" else "float32")
    assert recipes.resolve_precision("mixed_bfloat16") == "mixed_bfloat16"
