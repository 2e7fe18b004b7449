"""Several runs compared: runs that differ only in their seed are one group, and groups are paired by prompt.

The first run's group is the one that the others are compared with. A prompt's value in a group is the mean
over its runs, so that an interval is over prompts; the value of each run is shown beside it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from constitution.diff import Change, compare_constitutions
from core.errors import PubliusError
from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.metrics import DELTA, metrics_of, variant_rank
from evaluation.presentation import BEYOND_NOISE, ChangeOutcome, EvaluationMetrics, title_of
from evaluation.win_rate import WIN_RATE
from publius.views.report.comparing.edited import EditedPrinciple, edited_principles
from publius.views.report.comparing.yardsticks import different_yardsticks
from publius.views.report.figures import Figure, FigureBook, nested_leaves
from publius.views.report.reading.results import Results
from publius.views.report.reading.sources import RunSource

_NO_SETTINGS = ("seed",)
_LISTED = 4
"""Differences that the sentence about a group lists."""
_ALWAYS = "words"
"""A measure that every answer has."""
_OVER_BASE = f"{WIN_RATE}.over_base"
"""Name of the win rate where groups are compared: there its difference is tested, and not the rate itself,
which an evaluation compares with one half."""
_SeriesOf = Mapping[tuple[str, str], Series]
"""The measures of a run by variant and measure."""
_TextsOf = Mapping[tuple[str, str], str]
"""The answers of a run by variant and prompt id."""


@dataclass(frozen=True)
class SettingChange:
    """A setting with another value in another group; None where it is not set."""

    setting: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class RunGroup:
    """Runs of the same constitution, settings and models, with different seeds."""

    key: str
    """`A`, `B` and so on."""
    runs: tuple[RunSource, ...]
    changes: tuple[Change, ...] = ()
    """Differences of its constitution from that of the first group."""
    settings: tuple[SettingChange, ...] = ()
    """Differences of its settings from those of the first group."""
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Measures that its constitution and the first group's define differently, each with the reason."""
    told_by: str = ""
    """What tells it from groups whose constitutions have the same name, such as its file, if any."""

    def key_of(self, run: RunSource) -> str:
        """Return the short name of a run on the page, such as `A`, or `A2` if the group has several."""
        return self.key if len(self.runs) == 1 else f"{self.key}{self.runs.index(run) + 1}"

    @property
    def name(self) -> str:
        """Name of the constitution, its version if it has one, and what tells it from others of that name."""
        return f"{_name_of(self.runs[0])} ({self.told_by})" if self.told_by else _name_of(self.runs[0])


@dataclass(frozen=True)
class GroupCell:
    """One measure in one group."""

    group: str
    value: Figure
    runs: tuple[Figure, ...]
    """The value of each run; the figures' names end in the labels of the runs."""
    delta: Figure | None = None
    """Difference from the first group, paired by prompt; None if the two are not compared."""
    outcome: ChangeOutcome | None = None
    not_compared: str = ""
    """Why the value is not compared with that of the first group; empty if it is."""
    adjusted_p: float | None = None
    """The p-value of the difference, adjusted for all differences of the variant (Holm)."""
    is_same_text: bool = False
    """True if its answers are those of the first group, word for word, and the value is the same."""
    is_same_model: bool = False
    """True if they are, besides, answers of the same model before training: no chance has a part in that."""

    @property
    def is_beyond_noise(self) -> bool:
        """True if the difference from the first group is more than chance explains."""
        return self.outcome in BEYOND_NOISE

    @property
    def seeds_differ(self) -> bool:
        """True if the runs have different values."""
        return len({run.value for run in self.runs}) > 1


@dataclass(frozen=True)
class ComparedMeasure:
    """One measure of one variant in all groups."""

    variant: str
    measure: str
    title: str
    cells: tuple[GroupCell | None, ...]
    is_paired: bool
    """False if the values of single prompts are not recorded, so that only means are compared."""


