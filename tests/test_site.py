"""What people read: each page is on the site, and no link or image in Markdown or notebooks is dead."""

import functools
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mistune  # Jupyter brings it
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
CARDS = sorted((ROOT / "models").glob("*/README.md"))
# The pages of the site, beside its start page.
PAGES = [*NOTEBOOKS, *CARDS, ROOT / "models" / "README.md", ROOT / "data" / "README.md",
         *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "index.md")]
PROSE = [*PAGES, ROOT / "docs" / "index.md", *sorted(ROOT.glob("*.md"))]
[REPOSITORY] = re.findall(r"^repository-code: https://github.com/(.+)", (ROOT / "CITATION.cff").read_text(), re.M)
# The project's files on the web.
OWN = re.compile(rf"https://(?:github|colab\.research\.google)\.com/(?:github/)?{REPOSITORY}/(?:blob|tree)/main/([^#?]+)")
SPHINX = ROOT / "build" / "site-env" / "bin" / "python"  # `make site` makes it


class Links(HTMLParser):
    """The addresses that a page leads to and loads, and the places in it that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.leads, self.loads, self.places, self.figures = [], [], set(), 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get("href"):
            (self.loads if tag == "link" else self.leads).append(given["href"])
        if given.get("src"):
            self.loads.append(given["src"])
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        self.figures += given.get("alt") == "Figure made by the code above"


@functools.cache
def markdown(path):
    """Return a page's Markdown; a notebook's is that of its cells and outputs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)  # a model card's metadata
    cells = json.loads(text)["cells"]
    shown = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    shown += [output["data"]["text/markdown"] for cell in cells for output in cell.get("outputs", [])
              if "text/markdown" in output.get("data", {})]
    return "\n\n".join("".join(each) for each in shown)


@functools.cache
def headings(path):
    """Return the names by which GitHub and the site link to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", markdown(path), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def dead(path, address):
    """Say whether an address on a page leads to no file or heading of the project; the rest of the web is not asked."""
    parts = urlsplit(address)
    if own := OWN.match(address):
        return not (ROOT / unquote(own[1])).exists()
    if parts.scheme or parts.netloc:
        return address.startswith("https://colab.research.google.com/github/")  # of another project
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(parts.fragment) and target.suffix in (".md", ".ipynb") and parts.fragment not in headings(target)


def test_every_page_is_in_the_table_of_contents():
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    entries = [line for tree in trees for line in tree.split("\n") if line.startswith("/")]
    listed = {path for entry in entries for end in (".md", ".ipynb") for path in ROOT.glob(entry[1:] + end)}
    assert len(NOTEBOOKS) >= 16 and listed == {*PAGES, ROOT / "docs" / "index.md"}


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_images_are_there(path):
    page = Links(mistune.html(markdown(path)))
    assert [address for address in page.leads + page.loads if dead(path, address)] == []


def test_dead_links_are_noticed():
    page = ROOT / "docs" / "index.md"
    assert dead(page, "nowhere.md") and dead(page, "../../beside.md") and dead(page, "#nowhere")
    assert dead(page, "../data/README.md#nowhere") and not dead(page, "../data/README.md#layouts-that-are-recognised")
    colab = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks"
    assert dead(page, f"{colab}/nowhere.ipynb") and dead(page, f"{colab.replace(REPOSITORY, 'a/b')}/03_train.ipynb")
    assert not dead(page, f"{colab}/03_train.ipynb")
    assert Links(mistune.html("[a](x.md) ![b](y.png) <img src='z.png'>")).loads == ["y.png", "z.png"]


# ---- the pages that are built ----

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make site` does; a warning fails."""
    if not SPHINX.exists():
        pytest.skip("Sphinx is not here: `make site` installs it")
    place = tmp_path_factory.mktemp("site")
    built = subprocess.run([SPHINX, "-m", "sphinx", "--fail-on-warning", "--quiet", "--jobs", "auto", "-c", "docs",
                            "-d", place / "cache", ".", place / "site"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return place / "site"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
            if not {"_static", "_sources"} & set(path.relative_to(site).parts)}


def test_every_page_is_built_with_the_figures_of_its_outputs(site, pages):
    for path in PAGES:
        page = pages[site / path.relative_to(ROOT).with_suffix(".html")]
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path in NOTEBOOKS else []
        outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
        assert page.figures == sum(bool({"image/png", "image/jpeg"} & set(data)) for data in outputs), path


def test_no_built_link_is_dead(site, pages):
    for path, page in pages.items():
        for address in page.leads + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            assert target.is_file() and target.is_relative_to(site.resolve()), f"{path.relative_to(site)}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].places, f"{path.relative_to(site)}: {address}"


def test_links_to_source_files_lead_to_the_repository(pages):
    shown = {parts.path.partition("/blob/main/")[2] for page in pages.values()
             for parts in map(urlsplit, page.leads) if "/blob/main/" in parts.path}
    assert {"fer_utils/metrics.py", "README.md", "notebooks/03_train.ipynb"} <= shown
    assert [place for place in shown if not (ROOT / unquote(place)).is_file()] == []


def test_nothing_is_loaded_from_elsewhere(pages):
    assert {address for page in pages.values() for address in page.loads if urlsplit(address).netloc} == set()
