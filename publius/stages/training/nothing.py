"""Trainings that have nothing to learn from: in a run a result with advice, not an error."""

from __future__ import annotations

from core.errors import NothingToLearnError
from core.notices import warn
from critique.scoring import CUT
from critique.supervised import CUT_REVISIONS
from engines.cached import RequestCounts
from publius.runs.folder import Run
from publius.stages.base import StageResult
from publius.stages.training.usable import usable_pairs
from training.methods import RL_METHODS, Method
from training.pairs.encode import TOO_MANY_TOKENS


def nothing_learned(run: Run, method: Method, error: NothingToLearnError) -> StageResult:
    """Record that a method had nothing to learn from; return its result, with what to do about it.

    Raises:
        NothingToLearnError: the error itself, if no reason leaves out more examples than their length, or a
            method that learns from prompts has none: the answers are not to blame.
    """
    if method in RL_METHODS and "to train on" in error.what:
        raise error  # it learns from prompts, and there are none that it can use
    if error.reasons and error.reasons.get(TOO_MANY_TOKENS, 0) == max(error.reasons.values()):
        raise error
    advice = f"{error.what}; {_remedy(run, method, error)}"
    run.note_advice(method, advice)
    run.record_stage(method, 0, RequestCounts(), 0.0)
    warn(f"{method}: nothing to learn, so the run goes on without it: {advice}")
    return StageResult(method, 0, run.excluded(method), RequestCounts(), 0.0, advice)


def _remedy(run: Run, method: Method, error: NothingToLearnError) -> str:
    """Return what to change so that there is something to learn."""
    config = run.config
    if "nothing to learn" in error.what:
        return f"see the advice above, or set {method}.init=auto"
    if method == "distill":
        return (
            "use prompts that a principle applies to, and a constitution that fits the model's context "
            f"beside distill.max_new_tokens (now {config.distill.max_new_tokens})"
        )
    if "every answer passes" in (run.advice_of("compare") or ""):
        return "the policy follows the checks already; use a stricter check to go further"
    if method == "dpo" and (remedy := usable_pairs(run).remedy(config)):
        return remedy
    if CUT in error.reasons:
        limit = f"sample.sampling.max_new_tokens (now {config.sample.sampling.max_new_tokens:,})"
        if error.reasons[CUT] == sum(error.reasons.values()):
            return f"raise {limit}"
        return f"raise {limit} or sample.draws (now {config.sample.draws}), or list more in sample.teach"
    if error.reasons.get(CUT_REVISIONS):
        draft, revision = config.critique.draft.max_new_tokens, config.critique.revision.max_new_tokens
        return (
            f"raise critique.draft.max_new_tokens (now {draft:,}) and critique.revision.max_new_tokens "
            f"(now {revision:,})"
        )
    if method == "sft" and config.sft.source == "revisions":
        return (
            "raise critique.rounds or max_new_tokens, or learn from the best of K samples (sft.from=samples)"
        )
    if method == "sft" or config.compare.source == "samples":
        return (
            f"raise sample.draws (now {config.sample.draws}), list more in sample.teach, add examples to the "
            "principles, or use a check that some answers of the model pass and others fail"
        )
    return (
        "compare answers that differ: the best against the worst of scored samples (compare.from=samples), "
        "which sample.teach helps to differ"
    )
