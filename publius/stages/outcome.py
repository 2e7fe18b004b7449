"""The outcome of running stages: their results, label metrics, caveats and exclusions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from constitution.draw import in_scope
from core.errors import ConfigError
from core.records import Metric
from engines.endpoint.spending import server_records_of
from evaluation.config import STEERED
from evaluation.gates.recorded import failed_gates
from evaluation.measures import ceiling_sentences, cut_off_sentences
from evaluation.report import out_of_scope_principles, unmeasured_principles
from publius.models.reward_model import read_metrics, read_reward_metrics
from publius.runs.estimates import compared
from publius.runs.inputs import RESOLVED, recorded_config
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import caveats
from publius.runs.pairs.label_metrics import label_metrics
from publius.runs.pairs.unpaired import all_left_out
from publius.runs.parts.shards import SHARD, Shard
from publius.runs.reader import RunReader, readable_constitution
from publius.stages.base import StageResult
from publius.stages.compare import FEW_COMPARED
from publius.stages.human_labels import STAGE
from publius.stages.quality.steered import read_choice
from publius.stages.training.few import FEW_LEARNED


class UncheckedGatesError(ConfigError):
    """Gates name what the evaluation does not have. All stages are complete, and their results are saved."""

    outcome: RunOutcome | None = None


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of running stages of a run."""

    folder: Path
    stages: tuple[StageResult, ...]
    is_whole: bool = False
    """True if all stages of the run were asked for, not named ones."""

    def require_checked_gates(self) -> None:
        """Raise UncheckedGatesError, with this outcome, if a gate could not be checked."""
        problems = [problem for one in self.stages if one.mistakes for problem in one.mistakes.problems]
        if problems:
            error = UncheckedGatesError.of(problems)
            error.outcome = self
            raise error

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """A line for each failed gate of the recorded evaluation, unless stages before it were asked for."""
        evaluated = self.is_whole or any(result.stage == "eval" for result in self.stages)
        return failed_gates(evaluation_of(self.folder)) if evaluated else ()

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values, with metrics of the whole run folder."""
        manifest = read_manifest(self.folder)
        labels = label_metrics(self.folder) if "label" in manifest["stages"] else {}
        stages: dict[str, dict[str, Any]] = manifest["stages"]
        servers = [record.as_json() for record in server_records_of(stages.values())]
        few = stages.get("compare", {}).get(FEW_COMPARED)
        return {
            "run": str(self.folder),
            "caveats": [*caveats(self.folder, manifest, labels), *chain(*evaluation_caveats(self.folder))],
            "stages": {result.stage: result.as_json() for result in self.stages},
            "left_out": all_left_out(manifest),
            "critique": stages.get("critique", {}).get("loop", {}),
            "samples": stages.get("sample", {}).get("yield", {}),
            "rounds": stages.get("dpo", {}).get("rounds", []),
            "advice": {stage: entry["advice"] for stage, entry in stages.items() if entry.get("advice")},
            **({FEW_COMPARED: few} if few else {}),
            **({FEW_LEARNED: learned} if (learned := few_learned(stages)) else {}),
            "prompts": manifest.get("prompts", {}),
            **({"shard": shard_of(self.folder)} if SHARD in manifest else {}),
            "figures": labels,
            **({"judged": principles_per_pair(self.folder)} if "label" in stages else {}),
            "people": manifest.get(STAGE, {}),
            "reward": read_reward_metrics(self.folder / "reward"),
            "choice": read_choice(self.folder / STEERED),
            "evaluation": evaluation_of(self.folder),
            **({"unmeasured": list(unmeasured)} if (unmeasured := unmeasured_of(self.folder)) else {}),
            **({"out_of_scope": list(outside)} if (outside := out_of_scope_of(self.folder)) else {}),
            **({"late": manifest["late"]} if manifest["late"] else {}),
            **({"servers": servers} if servers else {}),
            **({"estimated": estimated} if (estimated := [c.as_json() for c in compared(manifest)]) else {}),
        }


def few_learned(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what each training of a run on few examples said before it began, by stage."""
    return {stage: entry[FEW_LEARNED] for stage, entry in stages.items() if entry.get(FEW_LEARNED)}


