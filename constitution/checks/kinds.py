"""The kinds of machine checks: for each, when an answer passes, and the score of one that fails.

Scores are in [0, 1], and 1 for an answer that passes, and for no other.
`constitution.checks.evaluate` works them out. Values are hashable, as a principle must be.
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
    """Passes with at most so many words. Else the score is limit / words."""

    kind: Literal["max_words"]
    value: Count
    """The largest number of words: runs without white space that hold a letter or digit."""


class MinWords(Part):
    """Passes with at least so many words. Else the score is words / limit."""

    kind: Literal["min_words"]
    value: Count
    """The smallest number of words: runs without white space that hold a letter or digit."""


class MaxSentences(Part):
    """Passes with at most so many sentences. Else the score is limit / sentences."""

    kind: Literal["max_sentences"]
    value: Count
    """The largest number of sentences; a heading or list line is one at least, fenced code is none."""


class MinSentences(Part):
    """Passes with at least so many sentences. Else the score is sentences / limit."""

    kind: Literal["min_sentences"]
    value: Count
    """The smallest number of sentences; a heading or list line is one at least, fenced code is none."""


class MaxCharacters(Part):
    """Passes with at most so many characters. Else the score is limit / characters."""

    kind: Literal["max_characters"]
    value: Count
    """The largest number of Unicode code points (composed, NFC), without white space at the ends."""


class MinCharacters(Part):
    """Passes with at least so many characters. Else the score is characters / limit."""

    kind: Literal["min_characters"]
    value: Count
    """The smallest number of Unicode code points (composed, NFC), without white space at the ends."""


class Matches(Part):
    """Passes where the pattern is found in the first 20,000 characters. Else the score is 0."""

    kind: Literal["regex"]
    value: Pattern
    """A regular expression of Python's `re`; `(?i)` at its beginning ignores case."""


class MatchesNot(Part):
    """Passes where the pattern is not found in the first 20,000 characters. Else 1 / (1 + matches)."""

    kind: Literal["not_regex"]
    value: Pattern
    """A regular expression of Python's `re`; `(?i)` at its beginning ignores case."""


