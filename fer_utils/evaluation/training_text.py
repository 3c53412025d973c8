"""How a network was trained, in sentences and as a command, from its card."""

from collections import Counter
from dataclasses import fields

from ..networks.augment import AUGMENTATIONS, Augmentation
from ..networks.card import Card
from ..networks.recipes import TrainConfig
from .markdown import code, escaped, shell_word

_BALANCES = {
    "over": "Faces of the rarer classes are repeated at random until all classes have equally many (over-sampling)",
    "under": "Faces of the larger classes are left out at random until all classes have equally many (under-sampling)",
    "smote": "New faces of the rarer classes are mixed from two old ones until all classes have equally many (SMOTE)",
    "class_weights": "Errors on the rarer classes count for more (class weights)"}
_CHANGES = {
    "rotation": "turned", "shift": "shifted", "shear": "sheared", "zoom": "zoomed", "flip": "mirrored",
    "contrast": "given another contrast", "brightness": "made darker or brighter", "gamma": "given another gamma",
    "blur": "blurred", "noise": "made noisy", "jpeg": "saved as JPEG", "erase": "covered by a rectangle",
    "half": "hidden on one side"}
_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD with Nesterov momentum"}
_SCHEDULES = {"constant": "constant", "cosine": "falling to 0 along a cosine",
              "plateau": "divided by 10 whenever 12 epochs brought no lower loss"}
_OWN_OPTIONS = ("protocol", "balance", "augment", "weights", "epochs", "patience", "batch_size", "learning_rate",
                "seed")


_FER2013_FACES = (35_887, 28_709)
"""How many faces FER2013 has in all, and in the challenge's train.csv alone."""


def is_fer2013(card: Card) -> bool:
    """Return whether a network was trained on FER2013, and not on a sample of it, faces of one's own or drawn ones.

    Every layout of FER2013 has one of two numbers of faces; cards of earlier versions say "FER2013" of all faces that
    are not drawn.
    """
    return card.title.startswith("FER2013") and card.values["data"].get("faces") in _FER2013_FACES


def faces_name(card: Card) -> str:
    """Return what a network was trained on: "FER2013", or what its faces are instead."""
    if is_fer2013(card) or not card.title.startswith("FER2013"):
        return card.title
    count = card.values["data"].get("faces")
    return f"{'faces' if count is None else f'{count:,} faces'} that are not the whole of FER2013"


def training_text(card: Card) -> list[str]:
    """Return how a network was trained: one line of Markdown for each subject."""
    return list(filter(None, (_recipe(card), _faces(card), _changes(card), _target(card), _start(card),
                              _optimizer(card), _epochs(card), _mean(card), _time(card), _versions(card))))


def retrain_command(card: Card) -> str:
    """Return the command that trains a network as its card says; empty where one command is not enough.

    That is so for networks that no recipe has made, if they are the mean of several runs, started from another run, had
    teachers, or were trained with settings that this version of the code does not have.
    """
    if card.recipe_stages:
        return f"python -m fer_utils train --recipe {shell_word(card.name)}"
    if card.averaged or card.config.get("start") or card.config.get("teachers"):
        return ""
    try:
        wanted = TrainConfig.from_dict(card.config)
    except ValueError:
        return ""
    usual = TrainConfig.for_model(card.model, protocol=wanted.protocol)
    words = [f"python -m fer_utils train --model {shell_word(card.model)}"]
    for name in (field.name for field in fields(TrainConfig)):
        value = getattr(wanted, name)
        if value == getattr(usual, name) and (name, value) != ("protocol", "leaky"):
            continue
        word = shell_word(value)
        words.append(f"--{name.replace('_', '-')} {word}" if name in _OWN_OPTIONS else f"-p {name} {word}")
    return " ".join(words)


def _recipe(card: Card) -> str:
    if card.recipe_stages:
        commit = card.values["recipe"].get("commit")
        stages = ", ".join(f"{code(name)} {seconds / 60:.0f} minutes" for name, seconds in card.recipe_stages)
        return (f"**Recipe:** `recipe.toml` in this folder{f', at commit {code(commit[:7])}' if commit else ''}. Its "
                f"stages: {stages}. The last one is described here.")
    if (card.folder / "recipe.toml").is_file() and not retrain_command(card):
        return ("**Recipe:** these weights are older than recipes, and the networks that they learnt from are no "
                "longer here. `recipe.toml` in this folder trains such a network from the data and this commit alone: "
                f"`python -m fer_utils train --recipe {shell_word(card.name)}`.")
    return ""


def _faces(card: Card) -> str:
    count = card.values["data"].get("train")
    text = f"**Faces:** {escaped(f'{faces_name(card)}, {card.split}')}"
    text += f"; {count:,} faces in each epoch" if count else ""
    balance = card.config["balance"]
    return f"{text}. {_BALANCES[balance]}." if balance in _BALANCES else f"{text}."


