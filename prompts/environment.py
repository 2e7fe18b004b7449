"""Prompt templates: a sandboxed Jinja2 environment that inserts untrusted text without interpreting it.

A template is a `.j2` file with two blocks: `user`, the text of the request (in `system.j2`, the system
message), and `prefill`, the required beginning of the model's answer. While a template renders, placeholders
replace untrusted values, which then become separate pieces. Jinja therefore never sees text of a model or a
data set, and engines can encode it separately (`core.chat`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, wraps
from importlib.resources import files
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    Undefined,
    nodes,
    pass_context,
)
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from constitution.schema import Principle
from core.chat import Piece, Untrusted
from core.digests import digest
from core.errors import ConfigError

TEMPLATES = ("critique", "revision", "comparison", "pointwise", "system")
"""Templates that a run uses, and that the user can replace; their exact text is part of its identity."""

DECISION_TEMPLATES = ("decision_pair", "decision_reply", "decision_question")
"""Templates for labelers behind a decision endpoint, which the user can replace too; part of the identity of
runs that have one."""

JUDGE_TEMPLATES = (
    "symmetric",
    "rating",
    "contrastive",
    "reasoned",
    "reasoned_verdict",
    "rubric",
    "pointwise_breaks",
    "decision_breaks",
)
"""Templates of further modes of the labeler (`label.mode`, `label.polarity`), which the user can replace too;
those of a run's mode are part of its identity."""

TEMPLATE_BLOCKS: Mapping[str, tuple[str, ...]] = {"symmetric": ("user", "reply", "question")}
"""Blocks of the text of a request, for templates that have several; all others have `user`."""

MAX_RENDERED = 2_000_000
"""Maximum length of a rendered template without the untrusted texts: a loop over many values ends there."""
_RENDERING_ERRORS = (
    TemplateError,
    TypeError,  # an `Untrusted` is formatted or filtered: its `__str__` raises this
    ValueError,  # a value is unpacked, or a text has a lone surrogate
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SyntaxError,  # nested deeper than Python compiles
    MemoryError,  # CPython's parser raises it for the same reason
)
_TEXT_FILTERS = ("capitalize", "lower", "title", "trim", "upper")
_PLACEHOLDER = re.compile("\ue000([0-9]+)\ue001")
_LOOP_STATE = ("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem")
_SHORTEST_FENCE = 5
_RULE = re.compile("[=\uff1d\ufe66\u2550\ua78a\u1400\u2e40\u30a0\u2261]+")
"""Runs of `=`, and of what looks like it: full-width, small, box drawing, modifier letter and others."""
_STORED_FORMS = 1024

Parts = tuple[str | int, ...]
"""A rendered text: the template's own text, and numbers of the untrusted texts between."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A rendered request to a model: its text in pieces, and the prefilled start of the answer."""

    pieces: tuple[Piece, ...]
    prefill: str