class Contains(Part):
    """Passes with all the phrases. Else the score is the share of them that is there."""

    kind: Literal["contains"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class ContainsAny(Part):
    """Passes with at least one of the phrases. Else the score is 0."""

    kind: Literal["contains_any"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class ContainsNone(Part):
    """Passes with none of the phrases. Else the score is 1 / (1 + phrases that are there)."""

    kind: Literal["contains_none"]
    value: Phrases
    """Phrases, compared as whole words without regard to case."""


class StartsWith(Part):
    """Passes if it begins with one of the phrases. Else the score is 0.

    White space and signs before the answer's first letter or digit do not count, unless the phrase has them.
    """

    kind: Literal["starts_with"]
    value: Phrases
    """Phrases, of which one begins the answer; whole words, without regard to case."""


class EndsWith(Part):
    """Passes if it ends with one of the phrases. Else the score is 0.

    White space and signs after the answer's last letter or digit do not count, unless the phrase has them.
    """

    kind: Literal["ends_with"]
    value: Phrases
    """Phrases, of which one ends the answer; whole words, without regard to case."""


class StartsNotWith(Part):
    """Passes if it begins with none of the phrases, as `starts_with` finds them. Else the score is 0."""

    kind: Literal["not_starts_with"]
    value: Phrases
    """Phrases, of which none begins the answer; whole words, without regard to case."""


class EndsNotWith(Part):
    """Passes if it ends with none of the phrases, as `ends_with` finds them. Else the score is 0."""

    kind: Literal["not_ends_with"]
    value: Phrases
    """Phrases, of which none ends the answer; whole words, without regard to case."""


class MaxGrade(Part):
    """Passes if it reads at this US school grade or below. Else the score is limit / grade.

    The grade is the Automated Readability Index (Senter and Smith 1967, AMRL-TR-66-220): 4.71 letters and
    digits per word + 0.5 words per sentence - 21.43. It knows nothing of meaning, was fitted to English, and
    swings by several grades in answers of one or two sentences. An answer without words passes.
    """

    kind: Literal["max_grade"]
    value: Grade
    """The highest grade: 6 is plain English, 12 a newspaper's, 16 a journal's."""


class MinGrade(Part):
    """Passes if it reads at this US school grade or above. Else the score is grade / limit, at least 0.

    The grade is that of `max_grade`. An answer without words has none, and the score 0.
    """

    kind: Literal["min_grade"]
    value: Grade
    """The lowest grade."""


class JsonAnswer(Part):
    """Passes if it is JSON that the schema allows. Else 1 / (1 + errors), and 0 for what is no JSON.

    A single code fence around the whole answer is allowed; any other word beside the JSON is not. Keys that
    occur twice, NaN and infinities, and more than 64 levels are no JSON. `format` in a schema asserts
    nothing. Errors are counted up to 100.
    """

    kind: Literal["json"]
    value: JsonSchema
    """A JSON Schema (2020-12 unless `$schema` says otherwise); `{}` allows any JSON."""


class Language(Part):
    """Passes if it is in this language, as py3langid has it. Else the score is the language's probability.

    Fenced code and addresses do not count. A text with fewer than 24 bytes of letters in UTF-8 (24 Latin, 12
    Cyrillic, 8 Chinese letters) passes: it is too short to tell. Languages that hardly differ in writing are
    one: hr, bs and sr; id and ms; no, nb and nn.
    """

    kind: Literal["language"]
    value: LanguageCode
    """ISO 639-1 code, such as `en`."""


class Format(Part):
    """Passes `list` if at least half of the lines, and two, are of a list; `prose` if fewer than two are.

    Else the score is, for `list`, twice the share of list lines, halved where there is only one; for `prose`
    the share of lines that are of no list. List lines begin with a bullet or number, continue one by being
    indented, or are rows of a table. Empty lines and fenced code do not count.
    """

    kind: Literal["format"]
    value: Literal["list", "prose"]
    """`list` or `prose`."""


class Person(Part):
    """Passes if the answer speaks in this grammatical person (English only).

    `first`: I or we occur. `second`: you occurs, and neither I nor we. `third`: none of them, as in orders
    (`Stir the soup`). Words in double quotes, quoted lines and code do not count. Else the score is 0 for
    `first`; for `second` the share of second-person pronouns among those of both persons; for `third`
    1 / (1 + pronouns of both).
    """

    kind: Literal["person"]
    value: Literal["first", "second", "third"]
    """`first`, `second` or `third`."""


class EndsWithQuestion(Part):
    """Passes if it ends with a question mark (`true`), or does not (`false`). Else the score is 0.

    Closing quotes, brackets, markup, emoji and white space after it do not count.
    """

    kind: Literal["ends_with_question"]
    value: _Flag
    """Whether a question mark must end the answer."""


class PhraseList(Part):
    """Passes with no phrase of a list that comes with Publius (English only). Else 1 / (1 + phrases there).

    A list is a short one of common ways to say a thing: it does not see the same thing said otherwise.
    """

    kind: Literal["phrase_list"]
    value: PhraseListName
    """The list: `constitution/phrases/NAME.txt` in the package."""


class Refusal(Part):
    """Passes if it refuses what was asked (`true`), or does not (`false`). Else the score is 0.

    By the rules of `constitution.checks.refusal` (English only), which read the first sentences and not the
    question: docs/benchmarks.md says how often they are right.
    """

    kind: Literal["refusal"]
    value: _Flag
    """Whether the answer must be a refusal."""


class PythonCheck(Part):
    """Passes if a function of the user's says so; the score of an answer that fails is what it returned.

    It is called with the answer's text and returns true or false, or a number in [0, 1] of which 1 passes.
    Only under `--allow-code`. A function that raises or returns anything else ends the command: a check that
    is wrong for one answer is not to be trusted with the others.
    """

    kind: Literal["python"]
    value: FunctionPlace
    """`module:function`; the module is looked for beside the constitution, then in the current folder."""
    digest: str = ""
    """SHA-256 of the source files of module and function, filled in on reading; where it is given, the code
    must still be the same. Modules that these import are not covered."""

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
            what = f"the code of {self.value} is no longer the one that this file names by its digest"
            raise MisfitError(
                [Misfit(("digest",), f"{what} ({yaml_line(self.digest)})", f"{found!r}, or no digest")]
            )
        object.__setattr__(self, "digest", found)  # the model is frozen for everybody else
        return self


Check = Annotated[
    MaxWords
    | MinWords
    | MaxSentences
    | MinSentences
    | MaxCharacters
    | MinCharacters
    | Matches
    | MatchesNot
    | Contains
    | ContainsAny
    | ContainsNone
    | StartsWith
    | EndsWith
    | StartsNotWith
    | EndsNotWith
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
"""A test that a machine can do; see `constitution.checks.evaluate`."""
