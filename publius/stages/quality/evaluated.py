"""The work of an evaluation in words, and its measures by forward passes: KL divergence, and losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.libraries import memory_errors
from core.notices import counted, note
from core.records import Answer, Prompt
from core.store.cache import RequestCache
from engines.config import WITHOUT_WEIGHTS
from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.refusals.prompts import RefusalPrompts
from publius.runs.folder import Run
from publius.stages.judges.rated import is_rated
from publius.stages.quality.divergence import divergence_series
from publius.stages.quality.losses import LossMeter, fluency_series, text_series
from publius.stages.quality.policies import Policies
from training.policy import load_encoder


def planned_work(
    run: Run, prompts: Sequence[Prompt], variants: Sequence[str], refusals: RefusalPrompts | None
) -> Iterator[str]:
    """Yield lines that say what an evaluation asks and computes; some of it may be in the request cache.

    Args:
        run: the run.
        prompts: the held-out prompts that are answered.
        variants: the variants of the policy.
        refusals: the refusal prompts; None if refusals are not measured.
    """
    config = run.config.eval
    count, tokens = len(prompts) + len(refusals.prompts if refusals else ()), config.sampling.max_new_tokens
    answers = count * len(variants)
    yield (
        f"eval: {counted(count, 'prompt')} x {counted(len(variants), 'variant')} ({', '.join(variants)}): "
        f"{counted(answers, 'answer')} of at most {tokens:,} tokens"
    )
    others = len(prompts) * sum(variant != BASE for variant in variants)
    if run.config.models.judge is not None:
        rated = " and rates every answer under each principle without a check" if is_rated(run) else ""
        yield f"eval: then the judge compares {counted(others, 'answer')} with those of base{rated}"
    engine = run.config.engine.for_model(run.config.models.policy, "policy")
    if engine.kind in WITHOUT_WEIGHTS or not (config.kl or config.quality):
        return
    passes = [f"KL from base on {counted(others, 'answer')} (eval.kl: false skips it)"] if config.kl else []
    if config.quality:
        passes.append("losses on answers and neutral texts (eval.quality: false skips them)")
    yield f"eval: then forward passes: {'; '.join(passes)}"


def series_by_forward_passes(
    run: Run, cache: RequestCache, answers: Sequence[Answer]
) -> tuple[list[Series], list[Series]]:
    """Return the series by prompt (`kl`, `base_loss`) and those by neutral text of each variant.

    One model is loaded for all of them; the adapters of the variants take turns.
    """
    config = run.config.eval
    if not (config.kl or config.quality) or not can_load_policy(run):
        return [], []
    encoder = load_encoder(run.config.models.policy)
    variants = list(dict.fromkeys(answer.variant for answer in answers))
    policies = Policies(run, {variant: run.adapter(variant) for variant in variants})
    by_prompt: list[Series] = []
    by_text: list[Series] = []
    meter = LossMeter(run, policies, cache)
    try:
        if config.kl:  # first: it finds losses of base on the way
            with memory_errors("the KL divergence", run.folder, "eval.kl=false, or a smaller max_new_tokens"):
                by_prompt += divergence_series(run, encoder, meter, answers)
        if config.quality:
            with memory_errors("the losses", run.folder, "eval.quality=false"):
                by_prompt += fluency_series(run, meter, encoder, answers)
                by_text += text_series(run, meter, encoder, variants)
    finally:
        policies.close()
    return by_prompt, by_text


def can_load_policy(run: Run) -> bool:
    """Return True if forward passes are possible; print a note if several devices share the model."""
    engine = run.config.engine.for_model(run.config.models.policy, "policy")
    if engine.kind in WITHOUT_WEIGHTS:
        return False
    if engine.device_map == "auto":
        note(
            "no KL divergence and no losses: they need the model on one device, and engine.device_map is auto"
        )
        return False
    return True
