"""The average of the weights of several trained runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import files
from ..data.faceset import FaceSet
from ..data.split import split
from . import zoo
from .recipes import TrainConfig
from .runs import run_folder
from .teach import load_honest_run
from .train import save_model, score_parts, write_card


def average(names: Sequence[str], faces: FaceSet, out: Path | str) -> Path:
    """Average the weights of trained runs of one network, which often errs less on new faces than any of them.

    If one run started from another's weights, their mean lies in one valley of the loss (Wortsman et al. 2022, "Model
    soups"); the mean of runs that have nothing in common is no better than chance.

    `names` are two or more runs under the official protocol, all trained on `faces`; one that is named twice counts
    twice. `out` becomes a run folder, whose card takes recipe and history from the last run, and names all of them
    under ``averaged``. It is returned.

    ValueError: fewer than two runs, runs of different networks, trained on other faces or on test faces, or `out` holds
    a run already. DataError: a run is not there.
    """
    out = Path(out)
    if len(names) < 2:
        raise ValueError(f"average needs two trained runs or more, got {', '.join(names) or 'none'}")
    if (out / "card.json").is_file() or (out / "state.json").is_file():
        raise ValueError(f"{out} holds a run already; choose another folder")
    models, cards = zip(*(load_honest_run(name, "be a part of") for name in names))
    model, card = models[-1], cards[-1]
    for name, other in zip(names, cards):
        if other.model != card.model:
            raise ValueError(f"average: {name} is a {other.model} and {names[-1]} a {card.model}; only weights "
                             "of one network have a mean")
        if other.fingerprint != faces.fingerprint():
            raise ValueError(f"average: {name} was trained on other faces than {faces.source}; name its data with "
                             "--data")
    weights = [each.get_weights() for each in models]
    model.set_weights([np.mean(same, axis=0) for same in zip(*weights)])
    config = TrainConfig.from_dict(card.config)
    parts = split(faces, config.protocol, config.balance, config.seed)
    results, temperature = score_parts(model, zoo.network(config.model).spec, faces, parts)
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, model)
    files.write_bytes(out / "history.csv", (run_folder(names[-1]) / "history.csv").read_bytes())
    write_card(out, {**card.values, "name": out.name, "averaged": [other.name for other in cards],
                     "scores": results, "temperature": temperature})
    return out
