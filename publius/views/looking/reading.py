"""A run as a whole, read for `publius show RUN`: each record file once, from its first line to its last."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.records import Comparison, CritiqueTrace, Judgment, Message, Preference
from core.store.scan import scan_records
from engines.endpoint.spending import server_records_of
from labelers.crowd.names import written_names
from labelers.crowd.votes import MACHINES, votes_by_occasion
from labelers.crowd.winners import WhoWon, who_won
from publius.runs.manifest import read_manifest
from publius.runs.pairs.answers.table import has_evaluated_answers, write_answers_table
from publius.runs.pairs.filters import LeftOut, PreferenceFilter
from publius.runs.pairs.label_metrics import LabelMetrics
from publius.runs.pairs.tables import WrittenTable, require_table_name, write_table
from publius.runs.pairs.unlabelled import has_preferences, require_preferences
from publius.runs.pairs.unpaired import stage_left_out
from publius.runs.parts.audited import audit_of
from publius.runs.reader import readable_constitution
from publius.views.looking.advice import next_commands, small_print
from publius.views.looking.figures import PreferenceFigures
from publius.views.looking.judged import JudgmentFigures

_TOKENS = ("asked", "reused", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class RunRow:
    """One row to look at: a preference or, in a run without preferences, a draft and its last revision."""

    id: str
    prompt: str
    left: str
    """The chosen answer, or the draft."""
    right: str
    p: float | None = None
    """Probability of the chosen answer."""
    tags: tuple[str, ...] = ()
    """Tags of the prompt."""

    def as_json(self, names: tuple[str, str]) -> dict[str, Any]:
        """Return the row, with both texts under these names."""
        found: dict[str, Any] = {
            "id": self.id,
            "prompt": self.prompt,
            names[0]: self.left,
            names[1]: self.right,
        }
        found |= {"tags": list(self.tags)} if self.tags else {}
        return found if self.p is None else found | {"p_chosen": self.p}


@dataclass(frozen=True)
class RunOverview:
    """A run as a whole."""

    folder: Path
    manifest: Mapping[str, Any]
    constitution: Constitution | None
    """None if it cannot be loaded, for example because its Python checks are not allowed."""
    conditions: PreferenceFilter
    left_out: Mapping[str, int]
    """Number of preferences that the conditions leave out, by reason."""
    figures: PreferenceFigures
    judged: JudgmentFigures
    all_labels: Mapping[str, float | int]
    """Metrics of all judgments of the run, whatever the conditions select."""
    rows: tuple[RunRow, ...]
    is_labelled: bool
    """True if the rows are preferences."""
    won: WhoWon
    """How often people preferred which answers, whatever the conditions select."""

    @property
    def labels(self) -> Mapping[str, float | int]:
        """Metrics of all judgments; empty if the conditions select some of the preferences."""
        return {} if self.conditions else self.all_labels

    @property
    def principles(self) -> list[str]:
        """The principles of the constitution, in its order."""
        return [principle.id for principle in self.constitution.principles] if self.constitution else []

    @property
    def names(self) -> tuple[str, str]:
        """Names of the two texts of a row."""
        return ("chosen", "rejected") if self.is_labelled else ("draft", "last")

    @property
    def flags(self) -> dict[str, int]:
        """Number of revisions with each flag, over all rounds of the critique loop."""
        rounds = self.manifest["stages"].get("critique", {}).get("loop", {}).get("rounds", {})
        found: Counter[str] = Counter()
        for counts in rounds.values():
            found.update(counts.get("flags", {}))
        return dict(found.most_common())

    @property
    def revisions(self) -> int:
        """Number of revisions in all rounds."""
        rounds = self.manifest["stages"].get("critique", {}).get("loop", {}).get("rounds", {})
        return sum(int(counts.get("revisions", 0)) for counts in rounds.values())

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Records, requests, tokens and seconds of each stage, and what it skipped."""
        return {name: _stage(entry) for name, entry in self.manifest["stages"].items()}

    @property
    def total(self) -> dict[str, Any]:
        """Sums over all stages; `usd` if a server has a price."""
        stages = self.stages.values()
        found: dict[str, Any] = {key: sum(stage[key] for stage in stages) for key in _TOKENS}
        found["seconds"] = round(sum(stage["seconds"] for stage in stages), 3)
        spent = [r.as_json().get("usd") for r in server_records_of(self.manifest["stages"].values())]
        if any(usd is not None for usd in spent):
            found["usd"] = sum(usd or 0.0 for usd in spent)
        return found

    @property
    def small_print(self) -> list[str]:
        """Reasons not to trust the numbers, to be read first; of the labeler, those of the whole run."""
        return small_print(self.folder, self.manifest, self.all_labels, self.figures)

    @property
    def next(self) -> list[tuple[str, str]]:
        """Commands to look further, each with what it shows."""
        first = self.rows[0].id if self.rows else None
        return next_commands(self.folder, self.figures, first, self.manifest)

    @property
    def _figures(self) -> dict[str, Any]:
        """The figures of the preferences and of their judgments; empty without preferences."""
        found = self.figures.as_json(self.principles)
        return found | self.judged.as_json(self.principles) if found else {}

    def as_json(self) -> dict[str, Any]:
        """Return the overview as JSON-able values."""
        manifest = self.manifest
        return {
            "run": str(self.folder),
            **{key: manifest[key] for key in ("name", "created", "models")},
            "small_print": self.small_print,
            "filter": self.conditions.as_json(),
            "left_out": dict(self.left_out),
            "rows": [row.as_json(self.names) for row in self.rows],
            "figures": self._figures,
            "labels": dict(self.labels),
            "who_won": self.won.as_json(),
            "flags": self.flags,
            "stages": self.stages,
            "total": self.total,
            "next": [{"command": command, "shows": what} for command, what in self.next],
        }


