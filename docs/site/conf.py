"""Settings of the documentation site (Sphinx): `make docs` builds docs/ into site/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from docs_site.llms import write_texts  # noqa: E402
from docs_site.pages import expanded, generated  # noqa: E402
from pygments.lexers.data import JsonLexer  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Publius"
html_title = "Publius"
extensions = ["myst_parser"]
exclude_patterns = ["site", "pictures", "**.ipynb"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
highlight_language = "text"
pygments_style = "default"
nitpicky = True
smartquotes = False


def setup(app: Sphinx) -> None:
    """Make the generated parts of pages, and the texts for language models."""
    app.connect("source-read", lambda _, name, source: source.__setitem__(0, expanded(source[0], name)))
    app.connect(
        "env-get-outdated", lambda *_: generated()
    )  # their code may have changed, where their file has not
    app.add_lexer("jsonl", JsonLexer)
    app.add_lexer("csv", TextLexer)
    app.connect("build-finished", _finished)


def _finished(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.name == "html":
        write_texts(Path(app.outdir))
