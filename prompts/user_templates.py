"""Templates of the user's own: a folder of `.j2` files that replace the built-in ones by name.

All files are checked before anything runs: their syntax, the constructs that they use, the values that they
name, and by rendering them with sample values. A template can show the values that it is given and choose
between texts. It cannot call anything, reach attributes of objects, include files or loop over anything but
the lists that it is given, so a folder of templates can be passed on like a constitution.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError, nodes

from constitution.schema import Principle
from core.chat import Untrusted
from core.errors import ConfigError, Problem, shell_command
from core.store.files import os_errors, write_atomic
from prompts.environment import (
    DECISION_TEMPLATES,
    JUDGE_TEMPLATES,
    TEMPLATE_BLOCKS,
    TEMPLATES,
    PromptTemplates,
    make_environment,
)

TEMPLATE_SUFFIX = ".j2"
REPLACEABLE = (*TEMPLATES, *DECISION_TEMPLATES, *JUDGE_TEMPLATES)
"""Names of all templates that a folder may have."""
MAX_TEMPLATE = 20_000
"""Maximum length of a template: text that is inserted into every request."""
_MAX_LOOPS = 2
"""Maximum number of loops inside each other."""
_MAX_NESTING = 80
"""Maximum number of nodes of the syntax tree inside each other; Python compiles about a hundred."""
_MEMBER_LISTS = ("examples", "replies")
"""Lists inside the values: the fields that a loop may go over."""
_NESTED = "a template with fewer parentheses, conditions or `not` inside each other"

_FILTERS = (
    "capitalize",
    "count",
    "d",
    "default",
    "first",
    "last",
    "length",
    "lower",
    "title",
    "trim",
    "upper",
)
_ALLOWED = (
    nodes.And,
    nodes.Assign,
    nodes.Block,
    nodes.Compare,
    nodes.CondExpr,
    nodes.Const,
    nodes.Dict,
    nodes.Filter,
    nodes.For,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.Keyword,
    nodes.List,
    nodes.Name,
    nodes.Neg,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.Pair,
    nodes.Sub,
    nodes.Template,
    nodes.TemplateData,
    nodes.Test,
    nodes.Tuple,
)
_ACCEPTED = (
    "text, values, if, for, set and the filters "
    f"{', '.join(_FILTERS)}; no calls, macros, includes or other operators"
)
_CONVERSATION = (
    {"role": "system", "content": Untrusted("s")},
    {"role": "user", "content": Untrusted("u")},
    {"role": "assistant", "content": Untrusted("a")},
    {"role": "user", "content": Untrusted("v")},
)
_ABOUT_ONE = {"principle": None, "preamble": "p", "passage": Untrusted("t"), "fence": "====="}
_CRITIC = {
    **_ABOUT_ONE,
    "question": Untrusted("q"),
    "reply": Untrusted("a"),
    "finding": "it has 9 words, and the limit is 5",
}
_LABELER = {**_ABOUT_ONE, "conversation": _CONVERSATION}
_STATE = {"conversation": _CONVERSATION, "fence": "====="}
_EXAMPLE = {
    "prompt": Untrusted("x"),
    "replies": (
        {"name": "A", "text": Untrusted("g"), "answer": "yes"},
        {"name": "B", "text": Untrusted("b"), "answer": "no"},
    ),
    "better": "A",
}
TEMPLATE_VALUES: Mapping[str, Mapping[str, Any]] = {
    "critique": _CRITIC,
    "revision": {**_CRITIC, "critique": Untrusted("c")},
    "comparison": {**_LABELER, "reply_a": Untrusted("a"), "reply_b": Untrusted("b")},
    "pointwise": {**_LABELER, "reply": Untrusted("r")},
    "system": {"principles": (), "preamble": "p", "strict": True},
    "decision_pair": {**_STATE, "reply_a": Untrusted("a"), "reply_b": Untrusted("b")},
    "decision_reply": {**_STATE, "reply": Untrusted("r")},
    "decision_question": {**_ABOUT_ONE, "examples": (_EXAMPLE,), "pair": True},
    "symmetric": {**_LABELER, "reply": Untrusted("r"), "letter": "A"},
    "rating": {**_LABELER, "reply": Untrusted("r"), "points": 5},
    "contrastive": {"principle": None, "opposed": True},
    "reasoned": {**_LABELER, "reply_a": Untrusted("a"), "reply_b": Untrusted("b")},
    "reasoned_verdict": {"principle": None},
    "rubric": {**_LABELER, "reply": Untrusted("r"), "points": 5},
    "pointwise_breaks": {**_LABELER, "reply": Untrusted("r")},
    "decision_breaks": {**_ABOUT_ONE, "examples": (_EXAMPLE,)},
}
"""Sample values of each template, by name."""
_Seen = tuple[int, str, str]
"""Line (0 for the whole file), mistake, and what is accepted."""
_EMPTY = {
    "preamble": "",
    "passage": None,
    "finding": None,
    "critique": None,
    "strict": False,
    "examples": (),
    "pair": False,
    "opposed": False,
}
"""Values that may be absent, with what is given then."""
_SHOWN = {
    "comparison": ("conversation", "reply_a", "reply_b"),
    "pointwise": ("conversation", "reply"),
    "system": ("principles",),
    "decision_pair": ("conversation", "reply_a", "reply_b"),
    "decision_reply": ("conversation", "reply"),
    "decision_question": ("principle",),
    "symmetric": ("conversation", "reply", "letter"),
    "rating": ("conversation", "reply", "points"),
    "contrastive": ("principle", "opposed"),
    "reasoned": ("conversation", "reply_a", "reply_b"),
    "rubric": ("conversation", "reply", "points"),
    "pointwise_breaks": ("conversation", "reply"),
    "decision_breaks": ("principle",),
}
"""Values without which a request makes no sense."""
_OPTIONAL: Mapping[str, object] = {
    "section": "s",
    "source": "#a",
    "antithesis": "y",
    "critique": "c",
    "revision": "r",
    "comparison": "x",
    "applies_to": {"tags": ["t"], "pattern": "p"},
    "except": {"tags": ["t"]},
    "examples": [
        {"prompt": "q", "good": "g", "bad": "b", "why": "w", "use": "few_shot"},
        {"prompt": "q", "good": "g", "bad": "b"},
    ],
    "check": {"kind": "max_words", "value": 5},
}
"""Fields that a principle may lack. Each is tried alone, and each is left out of all, for every branch."""


def _principle(**fields: object) -> Principle:
    return Principle.model_validate({"id": "one", "text": "The reply is short.", **fields})


_PRINCIPLES = (
    _principle(),
    _principle(**_OPTIONAL),
    _principle(**{**_OPTIONAL, "check": {"kind": "contains", "value": ["a", "b"]}}),
    *(_principle(**{name: value}) for name, value in _OPTIONAL.items()),
    *(_principle(**{n: v for n, v in _OPTIONAL.items() if n != name}) for name in _OPTIONAL),
)


def user_templates(folder: Path | None) -> PromptTemplates:
    """Return the templates of a run: the built-in ones, with the user's in their place.

    Raises:
        ConfigError: the folder is missing or empty, a file has an unknown name, or a template is wrong; one
            line for each mistake, with file and line.
    """
    if folder is None:
        return PromptTemplates()
    sources = _read(folder)
    mistakes = [mistake for name, text in sources.items() for mistake in _mistakes(folder, name, text)]
    if mistakes:
        raise ConfigError.of(mistakes)
    return PromptTemplates(sources, folder=str(folder))


def write_templates(folder: Path, sources: Mapping[str, str]) -> list[Path]:
    """Write templates to a folder, one file each; return the files."""
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}{TEMPLATE_SUFFIX}" for name in sources]
        for path, text in zip(paths, sources.values(), strict=True):
            write_atomic(path, text)
    return paths


def init_templates(folder: Path) -> list[Path]:
    """Write the built-in templates to a folder, to be edited; return the files.

    Raises:
        ConfigError: one of the files exists; nothing is written then.
    """
    taken = sorted(
        f"{name}{TEMPLATE_SUFFIX}" for name in REPLACEABLE if (folder / f"{name}{TEMPLATE_SUFFIX}").exists()
    )
    if taken:
        raise ConfigError(
            f"the folder already contains {', '.join(taken)}; nothing was written",
            where=str(folder),
            accepted="a new or empty folder",
        )
    shipped = PromptTemplates()
    return write_templates(folder, {k: v for part in shipped.families for k, v in part.sources.items()})


def _read(folder: Path) -> dict[str, str]:
    """Return the text of the folder's templates by name."""
    accepted = f"a folder with one or more of {', '.join(f'{name}{TEMPLATE_SUFFIX}' for name in REPLACEABLE)}"
    advice = shell_command("publius", "init", "--templates", folder)
    if not folder.is_dir():
        raise ConfigError("no such folder", where=f"templates: {folder}", accepted=accepted, run=advice)
    with os_errors(folder):
        paths = sorted(path for path in folder.iterdir() if path.suffix == TEMPLATE_SUFFIX)
    unknown = [path for path in paths if path.stem not in REPLACEABLE]
    if unknown:
        raise ConfigError.of([_unknown(path) for path in unknown])
    if not paths:
        raise ConfigError(
            "the folder has no templates", where=f"templates: {folder}", accepted=accepted, run=advice
        )
    found = {}
    for path in paths:
        with os_errors(path):
            try:
                found[path.stem] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ConfigError("the file is not UTF-8 text", where=str(path)) from error
    return found


