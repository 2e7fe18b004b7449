"""The measures of an evaluation that need forward passes: KL divergence, and losses."""

from __future__ import annotations

from collections.abc import Sequence

from core.libraries import memory_errors
from core.notices import note
from core.records import Answer
from core.store.cache import RequestCache
from engines.config import WITHOUT_WEIGHTS
from evaluation.measures import Series
from publius.runs.folder import Run
from publius.stages.quality.divergence import divergence_series
from publius.stages.quality.losses import LossMeter, fluency_series, text_series
from publius.stages.quality.policies import Policies
from training.policy import load_encoder


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
    try:
        if config.kl:
            with memory_errors("the KL divergence", run.folder, "eval.kl=false, or a smaller max_new_tokens"):
                by_prompt += divergence_series(run, encoder, policies, cache, answers)
        if config.quality:
            meter = LossMeter(run, policies, cache)
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
