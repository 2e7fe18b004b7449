"""Answer a check that is written almost right with the line that was probably meant.

`{max_words: 80}`, `{type: max_words, limit: 80}`, `max_words 80` and `at most 80 words` all mean
`{kind: max_words, value: 80}`. A line is proposed only if it loads, and never one that means the opposite: it
is `contains_none` for `not_contains`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from constitution.asked.lines import CheckLine
from constitution.asked.rules import asked_checks
from constitution.asked.values import EXAMPLES, as_value
from constitution.checks.kinds import Check
from core.text.yaml_writing import yaml_flow

CHECK_KINDS: tuple[str, ...] = tuple(
    get_args(model.model_fields["kind"].annotation)[0] for model in get_args(get_args(Check)[0])
)
"""The names of all kinds of checks."""
ACCEPTED_CHECK = f"a mapping such as {yaml_flow({'kind': 'max_words', 'value': 60})}"
"""What to say of a check that is not understood and no mapping."""

_SYNONYMS = {
    "max_words": "words word_limit word_count max_word_count at_most_words",
    "min_words": "min_word_count at_least_words",
    "max_sentences": "sentences sentence_limit",
    "max_sentence_words": "max_words_per_sentence words_per_sentence sentence_words max_sentence_length "
    "sentence_length max_words_a_sentence max_words_in_sentence",
    "max_characters": "characters chars max_chars character_limit",
    "min_characters": "min_chars",
    "max_list_items": "max_bullets max_bullet_points max_items max_list_entries max_list_points max_entries "
    "bullet_limit list_items",
    "regex": "regexp pattern match matches must_match re",
    "not_regex": "not_match not_matches no_match not_pattern forbidden_pattern no_regex doesnt_match",
    "contains": "contain include includes must_contain must_include contains_all all_of keywords required",
    "contains_any": "any_of includes_any contains_one one_of any",
    "contains_none": "not_contains not_contain doesnt_contain does_not_contain contains_not contains_no "
    "no_contains excludes exclude not_includes not_include forbidden forbid banned ban none_of not_any "
    "blocklist blacklist must_not_contain never_contains never_says without avoid avoids forbidden_words "
    "banned_words stopwords",
    "starts_with": "startswith begins_with begin_with start_with prefix",
    "ends_with": "endswith end_with suffix",
    "not_starts_with": "not_start_with not_begins_with not_begin_with doesnt_start_with never_starts_with",
    "not_ends_with": "not_end_with doesnt_end_with never_ends_with",
    "max_grade": "grade reading_level max_reading_level reading_grade readability",
    "min_grade": "min_reading_level",
    "json": "json_schema is_json valid_json schema",
    "language": "lang written_in",
    "format": "form style layout",
    "person": "grammatical_person pronoun point_of_view",
    "ends_with_question": "ends_with_a_question question end_with_question ends_in_question question_at_end",
    "phrase_list": "phrases phrase_lists list_of_phrases",
    "refusal": "refuses refuse is_refusal",
}
_KIND_OF = {name: kind for kind, names in _SYNONYMS.items() for name in names.split()}
_FIXED = {
    **dict.fromkeys(
        ("no_refusal", "not_refusal", "never_refuses", "does_not_refuse", "no_refusals"), ("refusal", False)
    ),
    **dict.fromkeys(("not_ends_with_question", "no_question_at_end"), ("ends_with_question", False)),
    **{f"{word}{name}": ("phrase_list", name) for name in EXAMPLES["phrase_list"] for word in ("", "no_")},
    **dict.fromkeys(("prose", "no_list", "no_lists", "no_bullets", "no_bullet_points"), ("format", "prose")),
    **dict.fromkeys(("list", "bullets", "bullet_points"), ("format", "list")),
}
"""Names that mean a kind together with a value."""
_NAMING = ("kind", "type", "check", "name", "rule")
_OF_SENTENCES = re.compile(r"(?:^|_)sentence_(?:words?|length)|_per_sentence|_(?:a|in_a)_sentence")
"""Names of a bound on the words of each sentence, which are near to those of bounds on sentences."""
_NEGATED = re.compile(r"(?:^|_)(?:not|no|none|never|without|doesnt|dont)(?:_|$)")
_OPPOSITE = {True: False, False: True, "list": "prose"}
_BOUNDS = {"max": "at most", "min": "at least"}
_CALL = re.compile(r"([a-z][a-z_ -]*?)[ ]*[:=( ][ ]*(.+?)\)?", re.IGNORECASE)


class _Meant(NamedTuple):
    """A check that a value may mean."""

    check: CheckLine
    is_example: bool = False
    """True if its value is ours, because none was given."""


def right_check(value: object) -> str | None:
    """Return what to write in place of a check that does not load; None if it is not understood."""
    found = [meant for meant in _meant(value) if meant.check.is_valid]
    if not found:
        return None
    first, *others = dict.fromkeys(meant.check.line for meant in found)
    such_as = "a line such as " if any(meant.is_example for meant in found) else ""
    return such_as + " and, in a principle of its own, ".join((first, *others))


def same_side(name: str) -> list[str]:
    """Return the kinds that a misspelt name may mean: none that forbids what the name asks for.

    None that bounds the number of sentences either, where the name is that of a bound on the length of each.
    """
    known = ("max_sentence_words",) if _OF_SENTENCES.search(_normal(name)) else CHECK_KINDS
    return [kind for kind in known if _side(kind) == _side(_normal(name))]


def is_kind(name: str) -> bool:
    """Return whether a key is the name of a kind, also in another spelling."""
    return _kind(name) is not None


def _meant(value: object) -> Iterator[_Meant]:
    """Yield the checks that a value may mean."""
    if isinstance(value, str):
        yield from _from_text(value)
    elif isinstance(value, Mapping):
        yield from _from_mapping(value)
    elif isinstance(value, list) and value:
        yield from _from_list(value)


def _from_list(value: list[Any]) -> Iterator[_Meant]:
    head = value[0]
    if isinstance(head, str) and is_kind(head) and len(value) == 2:
        yield from _named(head, value[1])
    elif all(isinstance(entry, str | Mapping) for entry in value):
        for entry in value:
            yield from _meant(entry)


def _from_text(text: str) -> Iterator[_Meant]:
    text = text.strip()
    called = _CALL.fullmatch(text)
    if called is not None and _normal(called[1]) in (*CHECK_KINDS, *_KIND_OF):
        yield from _named(called[1], called[2])
        return
    asked = asked_checks(text)
    if asked is not None:
        yield from (_Meant(check) for check in asked.checks)
    elif is_kind(text):
        yield from _named(text, None)


def _from_mapping(value: Mapping[str, Any]) -> Iterator[_Meant]:
    keys = {key.casefold(): key for key in value if isinstance(key, str)}
    naming = next((keys[name] for name in _NAMING if isinstance(value.get(keys.get(name, "")), str)), None)
    if naming is not None:
        given = [value[key] for low, key in keys.items() if key != naming and low != "digest"]
        raw = value[keys["value"]] if "value" in keys else given[0] if len(given) == 1 else None
        yield from _named(value[naming], raw)
        return
    for key in value:
        yield from _named(str(key), value[key])


def _named(name: str, raw: object) -> Iterator[_Meant]:
    """Yield the check with a name in any spelling, and a value in any form."""
    found = _kind(name)
    if found is None:
        asked = asked_checks(_in_words(_normal(name).replace("_", " "), raw))
        yield from (_Meant(check) for check in asked.checks) if asked is not None else ()
        return
    kind, fixed = found
    if fixed is not None and raw is False:
        fixed = _OPPOSITE.get(fixed)
        value = fixed
    else:
        value = as_value(kind, raw) if fixed is None else fixed
    if value is not None:
        yield _Meant(CheckLine(kind, value), is_example=fixed is None and raw is None and kind in EXAMPLES)


def _in_words(name: str, raw: object) -> str:
    """Return the rule that a name and its value may be: `at most 2 paragraphs`, `no emojis`."""
    side, _, unit = name.partition(" ")
    if side in _BOUNDS and isinstance(raw, int) and not isinstance(raw, bool):
        return f"{_BOUNDS[side]} {raw} {unit}"
    return f"no {name}" if raw is False else name


def _kind(name: str) -> tuple[str, Any] | None:
    """Return the kind that a name means, and the value if the name gives it; None if it means none."""
    normal = _normal(name)
    if normal in CHECK_KINDS:
        return normal, None
    if normal in _KIND_OF:
        return _KIND_OF[normal], None
    if normal in _FIXED:
        return _FIXED[normal]
    near = difflib.get_close_matches(normal, same_side(normal), n=1, cutoff=0.75) if len(normal) < 40 else []
    return (near[0], None) if near else None


def _normal(name: str) -> str:
    """Return a name as kinds are spelled: `maxWords`, `max-words` and `Max words` become `max_words`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s_-]+", "_", spaced.replace("'", "")).casefold()


def _side(name: str) -> tuple[bool, str]:
    """Return whether a name denies, and the side of its bound."""
    bound = next((side for side in ("max", "min") if name.startswith(side)), "")
    return bool(_NEGATED.search(name)), bound
