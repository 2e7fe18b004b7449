"""Kinds of machine checks. Each kind defines when an answer passes and the score of a failing one.

Scores are in [0, 1], and are 1 exactly if the answer passes. `constitution.checks.evaluate` computes them.
Values must be hashable, because principles are.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from constitution.checks.json_schema import JsonSchema
from constitution.checks.language import LanguageCode
from constitution.fields import Count, Part, Pattern, Phrases
from core.code import ALLOWING, code_digest, code_is_allowed
from core.errors import ConfigError
from core.text.explain import Misfit, MisfitError, yaml_line

_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _names_a_function(place: str) -> str:
    if not _FUNCTION.fullmatch(place):
        raise ValueError(f"value is {yaml_line(place)}; accepted: module:function, such as rules:is_polite")
    return place


Grade = Annotated[float, Field(ge=1, le=30, strict=True, allow_inf_nan=False)]
_Flag = Annotated[bool, Field(strict=True)]
FunctionPlace = Annotated[str, AfterValidator(_names_a_function)]
PhraseListName = Literal["boilerplate", "flattery", "hedging", "moralising"]


class MaxWords(Part):
    """Passes with at most this number of words. Otherwise the score is limit / words."""

    kind: Literal["max_words"]
    value: Count
    """Maximum number of words. A word is a run of characters without white space that contains a letter or
    digit."""


class MinWords(Part):
    """Passes with at least this number of words. Otherwise the score is words / limit."""

    kind: Literal["min_words"]
    value: Count
    """Minimum number of words. A word is a run of characters without white space that contains a letter or
    digit."""


class MaxSentences(Part):
    """Passes with at most this number of sentences. Otherwise the score is limit / sentences."""

    kind: Literal["max_sentences"]
    value: Count
    """Maximum number of sentences. A heading or list line has at least one; fenced code has none."""


class MinSentences(Part):
    """Passes with at least this number of sentences. Otherwise the score is sentences / limit."""

    kind: Literal["min_sentences"]
    value: Count
    """Minimum number of sentences. A heading or list line has at least one; fenced code has none."""


class MaxSentenceWords(Part):
    """Passes if no sentence has more than this number of words.

    Otherwise the score is limit / words of the longest sentence. An answer without sentences passes.
    """

    kind: Literal["max_sentence_words"]
    value: Count
    """Maximum number of words in any one sentence. A heading or list line has at least one; fenced code has
    none."""


class MaxCharacters(Part):
    """Passes with at most this number of characters. Otherwise the score is limit / characters."""

    kind: Literal["max_characters"]
    value: Count
    """Maximum number of Unicode code points (composed, NFC), without white space at the ends."""


class MinCharacters(Part):
    """Passes with at least this number of characters. Otherwise the score is characters / limit."""

    kind: Literal["min_characters"]
    value: Count
    """Minimum number of Unicode code points (composed, NFC), without white space at the ends."""


class MaxListItems(Part):
    """Passes with at most this number of list items. Otherwise the score is limit / items."""

    kind: Literal["max_list_items"]
    value: Count
    """Maximum number of list items, at every level: lines that begin with `-`, `*`, `+`, `•` or a number with
    a dot or bracket, and have a letter or digit. Fenced code has none."""


class Matches(Part):
    """Passes if the pattern is found in the first 20,000 characters. Otherwise the score is 0."""

    kind: Literal["regex"]
    value: Pattern
    """A regular expression of Python's `re`; `(?i)` at its beginning ignores case."""


class NotMatches(Part):
    """Passes if the pattern is not found in the first 20,000 characters.

    Otherwise the score is 1 / (1 + matches).
    """

    kind: Literal["not_regex"]
    value: Pattern
    """A regular expression of Python's `re`; `(?i)` at its beginning ignores case."""