@dataclass(frozen=True)
class GroupComparison:
    """All groups, and their measures by variant."""

    groups: tuple[RunGroup, ...]
    variants: tuple[str, ...]
    rows: tuple[ComparedMeasure, ...]
    prompts: Mapping[str, Figure]
    """Number of prompts that all runs answered, by variant."""

    def of(self, variant: str) -> list[ComparedMeasure]:
        """Return the measures of a variant."""
        return [row for row in self.rows if row.variant == variant]

    def moved(self, group: RunGroup) -> list[tuple[ComparedMeasure, GroupCell]]:
        """Return the measures of the first variant in which a group differs from the first one."""
        rows = self.of(self.variants[0]) if self.variants else []
        cells = [(row, cell) for row in rows for cell in row.cells if cell and cell.group == group.key]
        return [(row, cell) for row, cell in cells if cell.is_beyond_noise]

    def lead(self, group: RunGroup) -> str:
        """Return in one sentence what a group changes and whether a measure moved beyond noise."""
        edits = [f"{change.principle} {change.kind}" for change in group.changes if change.principle]
        edits += [setting.setting for setting in group.settings]
        listed = list(dict.fromkeys(edits))
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        what = ", ".join(listed[:_LISTED]) + more or "no principle and no setting"
        begun = f"{group.key} differs from {self.groups[0].key} in: {what}"
        if not self.variants:
            return f"{begun}. No run was evaluated, so nothing was measured."
        moved = [row.title for row, _ in self.moved(group)]
        if not moved:
            return f"{begun}. No measure of {self.variants[0]} moved beyond noise."
        return f"{begun}. Moved beyond noise, of {self.variants[0]}: {', '.join(moved)}."

    def not_compared(self, group: RunGroup) -> list[tuple[ComparedMeasure, str]]:
        """Return the measures of the first variant that a group and the first one define differently."""
        rows = self.of(self.variants[0]) if self.variants else []
        cells = [(row, cell) for row in rows for cell in row.cells if cell and cell.group == group.key]
        return [(row, cell.not_compared) for row, cell in cells if cell.not_compared]

    def edited(self, group: RunGroup) -> tuple[EditedPrinciple, ...]:
        """Return the principles that a group edits, with what measures each."""
        return edited_principles(
            group.changes, group.runs[0].constitution, {row.measure for row in self.rows}
        )

    def cell(self, measure: str, group: RunGroup) -> GroupCell | None:
        """Return a measure of the first variant in a group; None if there is none."""
        rows = [row for row in self.of(self.variants[0]) if row.measure == measure] if self.variants else []
        return next((cell for row in rows for cell in row.cells if cell and cell.group == group.key), None)

    def uncompared(self, measure: str, group: RunGroup) -> tuple[tuple[str, Figure], ...]:
        """Return a measure of the first variant in the first group and in another, each with its group's key.

        It is empty unless the two define the measure differently: the values are shown and not compared.
        """
        cells = (self.cell(measure, self.groups[0]), self.cell(measure, group))
        if cells[1] is None or not cells[1].not_compared:
            return ()
        return tuple((cell.group, cell.value) for cell in cells if cell is not None)

    def seeds_agree(self, variant: str) -> bool:
        """Return True if groups have several runs of a variant, and all of them the same values."""
        cells = [cell for row in self.of(variant) for cell in row.cells if cell and len(cell.runs) > 1]
        return bool(cells) and not any(cell.seeds_differ for cell in cells)