def read_overview(folder: Path, conditions: PreferenceFilter, rows: int) -> RunOverview:
    """Return a run as a whole.

    Args:
        folder: a run folder.
        conditions: the preferences to look at.
        rows: number of rows.

    Raises:
        RunStateError: if the folder is not a run folder.
        ConfigError: if a principle is unknown.
        DataError: if a record file is damaged, or no preference passes.
    """
    manifest = read_manifest(folder)
    manifest["audit"] = audit_of(folder, manifest)
    constitution = readable_constitution(folder)
    conditions.require_known(constitution)
    figures, judged, left_out = PreferenceFigures(rows), JudgmentFigures(), LeftOut(conditions)
    for preference in left_out.passing(scan_records(folder / "preferences.jsonl", Preference)):
        figures.add(preference)
        judged.expect(preference)
    is_labelled = "aggregate" in manifest["stages"]
    found = map(_row, figures.rows) if is_labelled else _trace_rows(folder, rows)
    # Those of its preferences are in the figures.
    labels, won = _read_judgments(folder, judged) if figures.all.pairs else ({}, WhoWon(()))
    return RunOverview(
        folder,
        manifest,
        constitution,
        conditions,
        left_out.reasons,
        figures,
        judged,
        labels,
        tuple(found),
        is_labelled,
        won,
    )


def _read_judgments(folder: Path, judged: JudgmentFigures) -> tuple[dict[str, float | int], WhoWon]:
    """Count the judgments behind the preferences; return the metrics of all, and who won by votes."""
    metrics, people = LabelMetrics(), list[Judgment]()
    for judgment in scan_records(folder / "judgments.jsonl", Judgment):
        metrics.add(judgment)
        judged.add(judgment)
        if judgment.labeler not in MACHINES:
            people.append(judgment)
    judged.settle()
    return metrics.judgment_rows(), _who_won(folder, people)


def _who_won(folder: Path, people: Sequence[Judgment]) -> WhoWon:
    """Return how often people preferred which answers of a run's comparisons."""
    if not people:
        return WhoWon(())
    asked = {judgment.comparison_id for judgment in people}
    places = (folder / name for name in ("comparisons.jsonl", "added_comparisons.jsonl"))
    every = (one for place in places for one in scan_records(place, Comparison))
    found = [one for one in every if one.id in asked]
    origins = {one.id: (one.origin_a, one.origin_b) for one in found}
    cases = votes_by_occasion(people, {one.id: one.prompt.id for one in found})
    won, names = who_won(cases.votes, origins, cases.prompts), written_names(people)
    return replace(won, by_annotator={names.get(who, who): said for who, said in won.by_annotator.items()})


def write_run_table(
    folder: Path,
    to: Path,
    conditions: PreferenceFilter,
    columns: Sequence[str] | None = None,
    *,
    answers: bool = False,
) -> WrittenTable:
    """Write the preferences of a run as a table, or its answers to held-out prompts.

    Args:
        folder: a run folder.
        to: a new `.csv` or `.parquet` file.
        conditions: the rows to write.
        columns: names of columns, or `all`; None for the default.
        answers: True for the answers. Without it, a run that has no preferences has its answers written.

    Raises:
        PubliusError: those of `write_table` and `write_answers_table`; the run has neither.
    """
    require_table_name(to)
    manifest, constitution = read_manifest(folder), readable_constitution(folder)
    conditions.require_known(constitution)
    if answers or (not has_preferences(manifest) and has_evaluated_answers(folder, manifest)):
        return write_answers_table(folder, to, conditions, constitution, columns)
    require_preferences(folder, manifest)
    figures = PreferenceFigures(0)
    figures.add_all(scan_records(folder / "preferences.jsonl", Preference))
    known = [principle.id for principle in constitution.principles] if constitution else []
    return write_table(folder, to, conditions, list(figures.ordered_principles(known)), columns)


def last_user_text(messages: tuple[Message, ...]) -> str:
    """Return the message to be answered, which is the last one."""
    return messages[-1].content


def _row(preference: Preference) -> RunRow:
    chosen, rejected = (side[-1].content for side in (preference.chosen, preference.rejected))
    prompt, p = last_user_text(preference.prompt), preference.p_chosen
    return RunRow(preference.id, prompt, chosen, rejected, p, preference.tags)


def _trace_rows(folder: Path, wanted: int) -> list[RunRow]:
    """Return drafts and last revisions of a run without preferences; those with the lowest ids."""
    rows: list[RunRow] = []
    for trace in scan_records(folder / "traces.jsonl", CritiqueTrace):
        answers = trace.answers()
        prompt, tags = last_user_text(trace.prompt.messages), trace.prompt.tags
        row = RunRow(trace.id, prompt, answers[0].text, answers[-1].text, tags=tags)
        insort(rows, row, key=lambda one: one.id)
        del rows[wanted:]
    return rows


def _stage(entry: Mapping[str, Any]) -> dict[str, Any]:
    requests = entry.get("requests", {})
    return {
        "records": entry.get("records", 0),
        **{key: requests.get(key, 0) for key in _TOKENS},
        "seconds": entry.get("seconds", 0.0),
        "left_out": stage_left_out(entry),
    }