class Contains(Part):
    """Passes with all the phrases. Otherwise the score is the share of phrases found."""

    kind: Literal["contains"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class ContainsAny(Part):
    """Passes with at least one of the phrases. Otherwise the score is 0."""

    kind: Literal["contains_any"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class ContainsNone(Part):
    """Passes with none of the phrases. Otherwise the score is 1 / (1 + phrases found)."""

    kind: Literal["contains_none"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class StartsWith(Part):
    """Passes if the answer begins with one of the phrases. Otherwise the score is 0.

    White space and symbols before the answer's first letter or digit are ignored, unless the phrase has them.
    """

    kind: Literal["starts_with"]
    value: Phrases
    """Phrases, one of them required at the beginning; compared as whole words without regard to case."""


class EndsWith(Part):
    """Passes if the answer ends with one of the phrases. Otherwise the score is 0.

    White space and symbols after the answer's last letter or digit are ignored, unless the phrase has them.
    """

    kind: Literal["ends_with"]
    value: Phrases
    """Phrases, one of them required at the end; compared as whole words without regard to case."""


class NotStartsWith(Part):
    """Passes if the answer begins with none of the phrases, by the rules of `starts_with`.

    Otherwise the score is 0.
    """

    kind: Literal["not_starts_with"]
    value: Phrases
    """Phrases forbidden at the beginning; compared as whole words without regard to case."""


class NotEndsWith(Part):
    """Passes if the answer ends with none of the phrases, by the rules of `ends_with`.

    Otherwise the score is 0.
    """

    kind: Literal["not_ends_with"]
    value: Phrases
    """Phrases forbidden at the end; compared as whole words without regard to case."""


KINDS_OF_PHRASES = (
    *("contains", "contains_any", "contains_none"),
    *("starts_with", "ends_with", "not_starts_with", "not_ends_with"),
)
"""Kinds whose value is a list of phrases; in a file, a single text stands for a list of one."""


class MaxGrade(Part):
    """Passes if the answer reads at this US school grade or below. Otherwise the score is limit / grade.

    The grade is the Automated Readability Index (Senter and Smith 1967, AMRL-TR-66-220): 4.71 letters and
    digits per word + 0.5 words per sentence - 21.43. It ignores meaning, was fitted to English, and varies by
    several grades for answers of one or two sentences. An answer without words passes.
    """

    kind: Literal["max_grade"]
    value: Grade
    """Maximum grade: 6 is plain English, 12 a newspaper, 16 an academic journal."""


class MinGrade(Part):
    """Passes if the answer reads at this US school grade or above. Otherwise the score is grade / limit.

    The score is at least 0. The grade is defined as for `max_grade`. An answer without words has no grade
    and a score of 0.
    """

    kind: Literal["min_grade"]
    value: Grade
    """Minimum grade."""


class JsonAnswer(Part):
    """Passes if the answer is JSON that is valid under the schema.

    Otherwise the score is 1 / (1 + errors), or 0 if the answer is not JSON. A single code fence around the
    whole answer is allowed; any other text beside the JSON is not. Duplicate keys, NaN, infinities and more
    than 64 levels of nesting do not count as JSON. `format` in a schema is not enforced. At most 100 errors
    are counted.
    """

    kind: Literal["json"]
    value: JsonSchema
    """A JSON Schema (2020-12 unless `$schema` says otherwise); `{}` allows any JSON."""


class Language(Part):
    """Passes if py3langid identifies the answer as this language.

    Otherwise the score is the language's probability. Fenced code and web addresses do not count. An answer
    with fewer than 24 bytes of letters in UTF-8 (24 Latin, 12 Cyrillic or 8 Chinese letters) passes, because
    it is too short to identify. Languages that hardly differ in writing count as one: hr, bs and sr; id and
    ms; no, nb and nn. `same` is the language of the last user message; the principle does not apply to a
    message that does not show one, as it is too short (24 bytes) or no language has a probability of 0.9.
    """

    kind: Literal["language"]
    value: LanguageCode
    """ISO 639-1 code, such as `en`, or `same` for the language of the question."""


class Format(Part):
    """Passes if the answer has the required format: `list` or `prose`.

    `list` passes if at least half of the lines, and at least two, belong to a list; `prose` passes if fewer
    than two do. Otherwise the score for `list` is twice the share of list lines, halved if there is only one.
    The score for `prose` is the share of lines outside of lists. A list line begins with a bullet or number,
    continues such a line by indentation, or is a table row. Empty lines and fenced code do not count.
    """

    kind: Literal["format"]
    value: Literal["list", "prose"]
    """The required format: `list` or `prose`."""


class Person(Part):
    """Passes if the answer is written in this grammatical person (English only).

    `first`: I or we occurs. `second`: you occurs, and neither I nor we. `third`: none of them, as in
    instructions (`Stir the soup`). Words in double quotes, quoted lines and code do not count. Otherwise the
    score is 0 for `first`; for `second`, the share of second-person pronouns among first- and second-person
    pronouns; for `third`, 1 / (1 + first- and second-person pronouns).
    """

    kind: Literal["person"]
    value: Literal["first", "second", "third"]
    """The required person: `first`, `second` or `third`."""


class EndsWithQuestion(Part):
    """Passes if the answer ends with a question mark (`true`), or does not (`false`). Else the score is 0.

    Closing quotes, brackets, markup, emoji and white space after the question mark are ignored.
    """

    kind: Literal["ends_with_question"]
    value: _Flag
    """True if the answer must end with a question mark, false if it must not."""


class PhraseList(Part):
    """Passes with no phrase of a list shipped with Publius (English only).

    Otherwise the score is 1 / (1 + phrases found). The lists are short collections of common phrases and miss
    other wordings of the same thing.
    """

    kind: Literal["phrase_list"]
    value: PhraseListName
    """Name of the list, a file `constitution/phrases/NAME.txt` in the package."""


class Refusal(Part):
    """Passes if the answer is a refusal (`true`), or is not (`false`). Otherwise the score is 0.

    Refusals are detected by the rules of `constitution.checks.refusal` (English only), which read the first
    sentences of the answer and not the question. docs/benchmarks.md reports their accuracy.
    """

    kind: Literal["refusal"]
    value: _Flag
    """True if the answer must be a refusal, false if it must not."""


class PythonCheck(Part):
    """Passes if a user-defined Python function returns true or 1. Otherwise the score is the returned value.

    The function is called with the answer's text and returns true, false, or a number in [0, 1]. It requires
    `--allow-code`. If it raises or returns anything else, the command ends with an error: a check that fails
    on one answer cannot be trusted on the others.
    """

    kind: Literal["python"]
    value: FunctionPlace
    """`module:function`. The module is searched for next to the constitution, then in the current folder."""
    digest: str = ""
    """SHA-256 of the source files of the module and the function, computed when the file is read. If it is
    given, it must match the code. Imported modules are not covered."""

    @model_validator(mode="after")
    def _is_allowed_and_there(self) -> PythonCheck:
        if not code_is_allowed():
            what = f"the check runs the code {self.value}, which is not allowed"
            raise MisfitError([Misfit(("value",), what, "a check of another kind", run=ALLOWING)])
        try:
            found = code_digest(self.value)
        except ConfigError as error:
            raise MisfitError(Misfit(("value",), p.what, p.accepted) for p in error.problems) from error
        if self.digest not in ("", found):
            what = f"the code of {self.value} does not match the digest {yaml_line(self.digest)}"
            raise MisfitError([Misfit(("digest",), what, f"{found!r}, or no digest")])
        object.__setattr__(self, "digest", found)  # bypasses the frozen model
        return self


Check = Annotated[
    MaxWords
    | MinWords
    | MaxSentences
    | MinSentences
    | MaxSentenceWords
    | MaxCharacters
    | MinCharacters
    | MaxListItems
    | Matches
    | NotMatches
    | Contains
    | ContainsAny
    | ContainsNone
    | StartsWith
    | EndsWith
    | NotStartsWith
    | NotEndsWith
    | MaxGrade
    | MinGrade
    | JsonAnswer
    | Language
    | Format
    | Person
    | EndsWithQuestion
    | PhraseList
    | Refusal
    | PythonCheck,
    Field(discriminator="kind"),
]
"""Any machine check; see `constitution.checks.evaluate`."""
