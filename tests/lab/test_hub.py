"""Uploading, against a server that speaks the few calls of the Hugging Face Hub that an upload needs."""

import base64
import hashlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fer_utils import paths
from fer_utils.cli import main
from fer_utils.evaluation.model_card import model_card
from fer_utils.networks.card import Card

MODELS = Path(__file__).parents[2] / "models"
FILES = ["README.md", "model.keras", "model.onnx", "card.json", "history.csv"]
TOKEN = "hf_" + "a" * 34


class FakeHub(BaseHTTPRequestHandler):
    """Keeps repositories in `server.repos` (name → {"private", "files"}) and large files in `server.large`."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        repo = self.server.repos.get(self.path.removeprefix("/api/models/").split("?")[0])
        if repo is None:
            return self.answer(404, {"error": "not found"})
        self.answer(200, {"id": "x", "private": repo["private"], "siblings": [], "tags": []})

    def do_PUT(self):
        content = self.content()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self.answer(200, {})

    def do_POST(self):
        content = self.content()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            return self.create(json.loads(content))
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.path == "/verify":
            return self.answer(200 if json.loads(content)["oid"] in self.server.large else 404, {})
        if found := re.fullmatch(r"/api/models/(.+?)/preupload/main", self.path.split("?")[0]):
            files = [{"path": file["path"], "shouldIgnore": False, "oid": None,
                      "uploadMode": "lfs" if Path(file["path"]).suffix in (".keras", ".onnx") else "regular"}
                     for file in json.loads(content)["files"]]
            return self.answer(200, {"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [each | {"actions": {"upload": {"href": f"{self.server.url}/large"},
                                           "verify": {"href": f"{self.server.url}/verify"}}}
                       for each in json.loads(content)["objects"]]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/(.+?)/commit/main", self.path.split("?")[0]):
            return self.commit(found[1], [json.loads(line) for line in content.splitlines()])
        self.answer(404, {"error": f"no such call: {self.path}"})

    def create(self, wanted):
        repo = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] == "broken":
            return self.answer(500, {"error": "out of order"})
        if wanted["organization"] == "nobody":
            return self.answer(404, {"error": "no such owner"})
        if wanted["organization"] != "me":
            return self.answer(403, {"error": "not yours"})
        if repo in self.server.repos:
            return self.answer(409, {"error": "there already", "url": f"{self.server.url}/{repo}"})
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.server.repos[repo] = {"private": private, "files": {}}
        self.answer(200, {"url": f"{self.server.url}/{repo}", "id": "1"})

    def commit(self, repo, lines):
        files = self.server.repos[repo]["files"]
        for value in (line["value"] for line in lines if line["key"] == "file"):
            files[value["path"]] = base64.b64decode(value["content"])
        for value in (line["value"] for line in lines if line["key"] == "lfsFile"):
            files[value["path"]] = self.server.large[value["oid"]]
        self.answer(200, {"commitUrl": f"{self.server.url}/{repo}/commit/1", "commitOid": "1" * 40, "success": True})

    def content(self):
        length = self.headers["Content-Length"]
        if length is not None:
            return self.rfile.read(int(length))
        content = b""  # sent in chunks
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def models(monkeypatch):
    monkeypatch.setattr(paths, "MODELS", MODELS)


@pytest.fixture
def hub(models, tmp_path, monkeypatch):
    """A server where the owner "me" may upload with `TOKEN`."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.url, server.repos, server.large = f"http://127.0.0.1:{server.server_port}", {}, {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # large files go by LFS, which the server speaks
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def exhibit(tmp_path):
    """A folder of a network of the leaky protocol, with the weights of its twin."""
    folder = tmp_path / "leaky"
    shutil.copytree(MODELS / "cnn5_bn_leaky", folder)
    for name in ("model.keras", "model.onnx"):
        shutil.copy(MODELS / "cnn5_bn" / name, folder)
    return folder


def refused(capsys, *arguments):
    """Run a push that must fail; return the one sentence that it printed."""
    assert main(["push", *map(str, arguments)]) == 1
    captured = capsys.readouterr()
    [line] = [line for line in captured.err.splitlines() if line.startswith("fer_utils push: ")]
    assert captured.out == "" and "Traceback" not in captured.err
    return line


