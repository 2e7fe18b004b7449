"""The scorer of a run's answers: its machine checks and, if `sample.judge` is set, its labeler."""

from __future__ import annotations

from collections.abc import Sequence

from constitution.schema import Constitution
from core.errors import ConfigError
from critique.scoring import AnswerScorer
from labelers.modes.table import require_yes_or_no
from labelers.rewards import LabelerReward
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig
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
    if where is None or any(p.check is not None for p in run.constitution.steering):
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
    return scorer_for(run.config, run.constitution, run.templates, engines, judge=judge)


def scorer_for(
    config: RunConfig,
    constitution: Constitution,
    templates: PromptTemplates,
    engines: Engines,
    *,
    judge: bool,
) -> AnswerScorer:
    """Return the scorer of a configuration, as `scorer_of` does of a run."""
    judged = any(principle.check is None for principle in constitution.steering)
    if not (judge and config.label.principles and judged):
        return AnswerScorer(constitution)
    engine = engines.of("labeler")
    require_yes_or_no(engine, templates, config.label)
    limit = conversations(config.engine)
    labeler = LabelerReward(constitution, templates, config.label, engine, config.seed, concurrency=limit)
    return AnswerScorer(constitution, labeler)
