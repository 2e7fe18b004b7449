"""Model cards: the `README.md` of a trained model.

A card describes the model, its training data and its evaluation, and shows how to load it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import yaml
from pydantic import Field

from core.records import Metric
from core.text.documents import code_cell, code_span, document_template, escaped
from engines.embedded import EMBEDDED_NAME
from engines.reward_settings import RewardSettings
from evaluation.judges.report import audit_card
from evaluation.reward.report import cell
from publius.config.card_terms import CardTerms
from publius.config.stand_ins import stand_ins_section
from publius.models.examples_used import UsedExamples
from publius.models.hub.shared_base import UNNAMED

REWARD = "reward"
_DESCRIPTIONS = {
    "sft": "A language model fine-tuned on example answers (SFT).",
    "dpo": "A language model trained on preferences with probabilities (soft DPO).",
    "ppo": "A language model trained against rewards, with a penalty on KL divergence (PPO).",
    "rloo": "A language model trained against rewards, by comparing answers to the same prompt (RLOO).",
    "grpo": "A language model trained against rewards, by comparing answers to the same prompt (GRPO).",
    "distill": "A language model trained to answer without its constitution as it answers with it in its "
    "prompt (on-policy distillation).",
    REWARD: "A reward model. It gives each answer one score; better answers score higher.",
}
_TAGS = {REWARD: "reward-trainer"}
_COMBINED = {
    "mean": "the mean of the members' scores",
    "min": "the lowest of the members' scores",
    "uncertainty": "the mean of the members' scores minus {uncertainty:g} times their variance",
}
_WAYS = {
    "draft": "draft",
    "revision": "revision after critique",
    "draw": "plain sample",
    "sample": "plain sample",
    "prompted": "sampled with the constitution in front",
    "begun": "begun for the model, which continued",
    "wide": "sampled at a higher temperature",
    "repaired": "repaired: edited by rule so that the checks pass",
}
"""How the answers of an origin were made."""
_AI_LIMIT = (
    "Some or all labels come from a language model. Metrics on such labels measure agreement with that "
    "model, not with annotators."
)
_EMBEDDED_LIMIT = (
    "The base model has 135 million parameters. It is a demonstration and not suitable for real use."
)
_REWARD_LIMIT = (
    "A reward model can be exploited: a policy that is trained against it for long finds answers that score "
    "high but are not good."
)
_COMMON_LIMIT = (
    "The model inherits the faults of the base model. The licences of the base model and of the data apply."
)


@dataclass(frozen=True)
class CardContent:
    """The values that a card is rendered from; also written to `card.json`."""

    name: str
    method: str
    """`sft`, `reward`, `dpo`, `ppo`, `rloo`, `grpo` or `distill`; any other name is shown as it is."""
    base_model: str
    """Hugging Face id or folder that transformers can load."""
    examples: int
    steps: int
    seconds: float
    data_origin: str
    """Description of the training data."""
    versions: Mapping[str, str]
    """Versions of the packages that affect results, by package name."""
    data_digest: str | None = None
    """SHA-256 of the data, if it is a file."""
    held_out: int = 0
    """Number of examples held out for evaluation."""
    truncated: int = 0
    """Number of examples whose prompt was truncated to fit."""
    best_step: int | None = None
    """The step whose weights were saved, if it is not the last one."""
    tokens: int | None = None
    """Number of tokens in one epoch."""
    excluded: Annotated[Mapping[str, int], Field(alias="left_out")] = field(default_factory=dict)
    """Number of excluded examples by reason."""
    ignored_columns: Annotated[Sequence[str], Field(alias="passed_over")] = ()
    """Ignored columns of the data."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Number of examples by label source, such as `{"ai": 900, "human": 100}`."""
    origins: Mapping[str, int] = field(default_factory=dict)
    """Number of answers to learn by how they were made, such as `{"draw": 40, "repaired": 12}`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the last step."""
    evaluation: Sequence[Metric] = ()
    constitution: str | None = None
    """Name of the constitution."""
    constitution_digest: str | None = None
    reward: RewardSettings | None = None
    """Scale, temperature and members of a reward model."""
    merged: bool = False
    """True if the folder holds a model with the adapter merged into its weights."""
    full: bool = False
    """True if all weights were trained, so that the folder holds a whole model."""
    audit: Mapping[str, Any] = field(default_factory=dict)
    """What an audit says about the labeler of the preferences; empty without an audit."""
    failed_gates: Sequence[str] = ()
    """The gates that the run failed, if its model was exported nevertheless."""
    stand_ins: Sequence[str] = ()
    """Roles whose texts or labels are by the scripted engine."""
    caveats: Sequence[str] = ()
    """What speaks against the labels, as sentences."""
    license: str | None = None
    """Licence that an exported model's card states."""
    languages: Sequence[str] = ()


