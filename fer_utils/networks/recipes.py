"""`TrainConfig`: everything that decides a training, but the data."""
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..data.split import BALANCES, PROTOCOLS
from . import zoo
from .augment import AUGMENTATIONS

PRECISIONS = ("float32", "mixed_bfloat16", "auto")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "plateau")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, but the data.

    Parameters
    ----------
    model : str
        A name of `zoo.NETWORKS`.
    protocol : str
        "official", or "leaky" (an exhibit: projects A's and E's mistake).
    balance : str
        "none", "over", "under", "smote" or "class_weights"; changes the training part only.
    augment : str
        A name of `augment.AUGMENTATIONS`.
    weights : None or "imagenet"
        Pretrained weights to start from (vgg16 only).
    start : str, optional
        A trained run of the same network, to go on from its weights with a fresh optimiser and schedule.
    teachers : tuple of str
        Trained runs whose mean probabilities soften the labels (Hinton et al. 2015, distillation).
    teacher_share : float
        Share of the teachers' probabilities in the target; the rest is the label.
    teacher_views : int
        0: the teachers see each training face and its mirror image, once. Else they see what the network sees, each
        face as it is changed and mixed (Beyer et al. 2022), in so many passes, which then come again.
    epochs : int
        At most so many passes over the training part.
    patience : int
        Stop after so many epochs without a better PublicTest accuracy; 0 never stops early.
    batch_size : int
    optimizer : str
        "adam", "adamw" or "sgd" (Nesterov momentum .9).
    learning_rate : float
    schedule : str
        "constant", "cosine" from `learning_rate` to 0 over all epochs, or "plateau": a tenth of it whenever 12 epochs
        brought no lower PublicTest loss (`keras.callbacks.ReduceLROnPlateau`).
    warmup_epochs : float
        Epochs in which the cosine schedule first rises from 0.
    weight_decay : float
        Decoupled decay of kernels (adamw only).
    label_smoothing : float
        Share of each label spread over all classes.
    mixup : float
        Alpha of mixup; 0 for none.
    ema : float
        Momentum of the weights' moving average, which is then validated and saved; 0 for none.
    seed : int
        One seed gives one result on one machine.
    precision : str
        "float32", "mixed_bfloat16", or "auto": bfloat16 where the processor computes faster in it.

    Raises
    ------
    ValueError
        A value out of its range, naming the field.
    """

    model: str = "cnn3"
    protocol: str = "official"
    balance: str = "none"
    augment: str = "none"
    weights: str | None = None
    start: str | None = None
    teachers: tuple = ()
    teacher_share: float = 0.5
    teacher_views: int = 0
    epochs: int = 30
    patience: int = 0
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    ema: float = 0.0
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self):
        zoo.network(self.model)
        if not isinstance(self.teachers, (list, tuple)) or not all(isinstance(name, str) for name in self.teachers):
            raise ValueError(f"teachers must be a list of names of trained runs, got {self.teachers!r}")
        object.__setattr__(self, "teachers", tuple(self.teachers))
        if self.weights and self.start:
            raise ValueError("weights and start both say where to start from: give one of them")
        for name, allowed in [("protocol", PROTOCOLS), ("balance", BALANCES), ("augment", tuple(AUGMENTATIONS)),
                              ("weights", (None, *zoo.WEIGHTS)), ("optimizer", OPTIMIZERS),
                              ("schedule", SCHEDULES), ("precision", PRECISIONS)]:
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        for name, low in [("epochs", 1), ("batch_size", 1), ("patience", 0), ("seed", 0), ("teacher_views", 0)]:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
        if self.batch_size % 2:
            # TensorFlow 2.21 on CPUs corrupts memory in the gradient of some convolutions of odd batches
            # (mini-Xception's first 1×1 of stride 2 among them).
            raise ValueError(f"batch_size must be even, got {self.batch_size}: odd batches crash some convolutions")
        for name in ("learning_rate", "warmup_epochs", "weight_decay", "label_smoothing", "mixup", "ema",
                     "teacher_share"):
            if not isinstance(getattr(self, name), (int, float)):
                raise ValueError(f"{name} must be a number, got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}")
        for name, high in [("warmup_epochs", self.epochs), ("weight_decay", 1), ("label_smoothing", 1), ("mixup", 10),
                           ("ema", 1), ("teacher_share", 1)]:
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be 0 to {high}, got {getattr(self, name)!r}")
        if self.teacher_views and not self.teachers:
            raise ValueError(f"teacher_views={self.teacher_views} needs teachers: name the trained runs that teach")
        if self.protocol == "leaky" and self.balance != "over":
            raise ValueError("the leaky protocol over-samples everything before it splits: balance must be 'over'")

    @classmethod
    def for_model(cls, model, **overrides):
        """Make the config of a network's own recipe (`zoo.NETWORKS`), with some fields overridden.

        A field given as None keeps the recipe's value.
        """
        recipe = dict(zoo.network(model).recipe)
        overrides = {name: value for name, value in overrides.items() if value is not None}
        if overrides.get("protocol") == "leaky":
            recipe["balance"] = "over"
        if isinstance(overrides.get("epochs"), int) and "warmup_epochs" in recipe:
            recipe["warmup_epochs"] = min(recipe["warmup_epochs"], overrides["epochs"])
        return cls.from_dict({"model": model, **recipe, **overrides})

    @classmethod
    def from_dict(cls, values):
        """Make a config from a dict; an unknown key raises ValueError that names the known ones."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"TrainConfig has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self):
        """Return the fields as a dict that JSON can hold."""
        return asdict(self) | {"teachers": list(self.teachers)}

    def run_name(self, fingerprint):
        """Name the run of this config on data with this fingerprint: readable, then a hash of all of both."""
        # Fields at their defaults are left out: a field that a later version adds renames no run.
        set_fields = {f.name: self.to_dict()[f.name] for f in fields(self) if getattr(self, f.name) != f.default}
        text = json.dumps(set_fields, sort_keys=True) + fingerprint
        return "-".join([self.model, self.protocol, self.balance, self.augment, f"seed{self.seed}",
                         hashlib.sha256(text.encode()).hexdigest()[:6]])


def bfloat16_support(cpuinfo=Path("/proc/cpuinfo")):
    """Return how the processor computes in bfloat16: "faster" than in float32, "native" but no faster, or "emulated".

    AMX is faster. With AVX-512's bfloat16 alone Intel's make no more products a cycle than in float32, and converting
    comes on top (`bench train`); on AMD's it doubles them on paper, which is taken for faster, unmeasured.

    Parameters
    ----------
    cpuinfo : Path
        What Linux tells of the processor. Where there is none, as on other systems, bfloat16 counts as emulated.
    """
    try:
        told = cpuinfo.read_text()
    except OSError:
        return "emulated"
    if "amx_bf16" in told or ("avx512_bf16" in told and "AuthenticAMD" in told):
        return "faster"
    return "native" if "avx512_bf16" in told else "emulated"


def resolve_precision(precision):
    """Turn "auto" into "mixed_bfloat16" where the processor computes faster in it, else "float32"."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if bfloat16_support() == "faster" else "float32"
