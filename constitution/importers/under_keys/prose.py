"""Rules in prose: every sentence of a paragraph that states a rule by itself.

A sentence that goes on about the one before (`It should say ...`, `They hate it.`, `This is the law.`) stays
with it. What states no rule is skipped, and counted with its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from constitution.asked.clauses.reasons import is_reason
from constitution.asked.phrasing import plain_rule
from constitution.asked.rules import asked_checks
from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile
from constitution.importers.under_keys.statements import states_a_rule, tells_of_others

NO_RULE = "a paragraph in which no sentence was taken for a rule"
NO_RULE_BESIDE = "a sentence beside rules that was taken for none"
_SENTENCE_END = re.compile(r"[.!?]['\"”’)\]]*\s+(?=['\"“‘(\[]?[^\W_a-z]|\()")
_GOES_ON = re.compile(
    r"[(\"“'‘]*(?:it|its|they|their|them|this|that|these|those|he|she|then|otherwise|instead|because|but|so"
    r"|for example|for instance|e\.g\.|in that case|in this case|if so|if not|only then|even then|the same"
    r"|both|neither|such)\b",
    re.IGNORECASE,
)


def take_prose(
    text: str,
    line: int,
    fields: Mapping[str, str],
    source: str | None,
    file: ForeignFile,
    reading: Reading,
) -> None:
    """Add the rules of a paragraph as principles, and count what is none.

    Args:
        text: the paragraph, with its line breaks.
        line: number of its first line.
        fields: texts of every principle beside its own, such as its section.
        source: anchor of the passage that contains it.
        file: the file.
        reading: receives the principles.
    """
    rules: list[tuple[int, list[str]]] = []
    others: list[tuple[int, str]] = []
    open_rule = False
    for number, sentence in _sentences(text, line):
        if open_rule and _stays(sentence):
            rules[-1][1].append(sentence)
            continue
        open_rule = is_rule(sentence)
        if open_rule:
            rules.append((number, [sentence]))
        else:
            others.append((number, sentence))
    if not rules:
        reading.skip(NO_RULE, file.at(line), text)
        return
    for number, sentences in rules:
        reading.take(
            file.at(number), {"text": " ".join(" ".join(sentences).split()), **fields}, source=source
        )
    for number, sentence in others:
        reading.skip(NO_RULE_BESIDE, file.at(number), sentence)


def is_rule(sentence: str) -> bool:
    """Return whether a sentence states a rule, also without a verb: `No emojis.`, `At most 80 words.`"""
    return states_a_rule(sentence) or asked_checks(" ".join(sentence.split())) is not None


def _stays(sentence: str) -> bool:
    """Return whether a sentence belongs to the rule before it: it goes on about it, or says why."""
    if _GOES_ON.match(sentence) or is_reason(plain_rule(sentence)):
        return True
    return tells_of_others(sentence)


def _sentences(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a paragraph, each with its line number."""
    begin = 0
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    for end in (*ends, len(text)):
        yield line + text.count("\n", 0, begin), text[begin:end].rstrip()
        begin = end
