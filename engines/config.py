"""The engine room's sections of the run file: which models, on which engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from core.errors import ConfigError
from core.settings import OPERATIONAL, Section

ROLES = ("policy", "critic", "labeler", "judge")


class ModelConfig(Section):
    """One model, as a Hugging Face id, a folder, or `smollm2-135m-instruct` for the embedded one."""

    id: str = Field(min_length=1)
    """Hugging Face id, local folder, or `smollm2-135m-instruct` (the embedded model)."""
    revision: str | None = None
    """Branch, tag or commit of the Hugging Face repository."""
    adapter: str | None = None
    """Folder of a LoRA adapter that the model wears."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weight type; `auto` is float32 on a CPU and bfloat16 on a GPU."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default={})
    """Passed to the chat template, for instance `{enable_thinking: false}`."""


class ModelsConfig(Section):
    """The four roles. A role names a model, or another role whose model it shares."""

    policy: ModelConfig
    """The model that drafts answers and is trained."""
    critic: ModelConfig | Literal["policy"] = "policy"
    """Writes critiques and revisions."""
    labeler: ModelConfig | Literal["policy", "critic"] = "policy"
    """Judges comparisons for training."""
    judge: ModelConfig | None = None
    """Judges for evaluation. Left out, judged win rates are left out too."""

    def of(self, role: Literal["policy", "critic", "labeler", "judge"]) -> ModelConfig:
        """Return the model of a role, following `policy` and `critic` to the model that they name.

        Raises:
            ConfigError: if it is the judge, and none is set.
        """
        model = getattr(self, role)
        if model is None:
            raise ConfigError(
                "no judge is set", where="models.judge", accepted="a model, by its id or folder"
            )
        return model if isinstance(model, ModelConfig) else self.of(model)


class EngineConfig(Section):
    """How requests are run. Operational fields change speed and memory, and never block a resume."""

    kind: Literal["transformers", "vllm", "scripted"] = "transformers"
    """`transformers` runs the model in this process, `vllm` in one of its own, for real work; `scripted`
    answers by rule, for dry runs and tests."""
    max_batch: int = Field(default=32, ge=1, json_schema_extra=OPERATIONAL)
    """Most requests that are decoded together (transformers)."""
    max_batch_tokens: int = Field(default=16384, ge=256, json_schema_extra=OPERATIONAL)
    """Most tokens, prompts and answers together, that a batch may reach; bounds the memory (transformers)."""
    max_model_len: int | None = Field(default=None, ge=16, json_schema_extra=OPERATIONAL)
    """Most tokens of prompt and answer together; unset, as many as the model was made for (vllm)."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Share of the GPU's memory for weights and cache together (vllm on CUDA)."""
    kv_cache_gib: float = Field(default=4.0, gt=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for keys and values of tokens under way and of cached prefixes (vllm on a CPU)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    concurrency: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Most conversations under way at once."""
