"""The site of notebooks, docs and model cards: Sphinx and MyST-NB show what is committed, and execute nothing.

Sphinx reads the repository's root, so each page keeps its path, and a relative link is true here as it is on GitHub.
"""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parent.parent
# Links to source files lead here: the address in CITATION.cff; in a workflow what GitHub says, also in a fork.
REPOSITORY = re.search(r"^repository-code: (\S+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
if "GITHUB_REPOSITORY" in os.environ:
    REPOSITORY = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
BRANCH = "main"

project = html_title = "Facial expression recognition"
copyright = "the authors of fer-utils, MIT License"
extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb", "data/README.md",
                    "models/README.md", "models/*/README.md"]
# Folders without pages are not searched; of data/ only README.md is committed.
exclude_patterns = [".*", "build", "_site", "data/[!R]*", "executed", "fer_utils", "figures", "site", "tests",
                    "models/runs"]

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4  # page.md#a-heading, as on GitHub

html_theme = "sphinx_book_theme"
html_theme_options = {"repository_url": REPOSITORY, "repository_branch": BRANCH, "use_repository_button": True,
                      "use_source_button": True, "launch_buttons": {"colab_url": "https://colab.research.google.com"},
                      "footer_content_items": ["copyright.html"],
                      "navbar_persistent": []}  # the side bar has the search field
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["start"]  # the site's index.html, which leads to docs/index.html


class SourceLinks(SphinxTransform):
    """Links to files that are no page of the site, such as ../fer_utils/metrics.py, lead to the repository.

    A link to what does not exist stays as it is, and Sphinx warns of it.
    """

    default_priority = 500  # before Sphinx copies the files that are linked to

    def apply(self, **kwargs: Any) -> None:
        """Replace such links."""
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for link in list(self.document.findall(kind)):
                path = self.target(link)
                if path is not None:
                    view = "tree" if path.is_dir() else "blob"
                    anchor = f"#{link['reftargetid']}" if link.get("reftargetid") else ""
                    address = f"{REPOSITORY}/{view}/{BRANCH}/{path.relative_to(ROOT).as_posix()}{anchor}"
                    link.replace_self(nodes.reference("", "", *link.children, refuri=address, internal=False))

    def target(self, link: nodes.Element) -> Path | None:
        """Return the file or folder that a link leads to; None where that is a page of the site, or nothing."""
        place = link["reftarget"]
        if link.get("refdomain") == "doc":  # MyST took the suffix away, and begins at the root
            places = [] if place in self.env.found_docs else [ROOT / f"{place}{end}" for end in (".md", ".ipynb")]
        else:
            places = [(Path(self.env.doc2path(self.env.docname)).parent / place).resolve()]
        return next((each for each in places if each.exists() and each.is_relative_to(ROOT)), None)


class FigureTexts(SphinxTransform):
    """A figure that code made has a text for readers who do not see it; else the file's name would be read to them."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Give a text to images without one."""
        for image in self.document.findall(nodes.image):
            image.setdefault("alt", "Figure made by the code above")


def setup(app: Sphinx) -> None:
    """Register the transforms."""
    app.add_transform(SourceLinks)
    app.add_transform(FigureTexts)
