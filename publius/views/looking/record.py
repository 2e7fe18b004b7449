"""Output of `publius show RUN ID`: all records about one prompt, each pair as a table by principle."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from constitution.schema import Constitution
from core.notices import counted
from core.records import (
    Comparison,
    CritiqueTrace,
    Exclusion,
    Judgment,
    Preference,
    Prompt,
    Revision,
    ScoredAnswer,
)
from core.terminal.breaking import BreakableName
from critique.flags import DEGRADED
from labelers.crowd.names import written_names
from labelers.crowd.votes import annotator_of, probability_of
from publius.console import heading, out, word_diff
from publius.runs.reader import AnyRecord, RecordInRun
from publius.views.looking.flags import flags_in_words

_NO_PRINCIPLE = "(as a whole)"
_SIDE = re.compile(r"\b[ab](?= (?:passes|fails)\b)")


@dataclass
class _Pair:
    """A comparison with everything that is about it."""

    comparison: Comparison
    judgments: list[Judgment] = field(default_factory=list)
    preference: Preference | None = None
    exclusions: list[Exclusion] = field(default_factory=list)

    @property
    def a_is_chosen(self) -> bool:
        """True if `a` is the chosen answer. Without a preference, `a` comes first, which a hash decides."""
        return self.preference is None or self.preference.chosen[-1].content == self.comparison.response_a

    @property
    def titles(self) -> tuple[str, str]:
        """Names of both answers, the chosen one first."""
        return ("first answer", "second answer") if self.preference is None else ("chosen", "rejected")

    @property
    def answers(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Origin and text of both answers, the chosen one first."""
        one = self.comparison
        a, b = (one.origin_a, one.response_a), (one.origin_b, one.response_b)
        return (a, b) if self.a_is_chosen else (b, a)

    @property
    def heading(self) -> str:
        """The ids of the comparison and of its preference."""
        label = "" if self.preference is None else f", preference {self.preference.id}"
        return f"pair {self.comparison.id}{label}"

    def holds(self, identity: str) -> bool:
        """Return True if the id is that of the comparison or of its preference."""
        return identity == self.comparison.id or (
            self.preference is not None and identity == self.preference.id
        )


def print_record(found: RecordInRun) -> None:
    """Print all records of a run about a record's prompt, with a mark at the record itself."""
    words = _words_of(found.constitution)
    is_told = any(isinstance(record, Prompt) for record in found.history)
    history = found.history if is_told or found.prompt is None else (found.prompt, *found.history)
    for entry in _grouped(history):
        if isinstance(entry, _Pair):
            _print_pair(entry, words, found.record.id, found.own.get(entry.comparison.id, {}))
        else:
            _print(entry, words, marked=entry.id == found.record.id)
            if isinstance(entry, Prompt) and (own := found.own.get(entry.id)):
                _print_own(own)


def why_not_kept(revision: Revision) -> str:
    """Return why the answer before a revision stays, such as `not kept: breaks brief`."""
    if "no_fault" in revision.flags:
        return "not revised: the critique finds nothing wrong"
    if revision.dropped == "guard" and revision.broken:
        return f"not kept: breaks {', '.join(revision.broken)}"
    if revision.dropped == "guard" and not DEGRADED & set(revision.flags):
        return "not kept: its principle's check fails by more"
    return "not kept"


def _grouped(history: tuple[AnyRecord, ...]) -> Iterator[AnyRecord | _Pair]:
    """Yield the records, with each comparison and the records about it as one pair, in their order."""
    comparisons = (record for record in history if isinstance(record, Comparison))
    pairs = {comparison.id: _Pair(comparison) for comparison in comparisons}
    for record in history:
        if isinstance(record, Judgment) and record.comparison_id in pairs:
            pairs[record.comparison_id].judgments.append(record)
        elif isinstance(record, Preference) and record.comparison_id in pairs:
            pairs[record.comparison_id].preference = record
        elif isinstance(record, Exclusion) and record.record_id in pairs:
            pairs[record.record_id].exclusions.append(record)
    for record in history:
        if isinstance(record, Comparison):
            yield pairs[record.id]
        elif not _is_in_pair(record, pairs):
            yield record


def _is_in_pair(record: AnyRecord, pairs: dict[str, _Pair]) -> bool:
    if isinstance(record, Judgment | Preference):
        return record.comparison_id in pairs
    return isinstance(record, Exclusion) and record.record_id in pairs


def _print(record: AnyRecord, words: Mapping[str, str], *, marked: bool) -> None:
    mark = "> " if marked else ""
    if isinstance(record, Prompt):
        heading(f"{mark}prompt {record.id}")
        for message in record.messages:
            out.print(Text(f"[{message.role}] {message.content}"))
        split = "" if record.split is None else f"split {record.split}, "
        out.print(Text(f"{split}tags {', '.join(record.tags) or 'none'}", style="dim"))
    elif isinstance(record, CritiqueTrace):
        heading(f"{mark}critique and revision {record.id}")
        _print_trace(record, words)
    elif isinstance(record, ScoredAnswer):
        heading(f"{mark}sampled answer {record.id}")
        out.print(Text(f"{record.origin}: {record.answer.text}"))
        by = ", ".join(f"{principle} {score:.2f}" for principle, score in record.by_principle.items())
        passes = "passes" if record.passed else "does not pass"
        out.print(Text(f"score {record.score:.3f}, {passes} ({by})", style="dim"))
    elif isinstance(record, Exclusion):
        heading(f"{mark}excluded {record.id}" if marked else "excluded")
        out.print(Text(_why_excluded(record)))


