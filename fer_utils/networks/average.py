"""One network whose weights are the mean of several."""
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.split import split
from . import zoo
from .recipes import TrainConfig
from .runs import run_folder
from .teach import honest_run
from .train import library_versions, save_model, score_parts, write_json


def average(names, faces, out):
    """Average the weights of trained runs of one network, which often errs less on strangers than any of them.

    Where one run started from another's weights their mean lies in one valley of the loss (Wortsman et al. 2022, "Model
    soups"); the mean of runs that have nothing in common is no better than chance.

    Parameters
    ----------
    names : sequence of str
        Two or more trained runs under the official protocol; one that is named twice counts twice. The card takes
        recipe and history from the last one.
    faces : FaceSet
        What all of them were trained on.
    out : Path
        The run folder to write.

    Returns
    -------
    Path
        `out`, holding ``model.keras``, ``history.csv`` and ``card.json``, whose ``averaged`` names the runs.

    Raises
    ------
    ValueError
        Fewer than two runs, runs of different networks, trained on other faces or on test faces, or `out` holds a
        run already.
    DataError
        A run is not there.
    """
    out = Path(out)
    if len(names) < 2:
        raise ValueError(f"average needs two trained runs or more, got {', '.join(names) or 'none'}")
    if (out / "card.json").is_file() or (out / "state.json").is_file():
        raise ValueError(f"{out} holds a run already; choose another folder")
    runs = [honest_run(name, "be a part of") for name in names]
    cards = [card for _, card in runs]
    model, card = runs[-1]
    for name, other in zip(names, cards):
        if other.model != card.model:
            raise ValueError(f"average: {name} is a {other.model} and {names[-1]} a {card.model}; only weights "
                             "of one network have a mean")
        if other.fingerprint != faces.fingerprint():
            raise ValueError(f"average: {name} was trained on other faces than {faces.source}; name its data with "
                             "--data")
    weights = [run.get_weights() for run, _ in runs]
    model.set_weights([np.mean(same, axis=0) for same in zip(*weights)])
    config = TrainConfig.from_dict(card.config)
    parts = split(faces, config.protocol, config.balance, config.seed)
    results, temperature = score_parts(model, zoo.network(config.model).spec, faces, parts)
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, model)
    pd.read_csv(run_folder(names[-1]) / "history.csv").to_csv(out / "history.csv", index=False)
    write_json(out / "card.json", {**card.values, "name": out.name, "averaged": [c.name for c in cards],
                                    "scores": results, "temperature": temperature, "versions": library_versions(),
                                    "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    return out