def model_card(content: CardContent, base_note: str = "") -> str:
    """Return the card in Markdown. Names and texts of users are escaped and never rendered as templates.

    Args:
        content: what it says.
        base_note: what to know of the base model before it is loaded.
    """
    return document_template("publius", "model_card.md.j2").render(
        front_matter=_front_matter(content),
        name=escaped(content.name),
        what=_DESCRIPTIONS.get(content.method, f"A model trained by {escaped(content.method)}."),
        base=code_span(content.base_model),
        base_note=escaped(base_note),
        merged=content.merged,
        full=content.full,
        constitution=content.constitution and escaped(content.constitution),
        constitution_digest=content.constitution_digest,
        gates=gates_section(content.failed_gates),
        caveats=_caveats(content),
        # A JSON string is also a valid Python literal, so quotes in a name cannot break the code block.
        base_literal=json.dumps("." if content.merged or content.full else content.base_model),
        adapter_literal=json.dumps(content.reward.members[0] if content.reward else "."),
        is_reward=content.method == REWARD,
        reward=content.reward and _scale(content.reward),
        held_out=content.held_out,
        facts=_facts(content),
        sources=[(escaped(source), f"{count:,}") for source, count in content.sources.items()],
        origins=[(_made(way), f"{count:,}") for way, count in content.origins.items()],
        data_origin=escaped(content.data_origin),
        data_digest=content.data_digest,
        ignored_columns=", ".join(map(code_span, content.ignored_columns)),
        excluded=[(escaped(reason), f"{count:,}") for reason, count in content.excluded.items()],
        settings=[(code_cell(name), code_cell(_value(value))) for name, value in content.settings.items()],
        metrics=[(code_cell(name), f"{value:.4g}") for name, value in content.metrics.items()],
        evaluation=[_evaluated(metric) for metric in content.evaluation],
        audit=audit_card(content.audit) if content.audit else None,
        limits=list(map(escaped, _limits(content))),
        versions=[(escaped(package), escaped(version)) for package, version in content.versions.items()],
    )


def gates_section(failed: Sequence[str]) -> str:
    """Return the lines of a card about failed gates, in Markdown; empty if none failed."""
    if not failed:
        return ""
    what = "a gate" if len(failed) == 1 else f"{len(failed)} gates"
    lines = "".join(f"- {escaped(line)}\n" for line in failed)
    return f"**The run failed {what}**, and was exported with --force:\n\n{lines}"


def _front_matter(content: CardContent) -> str:
    fields = {
        **CardTerms(content.license, tuple(content.languages)).fields(),
        **({} if content.base_model == UNNAMED else {"base_model": content.base_model}),
        "library_name": "transformers" if content.merged or content.full else "peft",
        "tags": ["publius", _TAGS.get(content.method, content.method)],
    }
    dumped: str = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=2**16)
    return dumped


def used_examples(content: CardContent) -> UsedExamples:
    """Return how many of its examples the training used."""
    return UsedExamples(content.method, content.examples, content.held_out, content.excluded)


def _caveats(content: CardContent) -> list[str]:
    """Return what is to be read before everything else, in Markdown."""
    found = [stand_ins_section(content.stand_ins)] if content.stand_ins else []
    few = used_examples(content).warning
    found += [f"**Few examples**: it {escaped(few)}."] if few else []
    return found + [escaped(caveat) for caveat in content.caveats]


def _facts(content: CardContent) -> list[tuple[str, str]]:
    """Return the rows of the training table."""
    optional = {"weights from step": content.best_step, "tokens in one epoch": content.tokens}
    counts = {
        "examples": content.examples,
        **({"excluded": excluded} if (excluded := sum(content.excluded.values())) else {}),
        "held out for evaluation": content.held_out,
        "prompts truncated to fit": content.truncated,
        "steps": content.steps,
        **{what: count for what, count in optional.items() if count is not None},
        "seconds": round(content.seconds),
    }
    return [("method", escaped(content.method)), *((what, f"{count:,}") for what, count in counts.items())]


def _scale(settings: RewardSettings) -> dict[str, str]:
    """Return the settings of a reward model as the strings that the card shows."""
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
    if EMBEDDED_NAME in content.base_model.lower():
        limits.append(_EMBEDDED_LIMIT)
    return limits


def _evaluated(metric: Metric) -> tuple[str, str, str, str]:
    return (
        code_cell(metric.name),
        cell(metric),
        "%" if metric.unit == "share" else metric.unit,
        f"{metric.n:,}",
    )


def _made(way: str) -> str:
    """Return how the answers of an origin were made; an unknown one is shown as it is."""
    return _WAYS.get(way, escaped(way))


def _value(value: Any) -> str:
    """Return a setting as it would be written in a run file."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str, ensure_ascii=False)
