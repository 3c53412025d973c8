"""Upload a trained network to the Hugging Face Hub."""

import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, need
from ..evaluation.markdown import shell_word
from ..evaluation.model_card import model_card
from ..networks.card import Card
from ..networks.runs import read_card

if TYPE_CHECKING:  # an optional package
    from huggingface_hub.errors import HfHubHTTPError

_PART = r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*"  # of a repository's name
_FILES = ("model.keras", "model.onnx", "card.json", "history.csv")


def files_to_push(name: Path | str, exhibit: bool = False) -> dict[str, Path | bytes]:
    """Return what is uploaded of a trained network: README.md, its page as bytes, and the paths of its other files.

    DataError: there is no such network, a file is missing, or it is an exhibit and `exhibit` does not allow that.
    """
    card = read_card(name)
    if card.adopted:
        raise DataError(f"{card.name} is {card.origin}. It is not uploaded; point people to where it is from")
    if not (card.folder / "model.keras").is_file():
        raise DataError(f"{card.folder}: holds only results, no weights (model.keras), so there is nothing to upload; "
                        "its README.md says how to train it again")
    if not card.honest and not exhibit:
        raise DataError(f"{card.name} is an exhibit: it was trained under the leaky protocol, so its scores flatter; "
                        "--exhibit uploads it all the same, and its page says what it is")
    export = f"python -m fer_utils export {shell_word(name)}"
    for file in (card.folder / name for name in _FILES):
        if not file.is_file() or not file.stat().st_size:
            remedy = f"write it with: {export}" if file.suffix == ".onnx" else "train it again"
            raise DataError(f"{file}: empty or not there; {remedy}")
    _check_weights(card, export)
    return {"README.md": model_card(card).encode(), **{name: card.folder / name for name in _FILES}}


def _check_weights(card: Card, export: str) -> None:
    """Raise DataError where a model file is damaged, or model.onnx is of another network than the card."""
    import onnxruntime

    keras, onnx = card.folder / "model.keras", card.folder / "model.onnx"
    if not zipfile.is_zipfile(keras):
        raise DataError(f"{keras}: is no Keras model; fetch it again or train it again")
    try:
        session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise DataError(f"{onnx}: not readable by ONNX Runtime ({error}); write it again with: {export}") from error
    shape = tuple(session.get_inputs()[0].shape[1:])
    if shape != card.spec.input_shape:
        raise DataError(f"{onnx}: takes faces of the shape {shape}, but the network of its card.json takes "
                        f"{card.spec.input_shape}; write it again with: {export}")
    if not 2 * card.parameters < onnx.stat().st_size < 8 * card.parameters:  # four bytes each
        raise DataError(f"{onnx}: has another size than {card.parameters:,} parameters, so it is another network than "
                        f"its card.json's; write it again with: {export}")


def push_model(name: Path | str, repo: str, private: bool = False, exhibit: bool = False, dry_run: bool = False) -> str:
    """Upload a trained network into the repository "owner/name" of the Hub, which is made if it is not there.

    Returns what was done, or with `dry_run` what would be done, as text. DataError as in `files_to_push`, or because a
    token or the owner's permission is missing; MissingExtraError; RuntimeError: the upload failed.
    """
    if not re.fullmatch(f"{_PART}/{_PART}", repo) or repo.endswith(".git") or len(repo.split("/")[1]) > 96:
        raise DataError(f"{repo!r} is no name of a repository; write OWNER/NAME, such as your-name/my-network, in "
                        "letters from a to z, digits, and single dots, hyphens and underscores within")
    files = files_to_push(name, exhibit)
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not re.match("https?://.", endpoint):
        raise DataError(f"HF_ENDPOINT is {endpoint!r}, which is no address; unset it, or write one that begins with "
                        "https://")
    listed = "\n".join(f"  {file:12} {_size(content) / 1e3:8,.0f} kB" for file, content in files.items())
    if dry_run:
        return f"would upload to {endpoint}/{repo} ({'private' if private else 'public'}):\n{listed}"
    need("huggingface_hub")
    url = _upload(files, repo, private, endpoint)
    return f"uploaded to {url}:\n{listed}"


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _upload(files: dict[str, Path | bytes], repo: str, private: bool, endpoint: str) -> str:
    """Make the repository where it is not there, and put the files into it in one commit; return its address."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    token = huggingface_hub.get_token()
    if token is None or not token.isascii():
        raise DataError(f"no {'token' if token is None else 'usable token'} for the Hugging Face Hub was found: make "
                        "one with write permission at https://huggingface.co/settings/tokens, then run: hf auth login "
                        "(or set HF_TOKEN)")
    api = huggingface_hub.HfApi(endpoint, library_name="fer_utils")
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        # One that was there keeps its setting.
        if private and not api.model_info(repo).private:
            raise DataError(f"{made} is there and public, so nothing was uploaded; make it private on its page, or "
                            "name another")
        api.create_commit(repo, [huggingface_hub.CommitOperationAdd(file, content) for file, content in files.items()],
                          commit_message="Upload a network and its page")
    except DataError:
        raise
    except HfHubHTTPError as error:
        raise DataError(_refusal(error, repo)) from error
    except Exception as error:  # which ones depends on the HTTP library of its version
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RuntimeError(f"the upload of {repo} to {endpoint} failed ({reason}); check that this computer is online, "
                           "then run the same command again") from error
    return str(made)


def _refusal(error: "HfHubHTTPError", repo: str) -> str:
    """Say in one sentence what the Hub's answer means and what to do."""
    status = error.response.status_code
    if status == 401:
        return ("the Hugging Face Hub does not know this token (401): make a new one at "
                "https://huggingface.co/settings/tokens, then run: hf auth login (or set HF_TOKEN)")
    if status == 403:
        return (f"this token may not write to {repo} (403): take a token with write permission, or name a repository "
                "of your own")
    if status == 404:
        return f"the Hugging Face Hub has no {repo} and could not make it (404): is its owner's name right?"
    said = error.server_message or str(error).strip().splitlines()[0]
    return f"the Hugging Face Hub refused the upload of {repo} ({status}: {said}); try again later"