def _print_own(columns: Mapping[str, Any]) -> None:
    """Print the user's own columns that are filled, on one line."""
    filled = (f"{name}: {' '.join(str(cell).split())}" for name, cell in columns.items() if cell is not None)
    out.print(Text("; ".join(filled), style="dim"))


def _print_pair(pair: _Pair, words: Mapping[str, str], shown: str, own: Mapping[str, Any]) -> None:
    preference = pair.preference
    heading(f"{'> ' if pair.holds(shown) else ''}{pair.heading}")
    if own:
        _print_own(own)
    for exclusion in pair.exclusions:
        mark = f"> {exclusion.id} " if exclusion.id == shown else ""
        out.print(Text(mark + _why_excluded(exclusion), style="bold"))
    for title, (origin, text) in zip(pair.titles, pair.answers, strict=True):
        length = counted(len(text.split()), "word")
        out.print(Text.assemble((f"{title} ({origin}, {length}): ", "bold"), text))
    if preference is not None:
        weight = "" if preference.weight == 1 else f", weight {preference.weight:g}"
        out.print(Text(f"p of the chosen answer {preference.p_chosen:.2f}{weight}", style="bold"))
    if pair.judgments:
        out.print(_table(pair, words, shown))


def _table(pair: _Pair, words: Mapping[str, str], shown: str) -> Table:
    """Return the judgments of a pair in the order of the constitution, with the words of the principles."""
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("principle", overflow="fold", max_width=24)
    table.add_column("by", overflow="fold", max_width=16)
    table.add_column(f"p of {pair.titles[0]}", justify="right", max_width=9)
    table.add_column("in words", ratio=1, overflow="fold")
    order = {name: place for place, name in enumerate(words)}
    taken_back = {judgment.supersedes for judgment in pair.judgments}
    people = written_names(pair.judgments)
    for one in sorted(
        pair.judgments,
        key=lambda j: (
            order.get(j.principle_id or "", len(order)),
            j.principle_id or "",
            annotator_of(j),
            j.id,
        ),
    ):
        name = one.principle_id or one.dimension or _NO_PRINCIPLE
        mark = "> " if one.id == shown else ""
        told = _told(one, pair, words.get(one.principle_id or "", ""), is_current=one.id not in taken_back)
        if mark:
            told.append(f"\njudgment {one.id}" if told.plain else f"judgment {one.id}", style="dim")
        who = BreakableName(people[annotator_of(one)])
        table.add_row(BreakableName(mark + name), who, _probability(one, pair), told)
    return table


def _words_of(constitution: Constitution | None) -> dict[str, str]:
    if constitution is None:
        return {}
    return {p.id: " ".join(p.text.split()) for p in constitution.principles}


def _probability(judgment: Judgment, pair: _Pair) -> str:
    p_a = probability_of(judgment)
    if p_a is None:
        return judgment.verdict.replace("_", " ")
    return f"{p_a if pair.a_is_chosen else 1 - p_a:.2f}"


def _told(judgment: Judgment, pair: _Pair, principle: str, *, is_current: bool) -> Text:
    """Return the principle's words and what the judgment says beside its probability."""
    told = Text(principle)
    for line in _details(judgment, pair, is_current=is_current):
        told.append("\n" if told.plain else "")
        told.append(line, style="dim")
    return told


def _details(judgment: Judgment, pair: _Pair, *, is_current: bool) -> Iterator[str]:
    if not is_current:
        yield "taken back"
    if judgment.comment:
        first, second = pair.titles
        names = {"a": first, "b": second} if pair.a_is_chosen else {"a": second, "b": first}
        is_check = judgment.labeler == "check"
        yield _SIDE.sub(lambda found: names[found[0]], judgment.comment) if is_check else judgment.comment
    if judgment.place is not None:
        yield f"from {judgment.place}"
    if judgment.orders is not None:
        shown_first, shown_second = judgment.orders.a_first, judgment.orders.b_first
        if not pair.a_is_chosen:
            shown_first, shown_second = -shown_second, -shown_first
        by_place = "; decided by position" if (shown_first > 0) != (shown_second > 0) else ""
        yield f"log-odds {shown_first:+.2f} shown first, {shown_second:+.2f} shown second{by_place}"
    if judgment.problem is not None:
        yield judgment.problem.replace("_", " ")


def _why_excluded(exclusion: Exclusion) -> str:
    detail = f" ({exclusion.detail})" if exclusion.detail else ""
    return f"excluded by {exclusion.stage}: {exclusion.reason}{detail}"


def _print_trace(trace: CritiqueTrace, words: Mapping[str, str]) -> None:
    out.print(Text(f"draft: {trace.initial.text}"))
    answer = trace.initial
    for revision in trace.revisions:
        kept = "kept" if revision.kept else why_not_kept(revision)
        flags = f"; {flags_in_words(revision.flags)}" if revision.flags else ""
        principles = ", ".join(revision.principle_ids)
        out.print(Text(f"\nround {revision.round}, {principles} ({kept}{flags})", style="bold"))
        for principle in revision.principle_ids:
            if principle in words:
                out.print(Text(words[principle], style="dim"))
        if revision.critique is not None:
            out.print(Text(f"critique: {revision.critique.text}"))
        out.print(Text("revision: ") + word_diff(answer.text, revision.candidates[-1].text))
        answer = revision.candidates[-1] if revision.kept else answer
