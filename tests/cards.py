"""Cards of networks that were never trained, for tests of what is made of cards."""

from typing import Any

from fer_utils.labels import EMOTIONS
from fer_utils.networks.card import Card


def scored(accuracy: float = 0.6, macro_f1: float = 0.5, **changes: Any) -> dict[str, Any]:
    """Return the scores of one part."""
    return {"n": 7, "accuracy": accuracy, "accuracy_interval": [max(accuracy - 0.02, 0), min(accuracy + 0.01, 1)],
            "macro_f1": macro_f1, "macro_f1_interval": [0, 1], "per_class": {e: {"f1": macro_f1} for e in EMOTIONS},
            "confusion": [[1] * 7] * 7} | changes


def card_values(name: str = "net", scores: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """Return what the card.json of a network holds that every reader needs."""
    config = {"model": "cnn3", "protocol": "official", "balance": "none", "augment": "none", "seed": 0} | config
    usage = "PrivateTest" if config["protocol"] == "official" else "leaky test"
    return {"name": name, "model": config["model"], "origin": "the tests'", "config": config,
            "spec": {"size": 48, "channels": 1, "scaling": "unit"}, "split": "official split",
            "data": {"title": "FER2013", "fingerprint": "f"}, "scores": scores or {usage: scored()},
            "temperature": None, "parameters": 1, "mflops": 1.0, "best_epoch": 1, "epochs_run": 1, "seconds": 60}


def card(name: str = "net", scores: dict[str, Any] | None = None, **config: Any) -> Card:
    """Return a card of these values."""
    return Card.from_dict(card_values(name, scores, **config), name)
