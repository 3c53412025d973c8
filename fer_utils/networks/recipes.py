"""What decides a training run: `TrainConfig`, and what "auto" precision means on this computer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..data.split import BALANCES, PROTOCOLS
from . import zoo
from .augment import AUGMENTATIONS

PRECISIONS = ("float32", "mixed_bfloat16", "auto")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "plateau")
KEEPS = ("best", "last")

_CHOICES = {"protocol": PROTOCOLS, "balance": BALANCES, "augment": tuple(AUGMENTATIONS),
            "weights": (None, *zoo.WEIGHTS), "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "keep": KEEPS,
            "precision": PRECISIONS}
_LEAST = {"epochs": 1, "batch_size": 1, "patience": 0, "seed": 0, "teacher_views": 0, "crop": 0}  # whole numbers
_MOST = {"learning_rate": float("inf"), "warmup_epochs": float("inf"), "weight_decay": 1, "label_smoothing": 1,
         "mixup": 10, "ema": 1, "teacher_share": 1, "votes": 1}  # numbers from 0


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, except the data.

    A value that is not allowed raises ValueError, which names the field.
    """

    model: str = "cnn3"  # a name of `zoo.NETWORKS`
    protocol: str = "official"  # or "leaky", an exhibit: projects A's and E's mistake
    balance: str = "none"  # one of `split.BALANCES`; changes the training part only
    augment: str = "none"  # a name of `augment.AUGMENTATIONS`
    weights: str | None = None  # "imagenet" starts from pretrained weights (vgg16 only)
    # A trained run of the same network: training begins with its weights, and with a new optimiser and schedule.
    start: str | None = None
    freeze_norm: bool = False  # keep the batch normalisations of `start` as they are: few faces would spoil them
    # Trained runs whose mean probabilities soften the labels (Hinton et al. 2015, distillation), and their share in
    # the target, 0 to 1; the rest is the label.
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.5
    # The share of FER+'s ten votes in what is learnt from a face, 0 to 1; the rest is FER2013's label. The votes count
    # at the labels' class mix (`ferplus.vote_shares`).
    votes: float = 0.0
    # 0: the teachers see each training face and its mirror image, once. Otherwise they see what the network sees, each
    # face as it is changed and mixed (Beyer et al. 2022), in this number of passes, which are then repeated.
    teacher_views: int = 0
    epochs: int = 30  # the largest number of passes over the training part
    patience: int = 0  # stop after this number of epochs without a better PublicTest accuracy; 0 never stops early
    # Which epoch's weights are kept: the "best" by PublicTest accuracy, or the "last". FER2013's labels call an epoch
    # worse that has learnt from votes what the labels do not say.
    keep: str = "best"
    batch_size: int = 128  # even
    optimizer: str = "adam"  # or "adamw", or "sgd" (Nesterov momentum 0.9)
    learning_rate: float = 1e-4
    # "constant", "cosine" from the learning rate to 0 over all epochs, or "plateau": a tenth of it whenever 12 epochs
    # brought no lower PublicTest loss.
    schedule: str = "constant"
    warmup_epochs: float = 0.0  # epochs in which the cosine schedule first rises from 0
    weight_decay: float = 0.0  # decoupled decay of kernels (adamw only), 0 to 1
    label_smoothing: float = 0.0  # share of each label that is spread over all classes, 0 to 1
    mixup: float = 0.0  # alpha of mixup, 0 to 10; 0 for none
    # Side in pixels of the square at a random place that the network sees of each training face; 0 for whole faces.
    # A trained network always sees whole faces.
    crop: int = 0
    ema: float = 0.0  # momentum of the moving average of the weights, which is validated and saved; 0 for none
    seed: int = 0  # one seed gives one result on one machine
    precision: str = "float32"  # or "mixed_bfloat16", or "auto": bfloat16 where the processor computes faster in it

    def __post_init__(self) -> None:
        zoo.network(self.model)
        if not isinstance(self.teachers, (list, tuple)) or not all(isinstance(name, str) for name in self.teachers):
            raise ValueError(f"teachers must be a list of names of trained runs, got {self.teachers!r}")
        object.__setattr__(self, "teachers", tuple(self.teachers))
        self._check_fields()
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs must be 0 to {self.epochs}, got {self.warmup_epochs!r}")
        if self.batch_size % 2:
            # TensorFlow 2.21 on CPUs corrupts memory in the gradient of some convolutions of odd batches
            # (mini-Xception's first 1×1 of stride 2 among them).
            raise ValueError(f"batch_size must be even, got {self.batch_size}: odd batches crash some convolutions")
        size = zoo.network(self.model).spec.size
        if self.crop and not size // 2 <= self.crop <= size:
            raise ValueError(f"crop must be 0, or {size // 2} to {size} pixels for {self.model}, got {self.crop}")
        if self.crop and self.model not in zoo.ANY_SIZE:
            raise ValueError(f"crop: {self.model} takes faces of one size alone; {', '.join(zoo.ANY_SIZE)} take others")
        if not isinstance(self.freeze_norm, bool):
            raise ValueError(f"freeze_norm must be true or false, got {self.freeze_norm!r}")
        if self.freeze_norm and not self.start:
            raise ValueError("freeze_norm keeps the batch normalisations of start: name the trained run to start from")
        if self.weights and self.start:
            raise ValueError("weights and start both say where to start from: give one of them")
        if self.patience and self.keep == "last":
            raise ValueError('patience waits for a better epoch: with it, keep must be "best"')
        if self.votes and self.balance == "smote":
            raise ValueError("votes: SMOTE's faces were never seen by an annotator; balance them in another way")
        if self.teacher_views and not self.teachers:
            raise ValueError(f"teacher_views={self.teacher_views} needs teachers: name the trained runs that teach")
        if self.protocol == "leaky" and self.balance != "over":
            raise ValueError("the leaky protocol over-samples everything before it splits: balance must be 'over'")

    def _check_fields(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise ValueError(f"{name} must be a number from 0 to {most}, got {value!r}")

    @classmethod
    def for_model(cls, model: str, **overrides: Any) -> "TrainConfig":
        """Make the config of a network's own recipe (`zoo.NETWORKS`), with some fields overridden.

        A field that is given as None keeps the recipe's value.
        """
        recipe = dict(zoo.network(model).recipe)
        overrides = {name: value for name, value in overrides.items() if value is not None}
        if overrides.get("protocol") == "leaky":
            recipe["balance"] = "over"
        if isinstance(overrides.get("epochs"), int) and "warmup_epochs" in recipe:
            recipe["warmup_epochs"] = min(recipe["warmup_epochs"], overrides["epochs"])
        return cls.from_dict({"model": model, **recipe, **overrides})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Make a config from a dict; an unknown key raises ValueError that names the known ones."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"TrainConfig has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold."""
        return asdict(self) | {"teachers": list(self.teachers)}

    def run_name(self, fingerprint: str) -> str:
        """Name the run of this config on data with this fingerprint: readable words, then a hash of config and data."""
        # Fields with their default value are left out: a field that a later version adds renames no run.
        set_fields = {f.name: self.to_dict()[f.name] for f in fields(self) if getattr(self, f.name) != f.default}
        text = json.dumps(set_fields, sort_keys=True) + fingerprint
        return "-".join([self.model, self.protocol, self.balance, self.augment, f"seed{self.seed}",
                         hashlib.sha256(text.encode()).hexdigest()[:6]])


def bfloat16_support(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return how the processor computes in bfloat16: "faster" than in float32, "native" but no faster, or "emulated".

    AMX is faster. With AVX-512's bfloat16 alone, Intel's processors make no more products a cycle than in float32, and
    the conversion costs time (`bench train`); AMD's train most networks 1.4 to 1.85 times as fast. `cpuinfo` is what
    Linux says about the processor; without it, as on other systems, bfloat16 counts as emulated.
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        return "emulated"
    if "amx_bf16" in text or ("avx512_bf16" in text and "AuthenticAMD" in text):
        return "faster"
    return "native" if "avx512_bf16" in text else "emulated"


def resolve_precision(precision: str) -> str:
    """Turn "auto" into "mixed_bfloat16" where the processor computes faster in it, otherwise into "float32"."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if bfloat16_support() == "faster" else "float32"