def group_runs(runs: Sequence[RunSource]) -> tuple[RunGroup, ...]:
    """Return the groups of runs that differ only in their seed, in order of appearance."""
    members: dict[str, list[RunSource]] = {}
    for run in runs:
        members.setdefault(_identity_of(run), []).append(run)
    first = next(iter(members.values()))[0]
    told = _told_apart([own[0] for own in members.values()])
    groups = []
    for number, own in enumerate(members.values()):
        ordered = tuple(sorted(own, key=lambda run: (run.seed, run.label)))
        key = _letter(number)
        changes, settings = _changes(first, own[0]), _settings(first, own[0])
        not_compared = _not_compared(first, own[0], key)
        groups.append(RunGroup(key, ordered, changes, settings, not_compared, told[number]))
    return tuple(groups)


def _name_of(run: RunSource) -> str:
    constitution = run.constitution
    return run.label if constitution is None else f"{constitution.name} {constitution.version}".strip()


def _told_apart(runs: Sequence[RunSource]) -> list[str]:
    """Return for each run what tells it from the others of its name: the file, else the label of the run."""
    found = []
    for run in runs:
        same = [one for one in runs if _name_of(one) == _name_of(run)]
        files = [_file_of(one) for one in same]
        is_told = len(set(files)) == len(files) and "" not in files
        found.append("" if len(same) == 1 else _file_of(run) if is_told else run.label)
    return found


def _file_of(run: RunSource) -> str:
    """Return the name of the constitution's file, as the run was made from it; empty if it is not known."""
    with suppress(PubliusError):  # the file of settings is damaged
        return Path(run.reader.config.constitution).name
    return ""


def compare_groups(
    groups: Sequence[RunGroup],
    series: Mapping[str, Iterable[Series]],
    results: Mapping[str, Results],
    book: FigureBook,
    measures: Collection[str] | None = None,
) -> GroupComparison:
    """Return the measures of all groups, paired by prompt where the values of single prompts are known.

    Args:
        groups: as `group_runs` returns them.
        series: the measures of each run by prompt, by the run's label.
        results: the evaluation of each run that has one, by the run's label.
        book: takes the figures.
        measures: names of the measures to compare, whose differences alone are tested together; None for all.
    """
    found: dict[str, _SeriesOf] = {
        label: {(one.variant, one.measure): one for one in own} for label, own in series.items()
    }
    variants = _variants_of(results.values())
    texts = {run.label: _texts_of(run) for group in groups for run in group.runs}
    rows: list[ComparedMeasure] = []
    prompts: dict[str, Figure] = {}
    for variant in variants:
        pairing = _Pairing.of(variant, groups, found, texts, measures)
        paired = pairing.rows(groups, book) if pairing else []
        if pairing is not None:
            prompts[variant] = book.count(f"compare.{variant}.prompts", len(pairing.prompts))
        rows += paired
        unpaired = _unpaired(variant, groups, results, {row.measure for row in paired}, book)
        rows += [row for row in unpaired if measures is None or row.measure in measures]
    return GroupComparison(tuple(groups), variants, tuple(rows), prompts)


