"""Prompts with every answer to them: drafts, revisions, samples, and the answers of each variant.

The page receives them as data and not as HTML. Texts are stored once, since runs and variants share many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from constitution.checks.evaluate import count_words, evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.records import Answer, Candidate, CritiqueTrace, Generation, Prompt
from evaluation.drift.measured import drift_series
from evaluation.measures import SERIES_FILE, Series, answer_series, read_series
from evaluation.metrics import variant_rank
from publius.views.report.reading.sources import RunSource

MAX_TEXT_CHARACTERS = 20_000
"""Maximum length of a text on the page; the record files have all of it."""
ColumnKind = Literal["answer", "loop"]
_LOOP_ORIGINS = ("draft", "revision")


@dataclass(frozen=True)
class AnswerColumn:
    """A way in which answers were made: a variant of a run, or a step of its critique loop."""

    run: str
    origin: str
    """Name of the variant, `draft`, `revision:1` or the origin of a sampled answer."""
    kind: ColumnKind

    @property
    def title(self) -> str:
        """The origin in words."""
        return self.origin.replace(":", " ")


@dataclass
class PromptAnswers:
    """A prompt and the answers to it, each in the form that the page reads."""

    prompt: Prompt
    kinds: set[ColumnKind] = field(default_factory=set)
    answers: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class AnswerData:
    """The prompts and answers of all runs of a report."""

    limit: int
    """Maximum number of prompts of each kind that the page shows, the first by id; ids are hashes."""
    columns: list[AnswerColumn] = field(default_factory=list)
    principles: list[str] = field(default_factory=list)
    """Ids of principles, to which the answers refer by number."""
    prompts: dict[str, PromptAnswers] = field(default_factory=dict)
    found: dict[ColumnKind, set[str]] = field(default_factory=lambda: {"answer": set(), "loop": set()})
    """Ids of all prompts by kind, shown or not."""
    _texts: dict[str, int] = field(default_factory=dict)

    def add_run(self, run: RunSource) -> None:
        """Add the answers of a run."""
        reader = run.reader
        self._note_prompts("answer", (answer.prompt.id for answer in reader.answers))
        self._note_prompts("loop", (trace.prompt.id for trace in reader.traces))
        for variant in sorted({answer.variant for answer in reader.answers}, key=variant_rank):
            self._column(run, variant, "answer")
        for answer in reader.answers:
            column = self._column(run, answer.variant, "answer")
            self._add(run, answer.prompt, column, answer.generation)
        for trace in reader.traces:
            self._add_trace(run, trace)
        for comparison in reader.comparisons:
            sampled = Candidate(comparison.response_a, comparison.origin_a, comparison.finished_a)
            self._add_sample(run, comparison.prompt, sampled)
            sampled = Candidate(comparison.response_b, comparison.origin_b, comparison.finished_b)
            self._add_sample(run, comparison.prompt, sampled)

    def text(self, text: str) -> int:
        """Return the number of a text, cut off where it is too long for the page."""
        if len(text) > MAX_TEXT_CHARACTERS:
            text = f"{text[:MAX_TEXT_CHARACTERS]}\n[... {len(text) - MAX_TEXT_CHARACTERS:,} more characters]"
        return self._texts.setdefault(text, len(self._texts))

    def principle(self, name: str) -> int:
        """Return the number of a principle."""
        if name not in self.principles:
            self.principles.append(name)
        return self.principles.index(name)

    def shown(self, kind: ColumnKind) -> int:
        """Return the number of prompts of a kind that the page shows."""
        return min(len(self.found[kind]), self.limit)

    def as_json(self) -> dict[str, Any]:
        """Return everything in the form that the page reads."""
        prompts = [self._prompt(one) for _, one in sorted(self.prompts.items())]
        columns = [{"run": c.run, "origin": c.origin, "title": c.title, "kind": c.kind} for c in self.columns]
        return {
            "principles": self.principles,
            "columns": columns,
            "prompts": prompts,
            "texts": list(self._texts),
        }

    def _prompt(self, one: PromptAnswers) -> dict[str, Any]:
        answers = sorted(one.answers, key=lambda answer: int(answer["c"]))
        return {
            "id": one.prompt.id,
            "tags": list(one.prompt.tags),
            "kinds": sorted(one.kinds),
            "messages": [[message.role, self.text(message.content)] for message in one.prompt.messages],
            "answers": answers,
        }

    def _note_prompts(self, kind: ColumnKind, ids: Iterable[str]) -> None:
        self.found[kind].update(ids)

    def _is_shown(self, kind: ColumnKind, prompt_id: str) -> bool:
        found = self.found[kind]
        return len(found) <= self.limit or prompt_id in set(islice(sorted(found), self.limit))

    def _column(self, run: RunSource, origin: str, kind: ColumnKind) -> int:
        column = AnswerColumn(run.label, origin, kind)
        if column not in self.columns:
            self.columns.append(column)
        return self.columns.index(column)

    def _add_trace(self, run: RunSource, trace: CritiqueTrace) -> None:
        self._add(run, trace.prompt, self._column(run, "draft", "loop"), trace.initial)
        for revision in trace.revisions:
            column = self._column(run, f"revision:{revision.round}", "loop")
            about: dict[str, Any] = {
                "kept": revision.kept,
                "principles": [self.principle(name) for name in revision.principle_ids],
            }
            if revision.critique is not None:
                about["critique"] = self.text(revision.critique.text)
            if revision.flags:
                about["flags"] = list(revision.flags)
            if revision.dropped:
                about["dropped"] = revision.dropped
            self._add(run, trace.prompt, column, revision.candidates[-1], about)

    def _add_sample(self, run: RunSource, prompt: Prompt, sampled: Candidate) -> None:
        """Add an answer that was sampled for a comparison; drafts and revisions are there already."""
        if sampled.origin.partition(":")[0] in _LOOP_ORIGINS:
            return
        column = self._column(run, sampled.origin, "loop")
        known = self.prompts.get(prompt.id)
        if known is None or all(answer["c"] != column for answer in known.answers):
            self._note_prompts("loop", [prompt.id])
            self._add_text(run, prompt, column, sampled, {})

    def _add(
        self,
        run: RunSource,
        prompt: Prompt,
        column: int,
        answer: Generation,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        written = Candidate(answer.text, self.columns[column].origin, answer.finish_reason == "stop")
        self._add_text(run, prompt, column, written, about or {})

    def _add_text(
        self, run: RunSource, prompt: Prompt, column: int, written: Candidate, about: Mapping[str, Any]
    ) -> None:
        """Add an answer, unless the page does not show its prompt."""
        kind, text = self.columns[column].kind, written.response
        if not self._is_shown(kind, prompt.id):
            return
        one = self.prompts.setdefault(prompt.id, PromptAnswers(prompt))
        one.kinds.add(kind)
        answer: dict[str, Any] = {"c": column, "t": self.text(text), "words": count_words(text), **about}
        if not written.finished:
            answer["cut"] = True
        checks = {
            self.principle(name): int(passed) for name, passed in _checks(run.constitution, prompt, text)
        }
        if checks:
            answer["checks"] = checks
        one.answers.append(answer)


def held_out_series(run: RunSource) -> tuple[Series, ...]:
    """Return the measures of each variant by prompt, and those by neutral text.

    Runs of older versions recorded no such values; what follows from their answers is computed again.

    Raises:
        DataError: the recorded values are damaged.
    """
    recorded = read_series(run.folder / "eval" / SERIES_FILE)
    known = {(one.variant, one.measure) for one in recorded}
    return (*recorded, *(one for one in _computed_series(run) if (one.variant, one.measure) not in known))


def _computed_series(run: RunSource) -> tuple[Series, ...]:
    if run.constitution is None:
        return ()
    by_variant: dict[str, list[Answer]] = {}
    for answer in run.reader.answers:
        by_variant.setdefault(answer.variant, []).append(answer)
    answers = [answer for given in by_variant.values() for answer in given]
    return (*_series(by_variant, run.constitution), *drift_series(answers, run.seed))


def _series(by_variant: Mapping[str, Sequence[Answer]], constitution: Constitution) -> Iterator[Series]:
    for variant, answers in sorted(by_variant.items(), key=lambda entry: variant_rank(entry[0])):
        yield from answer_series(variant, answers, constitution)


def _checks(constitution: Constitution | None, prompt: Prompt, text: str) -> Iterator[tuple[str, bool]]:
    """Yield the machine checks in scope with their results."""
    for principle in constitution.principles if constitution else ():
        if principle.check is not None and in_scope(principle, prompt):
            yield principle.id, evaluate(check_on(principle.check, prompt), text).passed
