"""Settings of the run file for models and inference engines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from core.errors import ConfigError
from core.settings import ADDED, OPERATIONAL, Section

ROLES = ("policy", "critic", "labeler", "judge")


class ModelConfig(Section):
    """A model: a Hugging Face id, a folder, or `smollm2-135m-instruct` for the embedded model."""

    id: str = Field(min_length=1)
    """Hugging Face id, local folder, or `smollm2-135m-instruct` (the embedded model)."""
    revision: str | None = None
    """Branch, tag or commit of the Hugging Face repository."""
    adapter: str | None = None
    """Folder of a LoRA adapter to attach to the model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Data type of the weights; `auto` is float32 on a CPU, and on a GPU bfloat16, or float16 if it has no
    bfloat16. With `quantization`, the data type of the computation."""
    quantization: Literal["nf4"] | None = Field(default=None, json_schema_extra=ADDED)
    """`nf4` stores the weights of the linear layers in 4 bits, as in QLoRA (bitsandbytes NF4 with double
    quantization). Adapters keep their own data type. Needs `pip install 'publius[nf4]'`."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default={})
    """Arguments of the chat template, for example `{enable_thinking: false}`."""


class ModelsConfig(Section):
    """Models of the four roles. A role has its own model, or names another role whose model it shares."""

    policy: ModelConfig
    """Model that drafts answers and is trained."""
    critic: ModelConfig | Literal["policy"] = "policy"
    """Model that writes critiques and revisions."""
    labeler: ModelConfig | Literal["policy", "critic"] = "policy"
    """Model that labels comparisons for training."""
    judge: ModelConfig | None = None
    """Model that judges answers in the evaluation. If unset, the report has no judged win rates."""

    def of(self, role: Literal["policy", "critic", "labeler", "judge"]) -> ModelConfig:
        """Return the model of a role; resolve `policy` and `critic` to the model of that role.

        Raises:
            ConfigError: if the role is `judge` and no judge is set.
        """
        model = getattr(self, role)
        if model is None:
            raise ConfigError(
                "no judge is set", where="models.judge", accepted="a model id or a model folder"
            )
        return model if isinstance(model, ModelConfig) else self.of(model)


class EngineConfig(Section):
    """How requests are run. Operational fields affect only speed and memory and never block a resume."""

    kind: Literal["transformers", "vllm", "scripted"] = "transformers"
    """`transformers` runs the model in this process; `vllm` runs it in a process of its own, for large runs;
    `scripted` answers by fixed rules without a model, for dry runs and tests."""
    max_batch: int = Field(default=32, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of requests that are decoded together (transformers)."""
    max_batch_tokens: int = Field(default=16384, ge=256, json_schema_extra=OPERATIONAL)
    """Maximum number of tokens in a batch, prompts and answers together; bounds the memory (transformers)."""
    max_model_len: int | None = Field(default=None, ge=16, json_schema_extra=OPERATIONAL)
    """Maximum number of tokens in a prompt and its answer; if unset, the model's context length (vllm)."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Share of the GPU's memory for weights and KV cache together (vllm on CUDA)."""
    kv_cache_gib: float = Field(default=4.0, gt=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for the KV cache, including cached prefixes (vllm on a CPU)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device; `auto` is a GPU if there is one, else the CPU."""
    device_map: Literal["single", "auto"] = Field(default="single", json_schema_extra=OPERATIONAL)
    """`auto` spreads the layers of a model that does not fit one GPU over all visible GPUs, and if they do
    not suffice over the CPU's memory (transformers, inference only; training refuses it)."""
    concurrency: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of conversations in progress at once."""
