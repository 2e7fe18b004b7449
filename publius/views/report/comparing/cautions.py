"""What speaks against a comparison of runs: texts that no model wrote, and few held-out prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from publius.config.stand_ins import stand_ins_sentence
from publius.runs.pairs.caveats import scripted_roles
from publius.views.report.alarms import RunAlarm, few_prompts_alarm
from publius.views.report.comparing.groups import RunGroup
from publius.views.report.figures import Figure
from publius.views.report.reading.results import Results
from publius.views.report.reading.sources import RunSource

_SCRIPTED = "scripted engine"
_MADE_UP, _MADE_UP_LABELS = "made up (scripted engine)", "with made-up labels (scripted engine)"


def comparison_alarms(
    groups: Sequence[RunGroup], results: Mapping[str, Results], shared: Mapping[str, Figure]
) -> tuple[RunAlarm, ...]:
    """Return the alarms of a comparison, in the words of a single run's report, the most serious first.

    Args:
        groups: the runs by group; all of them.
        results: the evaluation of each run that has one, by the run's label.
        shared: number of prompts that all runs answered, by variant; empty if runs are not compared.
    """
    found = [*_of_texts(groups), *_of_prompts(results, shared)]
    return tuple(sorted(found, key=lambda alarm: alarm.kind != "serious"))


def _of_texts(groups: Sequence[RunGroup]) -> Iterator[RunAlarm]:
    """Yield that runs with and without texts of a model are mixed, and whose texts no model wrote."""
    roles = {run.label: _roles(run) for group in groups for run in group.runs}
    by_kind: dict[str, list[str]] = {}
    for group in groups:
        kinds = [_kind(run, roles[run.label]) for run in group.runs]
        keys = [group.key] if len(set(kinds)) == 1 else [group.key_of(run) for run in group.runs]
        for key, kind in zip(keys, kinds, strict=False):
            by_kind.setdefault(kind, []).append(key)
    scripted = {name for own in roles.values() for name in own}
    if scripted and len({tuple(sorted(own)) for own in roles.values()}) > 1:
        said = [
            f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'} {kind}" for kind, keys in by_kind.items()
        ]
        yield RunAlarm(
            "serious", "runs that cannot be compared", (f"{'; '.join(said)}: do not compare them",)
        )
    if scripted:
        ordered = tuple(dict.fromkeys(name for own in roles.values() for name in own))
        yield RunAlarm("serious", _SCRIPTED, (stand_ins_sentence(ordered),))


def _of_prompts(results: Mapping[str, Results], shared: Mapping[str, Figure]) -> Iterator[RunAlarm]:
    """Yield that the comparison is about few prompts: those that all runs share, or the fewest of a run."""
    counts = list(shared.values()) or [result.prompts for result in results.values()]
    if counts:
        fewest = min(counts, key=lambda figure: figure.value)
        trained_on = any(result.trained_on for result in results.values())
        yield from few_prompts_alarm(fewest, trained_on=trained_on)


def _roles(run: RunSource) -> tuple[str, ...]:
    return scripted_roles(run.folder, run.manifest)


def _kind(run: RunSource, roles: Sequence[str]) -> str:
    """Return who made the texts of a run: the scripted engine, or a model by name."""
    if not roles:
        models = run.models
        return f"of {models.get('policy') or models.get('labeler') or 'a model'}"
    return _MADE_UP_LABELS if tuple(roles) == ("labeler",) else _MADE_UP
