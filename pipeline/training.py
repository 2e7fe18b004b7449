"""The training stages: what the records amount to as training data, and where the adapters go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from core.errors import RunStateError
from core.records import Preference
from critique.supervised import supervised_data
from engines.cached import RequestCounts
from pipeline.engines import Engines
from pipeline.runs import Run
from pipeline.stage import COMMANDS, StageResult, require_stage
from training.config import Method
from training.dpo import train_dpo
from training.examples import AnsweredPrompt, LeftOut, PreferencePair
from training.fit import TrainingJob, TrainingResult, require_examples
from training.sft import train_sft


async def sft_stage(run: Run, engines: Engines) -> StageResult:
    """Fine-tune the policy on the answers that the critique loop arrived at."""
    require_stage(run, "critique")
    engines.keep()
    config = run.config.sft
    traces = (trace for trace in run.traces.sorted() if trace.prompt.split == "train")
    data = supervised_data(traces, run.constitution, config.benign_replay, run.config.seed)
    for prompt_id, reason in data.left_out:
        run.exclude("sft", prompt_id, reason)
    examples = [
        AnsweredPrompt(target.trace.prompt.id, target.trace.prompt.messages, target.answer.text)
        for target in data.targets
    ]
    require_examples(examples, [LeftOut(*row) for row in data.left_out], "answers")
    started = time.monotonic()
    job = _job(run, "sft", config.learning_rate, config.epochs, None)
    return _account(run, "sft", train_sft(examples, job), started)


async def dpo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy on the preferences, from where `dpo.init` says."""
    require_stage(run, "label")
    engines.keep()
    config = run.config.dpo
    started = time.monotonic()
    job = _job(run, "dpo", config.learning_rate, config.epochs, _start(run))
    result = train_dpo(list(_pairs(run)), job, config.beta, config.min_margin)
    return _account(run, "dpo", result, started)


def _job(
    run: Run, method: Method, learning_rate: float, epochs: float | None, start: Path | None
) -> TrainingJob:
    config = run.config
    siblings = [folder / method for folder in run.folder.parent.iterdir() if folder != run.folder]
    return TrainingJob(
        method=method,
        folder=run.folder / method,
        policy=config.models.policy,
        lora=config.lora,
        optim=config.optim,
        learning_rate=learning_rate,
        epochs=epochs if epochs is not None else config.optim.epochs,
        seed=config.seed,
        device=config.engine.device,
        start=start,
        siblings=tuple(sorted(siblings)),
    )


def _start(run: Run) -> Path | None:
    """Return the adapter that DPO starts from; None is the policy as it came."""
    init = run.config.dpo.init
    if init == "base" or (init == "auto" and "sft" not in run.config.train):
        return None
    adapter = run.adapter("sft")
    if adapter is None:
        raise RunStateError(
            "DPO starts from the SFT model, and there is none yet",
            where=str(run.folder / "sft"),
            accepted="dpo.init=base, or a finished SFT",
            run=f"{COMMANDS['sft']} RUN.yaml",
        )
    return adapter


def _pairs(run: Run) -> Iterator[PreferencePair]:
    """Yield the run's preferences as training takes them; held-out prompts have none."""
    if not (run.folder / "preferences.jsonl").exists():
        return
    for preference in run.preferences:
        yield PreferencePair(
            id=preference.comparison_id,
            prompt=preference.prompt,
            chosen=_text(preference, "chosen"),
            rejected=_text(preference, "rejected"),
            p_chosen=preference.p_chosen,
            weight=preference.weight,
            chosen_finished=preference.finished_chosen,
            rejected_finished=preference.finished_rejected,
        )


def _text(preference: Preference, side: str) -> str:
    answer = preference.chosen if side == "chosen" else preference.rejected
    return answer[0].content


def _account(run: Run, method: Method, result: TrainingResult, started: float) -> StageResult:
    """Record what a training used and left out."""
    for row in result.left_out:
        run.exclude(method, row.id, row.reason, row.detail)
    seconds = time.monotonic() - started
    run.record_stage(method, result.examples, RequestCounts(), seconds)
    return StageResult(method, result.examples, run.excluded(method), RequestCounts(), seconds)
