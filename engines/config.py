"""The engine room's sections of the run file: which models, on which engine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

ROLES = ("policy", "critic", "labeler", "judge")
OPERATIONAL: dict[str, JsonValue] = {"operational": True}
"""Marks a field that has no part in a run's identity."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelConfig(_Section):
    """One model, as a Hugging Face id, a folder, or `smollm2-135m-instruct` for the embedded one."""

    id: str = Field(min_length=1)
    """Hugging Face id, local folder, or `smollm2-135m-instruct` (the embedded model)."""
    revision: str | None = None
    """Branch, tag or commit of the Hugging Face repository."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weight type; `auto` is float32 on a CPU and bfloat16 on a GPU."""
    chat_template_kwargs: dict[str, JsonValue] = {}
    """Passed to the chat template, for instance `{enable_thinking: false}`."""


class ModelsConfig(_Section):
    """The four roles. A role names a model, or another role whose model it shares."""

    policy: ModelConfig
    """The model that drafts answers and is trained."""
    critic: ModelConfig | Literal["policy"] = "policy"
    """Writes critiques and revisions."""
    labeler: ModelConfig | Literal["policy", "critic"] = "policy"
    """Judges comparisons for training."""
    judge: ModelConfig | None = None
    """Judges for evaluation. Left out, judged win rates are left out too."""

    def of(self, role: Literal["policy", "critic", "labeler"]) -> ModelConfig:
        """Return the model of a role, following `policy` and `critic` to the model that they name."""
        model = getattr(self, role)
        return model if isinstance(model, ModelConfig) else self.of(model)


class EngineConfig(_Section):
    """How requests are run. Operational fields change speed and memory, and never block a resume."""

    kind: Literal["transformers", "scripted"] = "transformers"
    """`transformers` runs the model in this process; `scripted` answers by rule, for dry runs and tests."""
    max_batch: int = Field(default=32, ge=1, json_schema_extra=OPERATIONAL)
    """Most requests that are decoded together."""
    max_batch_tokens: int = Field(default=16384, ge=256, json_schema_extra=OPERATIONAL)
    """Most tokens, prompts and answers together, that a batch may reach; bounds the memory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    concurrency: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Most conversations under way at once."""