def test_what_is_uploaded_is_what_the_folder_holds(hub, capsys):
    assert main(["push", "fer_net_tiny", "me/tiny", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert f"{hub.url}/me/tiny" in said["done"] and not said["dry_run"]
    repo = hub.repos["me/tiny"]
    assert not repo["private"] and sorted(repo["files"]) == sorted(FILES)
    folder = MODELS / "fer_net_tiny"
    assert repo["files"]["README.md"].decode() == model_card(Card.read(folder))
    for name in FILES[1:]:
        assert repo["files"][name] == (folder / name).read_bytes(), name
    assert main(["push", "fer_net_tiny", "me/tiny"]) == 0, "the repository is there already"


def test_private_is_private_or_refused(hub, capsys):
    assert main(["push", "fer_net_tiny", "me/secret", "--private"]) == 0
    assert hub.repos["me/secret"]["private"] and len(hub.repos["me/secret"]["files"]) == len(FILES)
    capsys.readouterr()
    hub.repos["me/open"] = {"private": False, "files": {}}
    assert "public, so nothing was uploaded" in refused(capsys, "fer_net_tiny", "me/open", "--private")
    assert hub.repos["me/open"]["files"] == {}


def test_an_exhibit_is_uploaded_only_where_that_is_asked_for(hub, exhibit, capsys):
    assert "is an exhibit" in refused(capsys, exhibit, "me/leaky")
    assert hub.repos == {}
    assert main(["push", str(exhibit), "me/leaky", "--exhibit"]) == 0
    assert b"> **Exhibit." in hub.repos["me/leaky"]["files"]["README.md"]


@pytest.mark.parametrize("repo, words", [("others/net", "may not write to others/net (403)"),
                                         ("nobody/net", "has no nobody/net"), ("broken/net", "(500: ")])
def test_what_the_hub_refuses_is_one_sentence(hub, capsys, repo, words):
    assert words in refused(capsys, "fer_net_tiny", repo)


def test_tokens_that_are_missing_or_wrong(hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not know this token (401)" in refused(capsys, "fer_net_tiny", "me/net")
    monkeypatch.delenv("HF_TOKEN")
    assert "no token for the Hugging Face Hub was found" in refused(capsys, "fer_net_tiny", "me/net")
    assert hub.repos == {}


def test_a_token_of_letters_that_no_token_has(hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_ü")
    assert "no usable token for the Hugging Face Hub was found" in refused(capsys, "fer_net_tiny", "me/net")


def test_no_network(hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    said = refused(capsys, "fer_net_tiny", "me/net")
    assert "the upload of me/net to http://127.0.0.1:9 failed (" in said and "is online" in said


# ---- what needs neither the package nor a network ----

def test_a_dry_run_says_what_would_be_uploaded(models, capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["push", "fer_net_tiny", "me/tiny", "--dry-run", "--private"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "would upload to http://127.0.0.1:9/me/tiny (private):"
    assert [line.split()[0] for line in said[1:]] == FILES
    assert said[2].split()[1] == f"{(MODELS / 'fer_net_tiny' / 'model.keras').stat().st_size / 1e3:,.0f}"


@pytest.mark.parametrize("arguments, words", [
    (["vgg16", "me/net"], "no weights (model.keras)"), (["vgg61", "me/net"], "no trained network 'vgg61'"),
    (["fer_net", "net"], "write OWNER/NAME"), *((["fer_net", repo], "write OWNER/NAME") for repo in (
        "me/a net", "me/..", "me/-a", "me/a--b", "me/a\n", "mé/a", "me/a.git", "/a", "me/" + "a" * 97))])
def test_what_cannot_be_uploaded_is_one_sentence(models, capsys, arguments, words):
    assert words in refused(capsys, *arguments, "--dry-run")


def test_a_missing_onnx_file_is_written_by_export(models, exhibit, capsys):
    exhibit = exhibit.rename(exhibit.with_name("my net"))
    (exhibit / "model.onnx").unlink()
    said = refused(capsys, exhibit, "me/net", "--exhibit", "--dry-run")
    assert said.endswith(f"empty or not there; write it with: python -m fer_utils export '{exhibit}'")


@pytest.mark.parametrize("name, content, words", [
    ("model.onnx", b"x", "not readable by ONNX Runtime"), ("model.onnx", b"", "empty or not there"),
    ("model.onnx", "cnn_rgb100", "takes faces of the shape (100, 100, 3)"),
    ("model.onnx", "fer_net", "another size than"),
    ("model.keras", b"x", "is no Keras model"), ("history.csv", b"", "empty or not there")])
def test_damaged_files_and_those_of_another_network_are_not_uploaded(models, exhibit, capsys, name, content, words):
    (exhibit / name).write_bytes(content if isinstance(content, bytes) else (MODELS / content / name).read_bytes())
    said = refused(capsys, exhibit, "me/net", "--exhibit", "--dry-run")
    assert f"{exhibit / name}: " in said and words in said


def test_an_endpoint_that_is_no_address(models, capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "HF_ENDPOINT is 'nonsense', which is no address" in refused(capsys, "fer_net_tiny", "me/net", "--dry-run")


def test_without_the_package_it_says_what_to_install(models, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install" in refused(capsys, "fer_net_tiny", "me/net")