@dataclass(frozen=True)
class _Pairing:
    """The groups that have a variant, and the prompts that all of their runs answered."""

    variant: str
    groups: tuple[RunGroup, ...]
    found: Mapping[str, _SeriesOf]
    prompts: tuple[str, ...]
    texts: Mapping[str, _TextsOf]
    measures: Collection[str] | None
    """Names of the measures to compare; None for all."""

    @classmethod
    def of(
        cls,
        variant: str,
        groups: Sequence[RunGroup],
        found: Mapping[str, _SeriesOf],
        texts: Mapping[str, _TextsOf],
        measures: Collection[str] | None,
    ) -> _Pairing | None:
        """Return the pairing of a variant; None if no prompt was answered in all runs that have it."""
        having = [g for g in groups if all((variant, _ALWAYS) in found.get(r.label, {}) for r in g.runs)]
        known = [set(found[r.label][variant, _ALWAYS].values) for g in having for r in g.runs]
        shared = sorted(set.intersection(*known)) if known else ()
        return cls(variant, tuple(having), found, tuple(shared), texts, measures) if shared else None

    def rows(self, groups: Sequence[RunGroup], book: FigureBook) -> list[ComparedMeasure]:
        """Return the measures that all runs have, with a cell for each of all groups."""
        metrics = self._metrics()
        return [
            ComparedMeasure(
                self.variant,
                measure,
                title_of(measure, ""),
                tuple(self._cell(measure, group, metrics, book) for group in groups),
                True,
            )
            for measure in (WIN_RATE if name == _OVER_BASE else name for name in metrics.measures)
        ]

    def _metrics(self) -> EvaluationMetrics:
        """Return an evaluation with groups in place of variants: the first group is the base."""
        runs = [run for group in self.groups for run in group.runs]
        names = [name for variant, name in self.found[runs[0].label] if variant == self.variant]
        series = [
            Series(
                self._name(group),
                _tested(name),
                self._series(runs[0], name).unit,
                self._means(group, name),
            )
            for name in names
            if self.measures is None or name in self.measures
            if all((self.variant, name) in self.found[run.label] for run in runs)
            for group in self.groups
        ]
        counted = {name for one in series for name in one.values}  # prompts, and texts of losses
        return EvaluationMetrics.of(metrics_of(series, counted, runs[0].seed)[0])

    def _cell(
        self, measure: str, group: RunGroup, metrics: EvaluationMetrics, book: FigureBook
    ) -> GroupCell | None:
        key = (self._name(group), _tested(measure))
        reason = group.not_compared.get(measure, "")
        value, delta = metrics.values.get(key), None if reason else metrics.deltas.get(key)
        if group not in self.groups or value is None:
            return None
        prefix = f"compare.{self.variant}.{measure}"
        change = delta and delta.model_copy(update={"name": f"{group.key}.{DELTA}"})
        is_same = bool(delta) and metrics.outcome(*key) == "same" and self._has_same_texts(group)
        return GroupCell(
            group.key,
            book.metric(prefix, value.model_copy(update={"name": group.key})),
            tuple(book.add(self._run_mean(prefix, run, measure)) for run in group.runs),
            book.metric(prefix, change, is_difference=True) if change else None,
            metrics.outcome(*key) if delta else None,
            reason,
            metrics.adjusted_p_value(*key) if delta else None,
            is_same,
            is_same and self.variant == BASE and self._has_same_model(group),
        )

    def _has_same_model(self, group: RunGroup) -> bool:
        models = [run.manifest["models"].get("policy") for run in (self.groups[0].runs[0], group.runs[0])]
        return len(set(models)) == 1

    def _has_same_texts(self, group: RunGroup) -> bool:
        """Return True if all runs of a group and of the first one wrote the same answers to all prompts."""
        runs = [run for one in (self.groups[0], group) for run in one.runs]
        known = ([self.texts[run.label].get((self.variant, p)) for run in runs] for p in self.prompts)
        return all(None not in own and len(set(own)) == 1 for own in known)

    def _name(self, group: RunGroup) -> str:
        return BASE if group == self.groups[0] else group.key

    def _series(self, run: RunSource, measure: str) -> Series:
        return self.found[run.label][self.variant, measure]

    def _means(self, group: RunGroup, measure: str) -> dict[str, float]:
        """Return the mean over a group's runs by prompt or text, of those for which all runs have a value."""
        values = [self._series(run, measure).values for run in group.runs]
        return {one: fmean(own[one] for own in values) for one in self._shared(measure)}

    def _run_mean(self, prefix: str, run: RunSource, measure: str) -> Figure:
        one = self._series(run, measure)
        values = [one.values[prompt] for prompt in self._shared(measure)]
        return Figure(f"{prefix}.{run.label}", fmean(values), one.unit, len(values))

    def _shared(self, measure: str) -> list[str]:
        """Return the prompts or texts for which all runs have a value of a measure."""
        runs = [run for group in self.groups for run in group.runs]
        return sorted(set.intersection(*(set(self._series(run, measure).values) for run in runs)))