def _unknown(path: Path) -> Problem:
    near = get_close_matches(path.stem, REPLACEABLE, 1)
    meant = f" (did you mean {near[0]}{TEMPLATE_SUFFIX}?)" if near else ""
    names = ", ".join(f"{name}{TEMPLATE_SUFFIX}" for name in REPLACEABLE)
    return Problem(f"unknown template {path.name}{meant}", str(path), names)


@lru_cache(maxsize=64)  # a command reads the folder several times
def _mistakes(folder: Path, name: str, text: str) -> tuple[Problem, ...]:
    return tuple(_found(folder, name, text))


def _found(folder: Path, name: str, text: str) -> Iterator[Problem]:
    """Yield the mistakes of a template, those that can be seen without rendering it first."""
    path = str(folder / f"{name}{TEMPLATE_SUFFIX}")
    if len(text) > MAX_TEMPLATE:
        yield Problem(f"the template has {len(text):,} characters", path, f"at most {MAX_TEMPLATE:,}")
        return
    try:
        tree = make_environment().parse(text)
        if _depth(tree) > _MAX_NESTING:
            raise RecursionError
        found = sorted(set(_seen(name, tree)))
    except TemplateSyntaxError as error:
        yield Problem(f"syntax error: {error.message}", f"{path}:{error.lineno}", "a Jinja template")
        return
    except RecursionError:
        yield Problem("the template is nested too deeply", path, _NESTED)
        return
    except ValueError as error:  # such as an integer of thousands of digits
        yield Problem(f"the template cannot be read: {error}", path, "a Jinja template")
        return
    for line, what, accepted in found:
        yield Problem(what, f"{path}:{line}" if line else path, accepted)
    if not found:
        yield from _rendering_mistakes(folder, name, text)


