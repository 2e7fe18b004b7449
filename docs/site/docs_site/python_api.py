"""The reference of `import publius` as Markdown, from signatures and docstrings, which are only parsed."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import griffe

import publius

TITLES = {
    "constitution": "Constitutions",
    "critique": "Critique and revision",
    "labelers": "Labels",
    "training": "Training",
    "engines": "Engines",
    "evaluation": "Evaluation",
    "publius": "Runs and steering",
    "core": "Records, rewards and errors",
}
"""Title of the public names that are defined in each package, in the order of the page."""
_SECTIONS = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "returns": "Returns",
    "yields": "Yields",
    "raises": "Raises",
}
_WIDTH = 88


@cache
def python_reference() -> str:
    """Return the reference of all names in `publius.__all__`."""
    root = Path(publius.__file__).resolve().parent.parent
    loader = griffe.GriffeLoader(docstring_parser="google", search_paths=[root])
    for package in TITLES:
        loader.load(package)
    return "\n".join(_linked(line) for title, names in _by_title() for line in _group(loader, title, names))


def _by_title() -> list[tuple[str, list[str]]]:
    names: dict[str, list[str]] = defaultdict(list)
    for name in sorted(publius.__all__, key=str.lower):
        names[_place(name)[0].partition(".")[0]].append(name)
    return [(TITLES[package], names.pop(package)) for package in TITLES]


def _place(name: str) -> tuple[str, str]:
    """Return the module that defines a public name, and its name there."""
    module, _, attribute = publius._MODULE_OF[name].partition(":")
    return module, attribute or name


def _group(loader: griffe.GriffeLoader, title: str, names: list[str]) -> Iterator[str]:
    yield f"## {title}\n"
    for name in names:
        module, attribute = _place(name)
        yield from _public(name, module, loader.modules_collection[f"{module}.{attribute}"])


def _public(name: str, module: str, found: Any) -> Iterator[str]:
    """Yield heading, signature and docstring of a public name, and its methods."""
    yield f"### `publius.{name}`\n"
    keyword = "class " if found.is_class else "async def " if "async" in found.labels else "def "
    yield f"```python\n{keyword}{_signature(found, name)}\n```\n"
    yield f"Defined in `{module}`.\n"
    yield from _docstring(found)
    if found.is_class:
        yield from _fields(found)
        for method in found.functions.values():
            if not method.name.startswith("_") and method.docstring:
                yield from _method(name, method)


def _method(owner: str, method: Any) -> Iterator[str]:
    yield f"#### `{owner}.{method.name}`\n"
    decorator = "".join(f"@{label}\n" for label in ("classmethod", "staticmethod") if label in method.labels)
    keyword = "async def " if "async" in method.labels else "def "
    yield f"```python\n{decorator}{keyword}{_signature(method, method.name)}\n```\n"
    yield from _docstring(method)


def _signature(found: Any, name: str) -> str:
    """Return a signature, with an argument a line where it is long."""
    shown: str = found.signature(name=name, return_type=True) if found.is_function else _of_class(found, name)
    if len(shown) <= _WIDTH:
        return shown
    single = shown.replace("(", "(\n    ", 1)
    opening = single.index("(")
    depth, parts = 0, [single[: opening + 1]]
    for letter in single[opening + 1 :]:
        depth += (letter in "([{") - (letter in ")]}")
        parts.append("\n" + letter if letter == ")" and depth < 0 else letter)
        if letter == "," and depth == 0:
            parts.append("\n   ")
    return "".join(parts)


def _of_class(found: Any, name: str) -> str:
    """Return a class's signature; of settings and records its bases, since the table lists their fields."""
    if "dataclass" in found.labels or "__init__" in found.members:
        return str(found.signature(name=name))
    bases = ", ".join(str(base) for base in found.bases if not str(base).startswith("_"))
    return f"{name}({bases})" if bases else name


def _fields(found: Any) -> Iterator[str]:
    """Yield a table of the documented attributes and properties, those of base classes first."""
    named = {name: one for owner in reversed([found, *found.mro()]) for name, one in owner.attributes.items()}
    rows = [one for name, one in named.items() if not name.startswith("_") and one.docstring]
    if rows:
        yield "| attribute | meaning |\n|---|---|"
        for one in rows:
            meaning = " ".join(one.docstring.value.split())
            yield f"| {_declared(one)} | {meaning.replace('|', '&#124;')} |"
        yield ""


def _declared(attribute: Any) -> str:
    """Return name, type and default as code that a cell of a table may hold."""
    default = _default(attribute.value)
    annotation = f": {attribute.annotation}" if attribute.annotation else ""
    declared = f"{attribute.name}{annotation}" + (f" = {default}" if default else "")
    return f"`{' '.join(declared.split())}`".replace("|", "\\|")


def _default(value: object) -> str | None:
    """Return a default as it is written, without the limits that pydantic's `Field` adds to it."""
    if value is None:
        return None
    call = ast.parse(str(value), mode="eval").body
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "Field"):
        return str(value)
    named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if "default_factory" in named:
        return f"{named['default_factory']}()"
    return named.get("default") or next(
        (ast.unparse(one) for one in call.args if ast.unparse(one) != "..."), None
    )


def _docstring(found: Any) -> Iterator[str]:
    for section in found.docstring.parsed if found.docstring else ():
        kind = section.kind.value
        if kind in _SECTIONS:
            yield f"**{_SECTIONS[kind]}**\n"
            yield from (_entry(kind, one) for one in section.value)
            yield ""
        elif kind == "text":
            yield f"{section.value}\n"


def _entry(kind: str, one: Any) -> str:
    named = getattr(one, "name", None) if kind in ("parameters", "attributes") else one.annotation
    meaning = " ".join(one.description.split())
    return f"- `{named}`: {meaning}" if named else f"- {meaning}"


def _linked(line: str) -> str:
    """Return a line of text with public names in code as links to their sections."""
    if line.startswith(("#", "```", "| attribute")):
        return line
    return re.sub(r"(?<!\[)`(?:publius\.)?(\w+)`", _link, line)


def _link(found: re.Match[str]) -> str:
    name = found[1]
    return f"[{found[0]}](#publius{name.lower()})" if name in publius.__all__ else found[0]
