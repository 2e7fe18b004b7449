"""The scorer of a run's answers: its machine checks and, if `sample.judge` is set, its labeler."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import ConfigError
from critique.scoring import AnswerScorer
from labelers.modes.table import require_yes_or_no
from labelers.rewards import LabelerReward
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import Stage


def require_scored_answers(run: Run, stages: Sequence[Stage]) -> None:
    """Raise ConfigError if stages to run need scores of answers, and nothing in the run can give them."""
    config = run.config
    needs = {"sample": "sample", "compare": "compare.pairs=best_worst"}
    if config.compare.pairs != "best_worst":
        del needs["compare"]
    where = next((needs[stage] for stage in stages if stage in needs), None)
    if where is None or any(p.check is not None for p in run.constitution.principles):
        return
    if config.sample.judge and config.label.principles:
        return
    raise ConfigError(
        "no answer can be scored: no principle has a machine check, and the labeler is not asked",
        where=where,
        accepted="a principle with a check, or sample.judge=true with label.principles above 0",
    )


def scorer_of(run: Run, engines: Engines, *, judge: bool) -> AnswerScorer:
    """Return the scorer of a run; its labeler is None if only checks count.

    Args:
        run: the run.
        engines: its engines.
        judge: whether the labeler scores principles without a machine check.

    Raises:
        ConfigError: if the labeler may think before it answers yes or no.
        EngineError: if one of these words is not a single token of the labeler's tokenizer.
    """
    config = run.config
    judged = any(principle.check is None for principle in run.constitution.principles)
    if not (judge and config.label.principles and judged):
        return AnswerScorer(run.constitution)
    engine = engines.of("labeler")
    require_yes_or_no(engine, run.templates, config.label)
    limit = conversations(config.engine)
    labeler = LabelerReward(
        run.constitution, run.templates, config.label, engine, config.seed, concurrency=limit
    )
    return AnswerScorer(run.constitution, labeler)