def shard_of(folder: Path) -> dict[str, int]:
    """Return the number of a shard, how many there are, and how many prompts it has."""
    with RunReader(folder) as run:
        shard = Shard(**run.manifest[SHARD])
        own = sum(shard.has(prompt.id) for prompt in run.prompts)
    return {"number": shard.number, "count": shard.count, "prompts": own}


def principles_per_pair(folder: Path) -> dict[str, int]:
    """Return how many of a run's principles the labeler is asked about per pair, `asked` out of `of`.

    Principles with a machine check are not among them: each of the `checks` is evaluated on the pairs that it
    is for, which are not all for `scoped_checks`. Where principles of the labeler are for some prompts only,
    `asked` is the largest number of a pair and `least` the smallest.
    """
    with RunReader(folder) as run:
        principles, asked = run.constitution.steering, run.config.label.principles
        judged = [principle for principle in principles if principle.check is None]
        most = len(judged) if asked == "all" else min(asked, len(judged))
        found = {"asked": most, "of": len(judged), "checks": len(principles) - len(judged)}
        scoped = [principle for principle in principles if principle.applies_to or principle.exempt]
        found["scoped_checks"] = sum(principle.check is not None for principle in scoped)
        if any(principle.check is None for principle in scoped):
            applying = (sum(in_scope(p, pair.prompt) for p in judged) for pair in run.all_comparisons())
            numbers = {min(most, number) for number in applying}
            if numbers:
                found |= {"asked": max(numbers), "least": min(numbers)}
    return found


class EvaluationCaveats(NamedTuple):
    """What speaks against the numbers of an evaluation, as sentences."""

    cut_off: tuple[str, ...] = ()
    """Answers end at the token limit."""
    ceiling: tuple[str, ...] = ()
    """Base keeps a rule in every answer."""


def evaluation_caveats(folder: Path) -> EvaluationCaveats:
    """Return what speaks against the numbers of a run's evaluation; nothing if it has none."""
    content = evaluation_of(folder)
    if content is None or not (folder / RESOLVED).exists():
        return EvaluationCaveats()
    constitution = readable_constitution(folder)  # None if its Python checks are not allowed
    metrics = _metrics_in(content)
    limit = recorded_config(folder).eval.sampling.max_new_tokens
    return EvaluationCaveats(cut_off_sentences(metrics, constitution, limit), ceiling_sentences(metrics))


def unmeasured_of(folder: Path) -> tuple[str, ...]:
    """Return the principles of a run that its evaluation did not measure: they have no check and no judge."""
    content = evaluation_of(folder)
    constitution = readable_constitution(folder)
    if content is None or constitution is None:
        return ()
    return unmeasured_principles(constitution, judged=bool(content.get("judged")))


def out_of_scope_of(folder: Path) -> tuple[str, ...]:
    """Return the principles with a check that no prompt of a run's evaluation is in the scope of."""
    content = evaluation_of(folder)
    constitution = readable_constitution(folder)
    if content is None or constitution is None:
        return ()
    return out_of_scope_principles(constitution, _metrics_in(content))


def _metrics_in(content: Mapping[str, Any]) -> list[Metric]:
    """Return the metrics of an evaluation; those of newer versions may have further fields."""
    known = (
        {key: one[key] for key in one.keys() & Metric.model_fields} for one in content.get("metrics", ())
    )
    return [Metric.model_validate(one) for one in known]


def evaluation_of(folder: Path) -> dict[str, Any] | None:
    """Return the content of a run's `eval/metrics.json`, or None if the run was not evaluated."""
    return read_metrics(folder / "eval" / "metrics.json")