def _seen(name: str, tree: nodes.Template) -> Iterator[_Seen]:
    """Yield line, mistake and what is accepted, for each mistake in a template's syntax tree."""
    blocks = {block.name for block in tree.find_all(nodes.Block)}
    of_text = TEMPLATE_BLOCKS.get(name, ("user",))
    for block in of_text:
        if block not in blocks:
            yield 0, f"the template has no block `{block}`", f"{{% block {block} %}}...{{% endblock %}}"
    # Nothing is written behind a typed question, so nothing can be begun.
    known = of_text if name in DECISION_TEMPLATES else (*of_text, "prefill")
    for block in sorted(blocks - {*known}):
        yield 0, f"unknown block {block!r}", f"the blocks {' and '.join(f'`{block}`' for block in known)}"
    if _depth(tree, nodes.For) > _MAX_LOOPS:
        yield 0, "more than two loops are inside each other", "at most two"
    yield from _constructs(tree)
    yield from _loops(name, tree)
    yield from _names(name, tree)


def _constructs(tree: nodes.Template) -> Iterator[_Seen]:
    """Yield the constructs that templates may not use."""
    for node in tree.find_all(nodes.Node):
        if what := _forbidden(node):
            yield node.lineno, what, _ACCEPTED


def _loops(name: str, tree: nodes.Template) -> Iterator[_Seen]:
    """Yield the loops over anything but a list that the template is given.

    A text can be long, and two loops over its characters take the square of its length.
    """

    def is_member_list(node: nodes.Node) -> bool:
        if not isinstance(node, nodes.Getattr) or node.attr not in _MEMBER_LISTS:
            return False
        return isinstance(node.node, nodes.Name) and node.node.name not in made

    made = {
        name.name
        for assigned in tree.find_all(nodes.Assign)
        for name in (assigned.target, *assigned.target.find_all(nodes.Name))
        if isinstance(name, nodes.Name)
    }
    lists = [value for value, sample in TEMPLATE_VALUES[name].items() if isinstance(sample, (tuple, list))]
    accepted = ", ".join((*lists, *(f"VALUE.{member}" for member in _MEMBER_LISTS)))
    for loop in tree.find_all(nodes.For):
        is_list = isinstance(loop.iter, nodes.Name) and loop.iter.name in lists
        if not is_list and not is_member_list(loop.iter):
            yield loop.lineno, "a loop goes over something that is not a list of the template", accepted
        for inner in loop.find_all(nodes.For):
            if not is_member_list(inner.iter):
                what = "a loop inside another one goes over a whole list"
                yield inner.lineno, what, ", ".join(f"VALUE.{member}" for member in _MEMBER_LISTS)
    for node in tree.find_all(nodes.Name):
        if node.ctx == "store" and node.name in lists:
            yield node.lineno, f"the value {node.name!r} is replaced", "another name"