class PromptTemplates:
    """The built-in templates, some of them replaced by the user's own.

    Args:
        sources: template text by name; a missing name uses the built-in template.
        names: names of all templates.
        folder: folder of the user's templates, for error messages.
    """

    def __init__(
        self,
        sources: Mapping[str, str] | None = None,
        names: Sequence[str] = TEMPLATES,
        folder: str = "templates",
    ) -> None:
        self._given, self._folder = sources or {}, folder
        given = {name: text for name in names if (text := self._given.get(name))}
        self.given = frozenset(given)
        """Names of the templates that are given, whatever their text."""
        self.own = frozenset(name for name, text in given.items() if text != _shipped(name))
        """Names of the replaced templates: those whose text differs from the built-in one."""
        self.sources = {name: given.get(name) or _shipped(name) for name in names}
        self._environment = make_environment(_Sources(self.sources))
        # A template never sees an untrusted text, so requests that differ only in those are rendered once.
        self._parts = lru_cache(_STORED_FORMS)(self._render_form)

    @cached_property
    def decisions(self) -> PromptTemplates:
        """The templates of typed questions, some of them replaced by the user's own."""
        return PromptTemplates(self._given, DECISION_TEMPLATES, self._folder)

    @cached_property
    def judging(self) -> PromptTemplates:
        """The templates of further modes of the labeler, some of them replaced by the user's own."""
        return PromptTemplates(self._given, JUDGE_TEMPLATES, self._folder)

    @property
    def families(self) -> tuple[PromptTemplates, PromptTemplates, PromptTemplates]:
        """All templates of a run: these, those of typed questions and those of further modes."""
        return self, self.decisions, self.judging

    @property
    def digest(self) -> str:
        """Digest of every template's exact text."""
        return digest(self.sources)

    def digest_of(self, *names: str) -> str:
        """Return a digest of the exact text of some templates."""
        return digest({name: self.sources[name] for name in names})

    def prefill(self, name: str) -> str:
        """Return the prefill of a template whose `prefill` block uses no values; empty without the block."""
        template = self._environment.get_template(name)
        if "prefill" not in template.blocks:
            return ""
        return "".join(template.blocks["prefill"](template.new_context({})))

    def has_own_prefill(self, name: str) -> bool:
        """Return True if a template's `prefill` block is not that of the built-in template."""
        return self._prefill_block(self.sources[name]) != self._prefill_block(_shipped(name))

    def _prefill_block(self, source: str) -> list[nodes.Block]:
        # Nodes are compared without their lines.
        blocks = self._environment.parse(source).find_all(nodes.Block)
        return [block for block in blocks if block.name == "prefill"]

    def principle_defaults(self) -> dict[str, str]:
        """Return the default request by principle field, for principles that leave the field empty.

        The default is the else branch of `{% if principle.FIELD %}{{ principle.FIELD }}{% else %}`, rendered
        with `{text}` as the principle's text. A branch that uses anything else has no default, because its
        text is different in each request. Separate blocks would be simpler, but they would change the
        templates' exact text and with it the identity of every run.
        """
        trees = [self._environment.parse(source) for source in self.sources.values()]
        choices = [choice for tree in trees for choice in tree.find_all(nodes.If)]
        return {
            choice.test.attr: self._rendered(choice.else_, principle={"text": "{text}"})
            for choice in choices
            if isinstance(choice.test, nodes.Getattr)
            and choice.test.node == nodes.Name("principle", "load")
            and any(choice.test in part.find_all(nodes.Getattr) for part in choice.body)
            and choice.else_
            and _shows_only_the_text(choice.else_)
        }

    def render(self, name: str, **values: object) -> RenderedPrompt:
        """Render the named template, whose text is in the block `user`. See `render_block`."""
        return self.render_block(name, "user", **values)

    def render_block(self, name: str, block: str, **values: object) -> RenderedPrompt:
        """Render a block of the named template, and its prefill.

        Args:
            name: name of the template.
            block: name of the block.
            **values: trusted text and numbers as they are, everything else as `Untrusted`.

        Raises:
            ConfigError: the template is invalid, uses an unknown value or filters untrusted text.
        """
        texts: dict[str, int] = {}
        form = tuple((key, type(value), _form_of(value, texts)) for key, value in values.items())
        parts, prefill = self._parts(name, block, form)
        pieces = [Untrusted(text) for text in texts]
        return RenderedPrompt(tuple(pieces[p] if isinstance(p, int) else p for p in parts), prefill)

    def _render_form(
        self, name: str, block: str, form: tuple[tuple[str, type, object], ...]
    ) -> tuple[Parts, str]:
        """Render a block with numbers in place of untrusted texts; return its parts and the prefill."""
        slots: list[Untrusted] = []
        template: Template | None = None
        try:
            template = self._environment.get_template(name)
            values = {key: _value_of(value) for key, _, value in form}
            context = template.new_context({**values, "_slots": slots})
            user = _joined(template.blocks[block](context))
            prefill = _joined(template.blocks["prefill"](context)) if "prefill" in template.blocks else ""
        except _RENDERING_ERRORS as error:
            raise ConfigError(
                f"the template cannot be rendered: {error or type(error).__name__}",
                where=f"{self._folder}/{name}.j2{_line_of(error, template)}",
                accepted="blocks `user` and `prefill` that use the values given to the shipped template",
            ) from error
        return _parts_of(name, user, slots), prefill

    def _rendered(self, body: list[nodes.Node], **values: object) -> str:
        """Render a part of a template."""
        template = nodes.Template(body, lineno=1)
        template.set_environment(self._environment)
        return self._environment.from_string(template).render(values).strip()


def naive_templates() -> PromptTemplates:
    """Return templates that paste replies without a fence: a peer for audits, never for labels."""
    names = ("comparison", "pointwise", "decision_pair", "decision_reply")
    return PromptTemplates({name: _shipped(f"naive/{name}") for name in names}, folder="naive")


def naive_decision_template() -> PromptTemplates:
    """Return the template `decision` of a server that pastes texts without a fence: a peer for audits."""
    return PromptTemplates({"decision": _shipped("naive/decision")}, ("decision",), folder="naive")


def fence_for(texts: Iterable[str]) -> str:
    """Return a run of `=` that is longer than any run in the texts, so no text can close the fence.

    Characters that look like `=` count like it.
    """
    runs = (run for text in texts if "=" in text or not text.isascii() for run in _RULE.findall(text))
    longest = max(map(len, runs), default=0)
    return "=" * max(_SHORTEST_FENCE, longest + 1)


def make_environment(loader: BaseLoader | None = None) -> Environment:
    """Return the environment that templates are read and rendered in."""
    environment = _Environment(
        loader=loader,
        undefined=StrictUndefined,
        finalize=_to_placeholder,
        keep_trailing_newline=True,
        autoescape=False,
    )
    # Without `range`, a loop can only go over values that are given to the template.
    environment.globals.clear()
    for name in _TEXT_FILTERS:
        environment.filters[name] = _of_text(environment.filters[name])
    return environment