def _changes(card: Card) -> str:
    name = card.config["augment"]
    crop = card.config.get("crop")
    cut = f" The network sees a square of {crop}×{crop} pixels of it, and whole faces when it is used." if crop else ""
    if name == "none":
        return f"**Augmentation:** none; the faces are used as they are.{cut}"
    spec, unchanged = AUGMENTATIONS.get(name), Augmentation()
    kinds = [word for field, word in _CHANGES.items() if spec and getattr(spec, field) != getattr(unchanged, field)]
    how = f": in each epoch a face is, at random, {', '.join(kinds)}" if kinds else ""
    return f"**Augmentation:** {code(name)} of `fer_utils/networks/augment.py`{how}.{cut}"


def _target(card: Card) -> str:
    config = card.config
    teachers, share = config.get("teachers") or [], config.get("teacher_share") or 0
    label, votes = "the label of each face", config.get("votes")
    if votes:
        label += (f" ({1 - votes:.0%}) and the votes that FER+'s ten annotators gave it, at the class mix of the "
                  f"labels ({votes:.0%})")
    text = f"**Learns from:** {label}"
    if teachers:
        text = (f"**Learns from:** {label}{', together' * bool(votes)} ({1 - share:.0%}), and the mean of the "
                f"probabilities that other networks, its teachers, give to the face ({share:.0%}; distillation). The "
                "teachers' runs: " + ", ".join(map(code, teachers)))
    if config.get("teacher_views"):
        text += f". The teachers see the changed faces, in {config['teacher_views']} passes, which are then repeated"
    if config.get("label_smoothing"):
        text += f". {config['label_smoothing']:.0%} of each label is spread over all classes (label smoothing)"
    if config.get("mixup"):
        text += f". Faces and labels are blended in pairs (mixup, alpha {config['mixup']})"
    return f"{text}."


def _start(card: Card) -> str:
    if card.config.get("start"):
        return f"**Started from:** the weights of an earlier run of this network, {code(card.config['start'])}."
    if card.config.get("weights"):
        return f"**Started from:** pretrained weights, {code(card.config['weights'])}."
    return "**Started from:** random weights."


def _optimizer(card: Card) -> str:
    config, parts = card.config, []
    if config.get("optimizer"):
        parts.append(_OPTIMIZERS.get(config["optimizer"], escaped(config["optimizer"])))
    if config.get("learning_rate") is not None:
        schedule = config.get("schedule") or "constant"
        parts.append(f"learning rate {config['learning_rate']:g}, {_SCHEDULES.get(schedule, escaped(schedule))}")
    for name, words in (("warmup_epochs", "after a rise over {:g} epochs"), ("batch_size", "batches of {}"),
                        ("weight_decay", "weight decay {:g}"), ("ema", "moving average of the weights, momentum {:g}")):
        if config.get(name):
            parts.append(words.format(config[name]).replace("over 1 epochs", "over one epoch"))
    known = {field.name for field in fields(TrainConfig)}
    parts += [escaped(f"{name} {value}") for name, value in sorted(config.items()) if name not in known and value]
    return f"**Optimiser:** {', '.join(parts)}; seed {config['seed']}." if parts else ""


def _epochs(card: Card) -> str:
    chosen_by, most = escaped(card.chosen_by), card.config.get("epochs") or card.epochs_run
    of_last = "of the last run: " if card.averaged else ""
    text = f"**Epochs:** {of_last}{card.epochs_run}"
    if most != card.epochs_run:
        text += f" of at most {most}"
    if card.config.get("patience"):
        text += f", to be stopped after {card.config['patience']} without a better accuracy on {chosen_by}"
    if card.config.get("keep") == "last":
        return f"{text}. The weights of the last epoch are kept."
    return f"{text}. Epoch {card.best_epoch} was best on {chosen_by}, and its weights are kept."


def _mean(card: Card) -> str:
    if not card.averaged:
        return ""
    times = {1: "once", 2: "twice"}
    runs = ", ".join(f"{code(name)} ({times.get(n, f'{n} times')})" for name, n in Counter(card.averaged).items())
    return f"**Averaged:** its weights are the mean of those of these runs: {runs}. The last run is described here."


def _time(card: Card) -> str:
    precision = {"mixed_bfloat16": ", computed in bfloat16 with float32 weights", "float32": ", computed in float32"}
    # A run of the tests takes seconds.
    minutes = f"{card.minutes:.0f}" if card.minutes >= 10 else f"{card.minutes:.1f}"
    devices = card.values.get("devices") or []
    several = f", on {len(devices)} devices ({escaped(', '.join(devices))})" if devices else ""
    return f"**Time:** {minutes} minutes{precision.get(card.values.get('precision', ''), '')}{several}."


def _versions(card: Card) -> str:
    versions: dict[str, str] = card.values.get("versions") or {}
    names = [escaped(f"{'Python' if name == 'python' else name} {version}")
             for name, version in versions.items() if name != "backend"]
    return f"**Versions:** {', '.join(names)}." if names else ""