def _names(name: str, tree: nodes.Template) -> Iterator[_Seen]:
    """Yield the unknown values and fields that a template names, and the values that it lacks."""
    values, found = TEMPLATE_VALUES[name], list(tree.find_all(nodes.Name))
    known = {*values, "loop", *(node.name for node in found if node.ctx == "store")}
    for node in found:
        if node.ctx == "load" and node.name not in known:
            yield node.lineno, f"unknown value {node.name!r}", ", ".join(values)
    for part in tree.find_all(nodes.Getattr):
        if part.node == nodes.Name("principle", "load") and part.attr not in Principle.model_fields:
            yield part.lineno, f"a principle has no field {part.attr!r}", ", ".join(Principle.model_fields)
    used = {node.name for node in found}
    for needed in _SHOWN.get(name, ()):
        if needed not in used:
            yield 0, f"the template never shows {needed}", f"a template with {{{{ {needed} }}}}"
    if name in ("comparison", "pointwise", *JUDGE_TEMPLATES):
        yield from _values_in_prefill(tree)


def _values_in_prefill(tree: nodes.Template) -> Iterator[_Seen]:
    """Yield the values in a labeler's prefill: its answer tokens are looked up once, for all requests."""
    for block in tree.find_all(nodes.Block):
        for node in block.find_all(nodes.Name) if block.name == "prefill" else ():
            yield node.lineno, f"the prefill uses the value {node.name!r}", "a prefill without values"


def _forbidden(node: nodes.Node) -> str | None:
    """Return what is wrong with a node of the tree, or None."""
    if isinstance(node, nodes.Filter):
        # Arguments of a filter are its own; the text of a value cannot be filtered at all.
        return None if node.name in _FILTERS else f"the filter {node.name!r} is not available"
    if isinstance(node, nodes.For) and node.recursive:
        return "a loop calls itself"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f"the attribute {node.attr!r} is not available"
    return None if isinstance(node, _ALLOWED) else f"{type(node).__name__} is not available"


def _depth(node: nodes.Node, counted: type[nodes.Node] = nodes.Node) -> int:
    """Return how many nodes of a type are inside each other at most."""
    inner = max((_depth(child, counted) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, counted)


def _rendering_mistakes(folder: Path, name: str, text: str) -> Iterator[Problem]:
    """Yield the first mistake of each kind that rendering with sample values shows."""
    templates, seen = PromptTemplates({name: text}, (name,), str(folder)), set[Problem]()
    for values in _samples(name):
        for block in TEMPLATE_BLOCKS.get(name, ("user",)):
            try:
                rendered = templates.render_block(name, block, **values)
            except ConfigError as error:
                seen.update(error.problems)
                continue
            if not any(isinstance(piece, Untrusted) or piece.strip() for piece in rendered.pieces):
                empty = f"the block `{block}` is empty"
                seen.add(Problem(empty, f"{folder / name}{TEMPLATE_SUFFIX}", "some text"))
    yield from sorted(seen, key=str)


def _samples(name: str) -> Iterator[dict[str, Any]]:
    """Yield sample values in all combinations of present and absent ones."""
    values = TEMPLATE_VALUES[name]
    optional = [key for key in values if key in _EMPTY]
    given: Sequence[Principle | None] = _PRINCIPLES if "principle" in values else (None,)
    for principle, *present in itertools.product(given, *[(True, False)] * len(optional)):
        absent = {key: _EMPTY[key] for key, there in zip(optional, present, strict=True) if not there}
        about = {"principle": principle} if "principle" in values else {"principles": _PRINCIPLES}
        yield {**values, **absent, **about}