def _texts_of(run: RunSource) -> _TextsOf:
    return {(one.variant, one.prompt.id): one.generation.text for one in run.reader.answers}


def _tested(measure: str) -> str:
    return _OVER_BASE if measure == WIN_RATE else measure


def _unpaired(
    variant: str,
    groups: Sequence[RunGroup],
    results: Mapping[str, Results],
    known: set[str],
    book: FigureBook,
) -> Iterator[ComparedMeasure]:
    """Yield the measures of which only means are recorded, such as the KL divergence."""
    measures: dict[str, str] = {}
    for result in results.values():
        measures |= {row.measure: row.title for row in result.rows if row.of(variant) is not None}
    for measure, title in measures.items():
        if measure in known:
            continue
        cells = tuple(_mean_cell(variant, measure, group, results, book) for group in groups)
        yield ComparedMeasure(variant, measure, title, cells, False)


def _mean_cell(
    variant: str, measure: str, group: RunGroup, results: Mapping[str, Results], book: FigureBook
) -> GroupCell | None:
    prefix = f"compare.{variant}.{measure}"
    own = []
    for run in group.runs:
        row = results[run.label].row(measure) if run.label in results else None
        cell = row.of(variant) if row else None
        if cell is not None:
            own.append(
                book.add(Figure(f"{prefix}.{run.label}", cell.value.value, cell.value.unit, cell.value.n))
            )
    if not own:
        return None
    mean = Figure(f"{prefix}.{group.key}", fmean(figure.value for figure in own), own[0].unit)
    return GroupCell(group.key, book.add(mean), tuple(own), not_compared=group.not_compared.get(measure, ""))


def _variants_of(results: Iterable[Results]) -> tuple[str, ...]:
    """Return the variants of all runs; the ones that summaries are about come first, then the others."""
    found = list(results)
    main = [one.main for one in found if one.main is not None]
    others = sorted({variant for one in found for variant in one.variants}, key=variant_rank)
    return tuple(dict.fromkeys([*main, *others]))


def _identity_of(run: RunSource) -> str:
    """Return everything that identifies a run, except for its seed, as text."""
    identity = run.reader.identity
    settings = {key: value for key, value in run.settings.items() if key not in _NO_SETTINGS}
    judge = run.manifest["stages"].get("eval", {}).get("judge") or {}
    models = {**({"judge": judge["digest"]} if judge else {}), **identity.models}
    parts = (identity.constitution, settings, identity.prompts, identity.templates, models)
    return json.dumps(parts, sort_keys=True)


def _changes(first: RunSource, other: RunSource) -> tuple[Change, ...]:
    if first.constitution is None or other.constitution is None:
        return ()
    return compare_constitutions(first.constitution, other.constitution).changes


def _not_compared(first: RunSource, other: RunSource, key: str) -> dict[str, str]:
    if first.constitution is None or other.constitution is None:
        return {}
    return different_yardsticks(first.constitution, other.constitution, (_letter(0), key))


def _settings(first: RunSource, other: RunSource) -> tuple[SettingChange, ...]:
    before, after = (dict(_leaves(run)) for run in (first, other))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return tuple(SettingChange(name, before.get(name), after.get(name)) for name in names)


def _leaves(run: RunSource) -> Iterator[tuple[str, str]]:
    """Yield the settings, the prompts and the models of a run as texts."""
    identity = run.reader.identity
    for name, value in nested_leaves({key: v for key, v in run.settings.items() if key not in _NO_SETTINGS}):
        yield name, _text(value)
    yield "prompts (digest)", identity.prompts[:16]
    yield "templates (digest)", identity.templates[:16]
    for role, name in run.manifest["models"].items():
        yield f"models.{role}", str(name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _letter(number: int) -> str:
    """Return `A` to `Z`, then `AA`, `BB` and so on."""
    return chr(ord("A") + number % 26) * (number // 26 + 1)
