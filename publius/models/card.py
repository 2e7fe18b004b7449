"""`README.md` of what was trained: what it is, from which data, how well it does, and how to load it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from core.records import Metric
from core.text.documents import code_cell, code_span, document_template, escaped
from engines.embedded import EMBEDDED_NAME
from engines.reward_settings import RewardSettings
from evaluation.reward.report import cell

REWARD = "reward"
_WHAT = {
    "sft": "A language model, fine-tuned on answers (SFT).",
    "dpo": "A language model, trained on preferences that carry probabilities (soft DPO).",
    "ppo": "A language model, trained against rewards with a price on leaving its reference (PPO).",
    "rloo": "A language model, trained against rewards by comparing answers to one prompt (RLOO).",
    "grpo": "A language model, trained against rewards by comparing answers to one prompt (GRPO).",
    REWARD: "A reward model: it gives an answer one score, higher for the better answer.",
}
_TAGS = {REWARD: "reward-trainer"}
_COMBINED = {
    "mean": "the mean of theirs",
    "min": "the lowest of theirs",
    "uncertainty": "the mean of theirs, less {uncertainty:g} times their variance",
}
_AI_LIMIT = (
    "Some or all labels come from a language model. What is measured by such labels is agreement with that "
    "model, not with people."
)
_EMBEDDED_LIMIT = (
    "The base model has 135 million parameters. It shows how everything works, and is not fit for real use."
)
_REWARD_LIMIT = (
    "A reward model can be fooled: trained against it for long, a policy finds answers that score high and "
    "are not good."
)
_COMMON_LIMIT = "The model keeps the base model's faults, and its licence applies; so do those of the data."


@dataclass(frozen=True)
class CardContent:
    """What the card is made of."""

    name: str
    method: str
    """`sft`, `reward`, `dpo`, `ppo`, `rloo`, `grpo` or another that names itself."""
    base_model: str
    """Hugging Face id or folder, as transformers loads it."""
    examples: int
    steps: int
    seconds: float
    data_origin: str
    """What was read, in words."""
    versions: Mapping[str, str]
    """Of the packages that matter, by name."""
    data_digest: str | None = None
    """SHA-256 of the data, where it is a file."""
    held_out: int = 0
    """Examples that were held out for evaluation."""
    truncated: int = 0
    """Examples whose prompt was cut to fit."""
    best_step: int | None = None
    """The step whose weights these are, where that is not the last."""
    tokens: int | None = None
    """That went through the model in one epoch."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Counts by reason."""
    passed_over: Sequence[str] = ()
    """Columns of the data that nothing read."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Examples by where their labels come from, such as `{"ai": 900, "human": 100}`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the last step."""
    evaluation: Sequence[Metric] = ()
    constitution: str | None = None
    """Its name."""
    constitution_digest: str | None = None
    reward: RewardSettings | None = None
    """How the scores of a reward model are to be read."""
    merged: bool = False
    """Whether the folder holds a whole model instead of an adapter."""


def model_card(content: CardContent) -> str:
    """Return the card in Markdown. Names and texts of users are escaped, and never read as a template."""
    return document_template("publius", "model_card.md.j2").render(
        front_matter=_front_matter(content),
        name=escaped(content.name),
        what=_WHAT.get(content.method, f"A model, trained by {escaped(content.method)}."),
        base=code_span(content.base_model),
        merged=content.merged,
        constitution=content.constitution and escaped(content.constitution),
        constitution_digest=content.constitution_digest,
        # JSON's strings are Python's too.
        base_literal=json.dumps("." if content.merged else content.base_model),
        adapter_literal=json.dumps(content.reward.members[0] if content.reward else "."),
        is_reward=content.method == REWARD,
        reward=content.reward and _scale(content.reward),
        held_out=content.held_out,
        facts=_facts(content),
        sources=[(escaped(source), f"{count:,}") for source, count in content.sources.items()],
        data_origin=escaped(content.data_origin),
        data_digest=content.data_digest,
        passed_over=", ".join(map(code_span, content.passed_over)),
        left_out=[(escaped(reason), f"{count:,}") for reason, count in content.left_out.items()],
        settings=[(code_cell(name), code_cell(_value(value))) for name, value in content.settings.items()],
        metrics=[(code_cell(name), f"{value:.4g}") for name, value in content.metrics.items()],
        evaluation=[_evaluated(metric) for metric in content.evaluation],
        limits=list(map(escaped, _limits(content))),
        versions=[(escaped(package), escaped(version)) for package, version in content.versions.items()],
    )


def _front_matter(content: CardContent) -> str:
    fields = {
        "base_model": content.base_model,
        "library_name": "transformers" if content.merged else "peft",
        "tags": ["publius", _TAGS.get(content.method, content.method)],
    }
    dumped: str = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=2**16)
    return dumped


def _facts(content: CardContent) -> list[tuple[str, str]]:
    """Return the rows that say how much was done."""
    optional = {"weights are of step": content.best_step, "tokens in one epoch": content.tokens}
    counts = {
        "examples": content.examples,
        "held out for evaluation": content.held_out,
        "prompts cut to fit": content.truncated,
        "steps": content.steps,
        **{what: count for what, count in optional.items() if count is not None},
        "seconds": round(content.seconds),
    }
    return [("method", escaped(content.method)), *((what, f"{count:,}") for what, count in counts.items())]


def _scale(settings: RewardSettings) -> dict[str, str]:
    """Return what the settings of a reward model say, in words."""
    members = settings.members if len(settings.members) > 1 else ()
    return {
        "less_mean": f"{'+' if settings.mean < 0 else '-'} {abs(settings.mean):.6g}",
        "std": f"{settings.std:.6g}",
        "temperature": f"{settings.temperature:.6g}",
        "calibrated": "yes" if settings.temperature != 1 else "",
        "members": ", ".join(map(code_span, members)),
        "combine": _COMBINED[settings.combine].format(uncertainty=settings.uncertainty),
    }


def _limits(content: CardContent) -> list[str]:
    limits = [_COMMON_LIMIT]
    if any(re.match(r"ai\b", source) for source in content.sources):
        limits.append(_AI_LIMIT)
    if content.method == REWARD:
        limits.append(_REWARD_LIMIT)
    if EMBEDDED_NAME in content.base_model:
        limits.append(_EMBEDDED_LIMIT)
    return limits


def _evaluated(metric: Metric) -> tuple[str, str, str, str]:
    return (
        code_cell(metric.name),
        cell(metric),
        "%" if metric.unit == "share" else metric.unit,
        f"{metric.n:,}",
    )


def _value(value: Any) -> str:
    """Return a setting as it would stand in a run file."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str, ensure_ascii=False)
