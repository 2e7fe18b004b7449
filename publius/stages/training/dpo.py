"""The DPO stage: one training on the run's preferences, or several rounds of sampling and training.

Round 1 learns from the run's own preferences. Each later round samples answers from the model of the round
before it, labels them and trains on from that model, which is its reference (on-policy, or iterative, DPO:
Xu et al. 2023, arXiv 2312.16682; Guo et al. 2024, arXiv 2402.04792).

    rounds/1/dpo/                     the model of round 1
    rounds/2/  comparisons.jsonl ...  the records of round 2, in the form of a run folder
    rounds/2/dpo/                     its model
    dpo/                              a copy of the last round's model

Each part is resumable by itself, so the whole is: finished rounds are found and reused.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import ConfigError, NothingToLearnError
from core.notices import note, warn
from engines.cached import RequestCounts
from publius.models.provenance import Provenance, report_training, write_card
from publius.models.training_job import training_job
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.parts.trained import trained_adapter
from publius.sources.held_out import held_out_of
from publius.stages.base import StageResult, prompts_of, require_stage
from publius.stages.compare import compare_answers, compared_splits
from publius.stages.label import judge_and_aggregate
from publius.stages.training.examples import (
    job_of,
    labelled,
    preference_pairs,
    record_training,
    siblings_of,
    start_of,
)
from publius.stages.training.few import warn_before_training
from training.examples import PreferencePair
from training.job import ROUNDS, TrainingJob, TrainingResult
from training.pairs.dpo import train_dpo
from training.processes import world_size


async def dpo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy on the preferences by DPO, starting from `dpo.init`, in `dpo.rounds` rounds."""
    require_stage(run, "label")
    started, config = time.monotonic(), run.config.dpo
    if config.rounds > 1:
        return await _in_rounds(run, engines)
    engines.keep()
    pairs = list(preference_pairs(run))
    few = warn_before_training(run, "dpo", len(pairs))
    train, held_out = held_out_of(pairs, config.held_out, "dpo")
    job = job_of(run, "dpo", config, start_of(run, "dpo", config.init))
    result = train_dpo(train, job, config, held_out)
    origin = labelled(run, train, result.excluded)
    return record_training(run, job, [result], origin, config, started, few=few)


@dataclass(frozen=True)
class _Round:
    """A finished round of DPO."""

    number: int
    job: TrainingJob
    train: Sequence[PreferencePair]
    held_out: Sequence[PreferencePair]
    result: TrainingResult
    origin: Provenance
    requests: dict[str, int]
    """Requests and tokens of the round over all processes."""
    few: str | None
    """That the first round has few pairs."""

    @classmethod
    def trained(cls, run: Run, records: Run, number: int, start: Path | None) -> _Round:
        """Train a round on the preferences in `records`, or find its result, and write its model card.

        Raises:
            NothingToLearnError: if no pair can be used.
        """
        config, folder = run.config.dpo, run.round_folder(number) / "dpo"
        pairs = list(preference_pairs(records))
        few = warn_before_training(run, "dpo", len(pairs)) if number == 1 else None
        train, held_out = held_out_of(pairs, config.held_out, "dpo")
        siblings = [other / ROUNDS / str(number) / "dpo" for other in siblings_of(run)]
        if number == 1:  # the same training as that of a run with a single round
            siblings += [other / "dpo" for other in siblings_of(run)]
        job = training_job(run.config, "dpo", config, folder, start, siblings)
        job = replace(job, title=f"dpo round {number} of {config.rounds}")
        result = train_dpo(train, job, config, held_out)
        origin = labelled(records, train, result.excluded)
        write_card(job, [result], origin, config)
        for row in result.excluded:
            records.exclude("dpo", row.id, row.reason, row.detail)
        stages = records.manifest["stages"] if number > 1 else {}
        spent = [stages.get(stage, {}).get("requests", {}) for stage in ("compare", "label")]
        names = ("asked", "reused", "prompt_tokens", "completion_tokens")
        requests = {name: sum(part.get(name, 0) for part in spent) for name in names}
        return cls(number, job, train, held_out, result, origin, requests, few)

    def as_json(self) -> dict[str, Any]:
        """Return the round's entry in the manifest."""
        return {"round": self.number, "pairs": self.result.examples, **self.requests}


async def _in_rounds(run: Run, engines: Engines) -> StageResult:
    if world_size() > 1:
        raise ConfigError(
            "rounds after the first sample and label answers, which one process does",
            where=f"dpo.rounds={run.config.dpo.rounds}",
            accepted="1 under accelerate launch, or a launch in one process",
        )
    started, counts = time.monotonic(), RequestCounts()
    engines.keep()
    rounds = [_Round.trained(run, run, 1, start_of(run, "dpo", run.config.dpo.init))]
    took_s = 0.0
    lacking: str | None = None
    while len(rounds) < run.config.dpo.rounds:
        number, last = rounds[-1].number + 1, rounds[-1].job.folder
        if _too_late(run, number, took_s):
            break
        begun = time.monotonic()
        report_training(rounds[-1].job.title, [rounds[-1].result], None)
        with run.open_round(number) as records:
            counts += await _sampled(run, records, engines, number, last)
            engines.keep()
            try:
                rounds.append(_Round.trained(run, records, number, last))
            except NothingToLearnError as error:
                lacking = f"round {number}: {error.what}, so the result is the model of round {number - 1}"
                note(f"dpo: {lacking}")
                break
        took_s = time.monotonic() - begun
    run.note_result("dpo", ROUNDS, [entry.as_json() for entry in rounds])
    result = _published(run, rounds[-1], started, counts, rounds[0].few)
    result.advice = run.note_advice("dpo", lacking)
    return result


def _too_late(run: Run, number: int, last_s: float) -> bool:
    """Return True, with a warning, if a round is not trained yet and would end too late.

    Args:
        run: the run.
        number: the round, from 2.
        last_s: seconds that the round before took; 0 if not known.
    """
    deadline, trained = run.deadline, trained_adapter(run.round_folder(number), "dpo")
    if deadline is None or trained is not None or deadline.allows_round(last_s):
        return False
    warn(deadline.shortfall(f"round {number} of DPO"))
    run.record_late(f"dpo round {number}")
    return True


async def _sampled(run: Run, records: Run, engines: Engines, number: int, last: Path) -> RequestCounts:
    """Sample answers of the last round's model, compare and label them in the records of a round."""
    for prompt in prompts_of(run, compared_splits(run)):
        records.prompts.append(prompt)
    title = f"round {number} of {run.config.dpo.rounds}"
    compared = await compare_answers(records, engines, last, f"compare, {title}")
    judged = await judge_and_aggregate(records, engines, f"label, {title}")
    return compared.counts + judged.counts


def _published(run: Run, last: _Round, started: float, counts: RequestCounts, few: str | None) -> StageResult:
    """Copy the model of the last round to `dpo/`, as the result of the stage, and record the stage."""
    config = run.config.dpo
    job = replace(last.job, folder=run.folder / "dpo", siblings=(last.job.folder,), title="")
    result = train_dpo(last.train, job, config, last.held_out)  # found in its sibling, and copied
    write_card(job, [result], last.origin, config)
    # What each round excluded is recorded with the round's own records.
    own = replace(result, excluded=())
    return record_training(run, job, [own], last.origin, config, started, counts=counts, few=few)
