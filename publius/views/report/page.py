"""The page of a report: one HTML file with its style, script, data and plots, which fetches nothing.

Model and user text reaches the page in two ways: through autoescaped templates, and as data in a JSON block
whose characters cannot end it, which the script inserts as text. The content security policy allows only the
page's own style and script, by their hashes, and no request, so that a mistake in either would still run and
load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from core.text.similarity import word_changes
from publius.views.report.contents import ReportContents
from publius.views.report.figures import Figure

GENERATOR = "Publius report"
"""Content of the page's `generator`, by which an older report is told from other files."""
_PACKAGE = "publius.views.report"


def render_page(contents: ReportContents, created: str, version: str) -> str:
    """Return the page.

    Args:
        contents: what it shows.
        created: when the report was made.
        version: version of Publius.
    """
    style, script = _static("report.css"), _static("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=contents,
            created=created,
            version=version,
            generator=GENERATOR,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            data=json_block(_data(contents)),
            numbers=json_block({"version": 1, **contents.book.as_json()}),
        )
    )


def _data(contents: ReportContents) -> dict[str, Any]:
    """Return the data that the script shows."""
    more = {
        "flips": contents.flips,
        "decisions": contents.decisions,
        "keys": contents.keys,
        "pair": contents.pair,
    }
    return {**contents.data.as_json(), **more}


def json_block(value: Any) -> Markup:
    """Return JSON for a `script` element: no character in it can end the element or begin another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _static(name: str) -> str:
    return files(_PACKAGE).joinpath("static", name).read_text(encoding="utf-8")


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader(_PACKAGE, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters |= {"number": _number, "value": _value, "parts": _parts, "bar": _bar, "words": _words}
    return environment


def _number(figure: Figure | str | None, text: str | None = None) -> Markup:
    """Return a figure with its name, so that what is shown can be compared with the embedded numbers."""
    if figure is None:
        return Markup("")
    if isinstance(figure, str):
        return Markup.escape(figure)
    template = Markup('<data value="{}" data-name="{}">{}</data>')
    return template.format(repr(figure.value), figure.name, figure.text if text is None else text)


def _value(figure: Figure | None, bare: bool = False) -> Markup:
    """Return a figure with its interval, with or without its unit."""
    if figure is None:
        return Markup("")
    number = _number(figure, figure.bare if bare else None)
    if figure.interval:
        number += Markup(' <span class="interval">({})</span>').format(figure.interval)
    return number


def _parts(parts: tuple[str | Figure, ...]) -> Markup:
    """Return the texts and figures of a sentence."""
    return Markup("").join(_number(part) for part in parts)


def _bar(figure: Figure) -> Markup:
    """Return a share as a bar with its interval; SVG, since the policy allows no inline styles."""
    value, low, high = (
        100 * min(1.0, max(0.0, end or 0.0)) for end in (figure.value, figure.low, figure.high)
    )
    whisker = Markup("")
    if figure.low is not None and figure.high is not None:
        whisker = Markup('<rect class="whisker" x="{}%" y="42%" width="{}%" height="16%"/>').format(
            f"{low:.2f}", f"{max(0.3, high - low):.2f}"
        )
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect class="track" width="100%" height="100%"/>'
        '<rect class="fill" width="{}%" height="100%"/>{}</svg>'
    ).format(f"{value:.2f}", whisker)


def _words(before: Any, after: Any) -> Markup:
    """Return the word diff of two values; values that are not texts are shown as JSON."""
    old, new = (
        ("" if v is None else v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
        for v in (before, after)
    )
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    changes = word_changes(old.split(), new.split())
    return Markup(" ").join(Markup(tags[kind]).format(" ".join(words)) for words, kind in changes)