def _line_of(error: BaseException, template: Template | None) -> str:
    """Return the line of the template in which an error was raised, as `:LINE`; empty if it is unknown."""
    if isinstance(error, TemplateSyntaxError):
        return f":{error.lineno}"
    lines = [
        template.get_corresponding_lineno(number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if template is not None and frame.f_code.co_filename == "<template>"
    ]
    return f":{lines[-1]}" if lines else ""


class _Environment(ImmutableSandboxedEnvironment):
    """Sandbox in which only the fields of records, the keys of dictionaries and the state of loops are read.

    Methods are attributes too: their text has an address of this process, which differs in each run.
    """

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        if isinstance(obj, BaseModel):
            return attr in type(obj).model_fields
        return isinstance(obj, LoopContext) and attr in _LOOP_STATE


class _Sources(BaseLoader):
    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        if template not in self._sources:
            raise TemplateNotFound(template)
        return self._sources[template], None, None


@pass_context
def _to_placeholder(context: Context, value: object) -> object:
    """Replace an untrusted value by a numbered placeholder."""
    if isinstance(value, (list, tuple, dict)):
        # The text of a list could contain the untrusted text of its items.
        raise TypeError("a list cannot be inserted into a template; insert its items one by one")
    if value is None:
        raise TypeError("a value that may be absent is inserted; ask for it first, by {% if VALUE %}")
    if isinstance(value, (str, int, float, Undefined)):
        return value  # an undefined value raises an error that names it
    if not isinstance(value, Untrusted):
        raise TypeError(f"{_kind(value)} cannot be inserted into a template, only texts and numbers")
    slots: list[Untrusted] = context["_slots"]
    slots.append(value)
    return f"\ue000{len(slots) - 1}\ue001"


def _of_text(filtered: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses other values than texts and numbers, whose `str` would be shown."""

    @wraps(filtered)
    def checked(value: object, *args: Any, **kwargs: Any) -> object:
        # An undefined value and an untrusted text raise an error that says so.
        if not isinstance(value, (str, int, float, Undefined, Untrusted)):
            raise TypeError(f"{_kind(value)} cannot be filtered, only texts and numbers")
        return filtered(value, *args, **kwargs)

    return checked


def _kind(value: object) -> str:
    return "a principle" if isinstance(value, Principle) else f"a {type(value).__name__}"


def _shows_only_the_text(body: Sequence[nodes.Node]) -> bool:
    """Return True if a part of a template is text and `{{ principle.text }}`."""
    text = nodes.Getattr(nodes.Name("principle", "load"), "text", "load")
    return all(
        isinstance(node, nodes.TemplateData) or node == text
        for part in body
        for node in (part.nodes if isinstance(part, nodes.Output) else [part])
    )


def _joined(chunks: Iterable[str]) -> str:
    """Return the text of a rendered block. Raises ValueError if it is too long or has lone surrogates."""
    written, length = [], 0
    for chunk in chunks:
        written.append(chunk)
        length += len(chunk)
        if length > MAX_RENDERED:
            raise ValueError(f"it has more than {MAX_RENDERED:,} characters with these values")
    text = "".join(written)
    text.encode()
    return text


@dataclass(frozen=True, slots=True)
class _Dictionary:
    """A dictionary, hashable."""

    members: tuple[tuple[str, object], ...]


def _form_of(value: object, texts: dict[str, int]) -> object:
    """Return a hashable copy of a template's value with numbers in place of untrusted texts.

    Equal texts have equal numbers, so a template that compares two texts renders the same. `texts` collects
    each text with its number.
    """
    if isinstance(value, Untrusted):
        return Untrusted(str(texts.setdefault(value.text, len(texts))))
    if isinstance(value, dict):
        return _Dictionary(tuple((key, _form_of(member, texts)) for key, member in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_form_of(member, texts) for member in value)
    return value


def _value_of(form: object) -> object:
    """Return the template's value for a form."""
    if isinstance(form, _Dictionary):
        return {key: _value_of(member) for key, member in form.members}
    return tuple(map(_value_of, form)) if isinstance(form, tuple) else form


def _parts_of(name: str, text: str, slots: list[Untrusted]) -> Parts:
    parts = _PLACEHOLDER.split(text)
    if [int(part) for part in parts[1::2]] != list(range(len(slots))):
        raise ConfigError(
            "the text contains the private-use characters U+E000 and U+E001",
            where=f"templates/{name}.j2, the principle or the preamble",
            accepted="any other characters",
        )
    # The text of a slot is the number of an untrusted text.
    numbered = [int(slots[int(part)].text) if i % 2 else part for i, part in enumerate(parts)]
    return tuple(part for part in numbered if part != "")


@cache
def _shipped(name: str) -> str:
    return (files("prompts") / "templates" / f"{name}.j2").read_text(encoding="utf-8")
