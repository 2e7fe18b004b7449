"""Settings of the run file for models and inference engines."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from core.errors import ConfigError
from core.settings import ADDED, OPERATIONAL, Section
from engines.arguments.rules import answer_arguments, refuse_owned

ROLES = ("policy", "critic", "labeler", "judge")

_CONVERSATIONS = 64
_VLLM_CONVERSATIONS = 512
"""Conversations in progress with vLLM on a GPU, whose decoding steps cost about the same at any batch size
up to here. vLLM queues what its KV cache cannot hold."""


def _passed_on(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    refuse_owned(arguments)
    return arguments


GpuIndex = Annotated[int, Field(ge=0)]
VllmArguments = Annotated[dict[str, JsonValue], AfterValidator(_passed_on)]
"""Arguments of vLLM's engine by name (`engines/arguments/rules.py`)."""


class ModelEngineConfig(Section):
    """Engine settings of one model, which take precedence over `engine`."""

    gpus: tuple[GpuIndex, ...] | None = Field(default=None, min_length=1, json_schema_extra=OPERATIONAL)
    """Indices of the GPUs that the model runs on, among those visible to the program. Default: all of them
    (vllm), the first (transformers). Training runs on the first, or on one for each process of a launcher;
    the processes share this list out equally."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """As `engine.gpu_memory_utilization`."""
    kv_cache_gib: float | None = Field(default=None, gt=0.0, json_schema_extra=OPERATIONAL)
    """As `engine.kv_cache_gib`."""
    max_model_len: int | None = Field(default=None, ge=16, json_schema_extra=OPERATIONAL)
    """As `engine.max_model_len`."""
    arguments: VllmArguments = Field(default={}, json_schema_extra=ADDED)
    """As `engine.arguments`; added to those, and of two with the same name this one is used."""

    def decisive(self) -> Self:
        """Return the settings without the arguments that affect only speed and memory."""
        return self.model_copy(update={"arguments": answer_arguments(self.arguments)})


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
    quantization). Adapters keep their own data type. Needs the extra `nf4`."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default={})
    """Arguments of the chat template, for example `{enable_thinking: false}`."""
    engine: ModelEngineConfig | None = Field(default=None, json_schema_extra=ADDED)
    """Engine settings of this model, for example `{gpus: [1]}`; they take precedence over `engine`."""


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
    """Maximum number of tokens in a prompt and its answer; if unset, the model's context length or as much of
    it as fits into the KV cache (vllm)."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Share of each GPU's memory for weights and KV cache together. Default: 0.9; beside models in training,
    what is free less a quarter of the GPU, which their training needs (vllm on CUDA)."""
    kv_cache_gib: float = Field(default=4.0, gt=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for the KV cache, including cached prefixes (vllm on a CPU)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device; `auto` is an NVIDIA GPU if there is one, else the CPU. Apple's `mps` is not supported."""
    device_map: Literal["single", "auto"] = Field(default="single", json_schema_extra=OPERATIONAL)
    """`auto` spreads the layers of a model that does not fit one GPU over all visible GPUs, and if they do
    not suffice over the CPU's memory (transformers, inference only; training refuses it)."""
    request_timeout_s: float | None = Field(
        default=3600.0, gt=0.0, allow_inf_nan=False, json_schema_extra=OPERATIONAL
    )
    """Seconds without progress of the engine on any request after which a request without an answer fails: it
    is skipped, counted and asked again on resume. Waiting in the queue does not count; null for no limit."""
    concurrency: int | None = Field(default=None, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of conversations in progress at once. Default: 512 with vllm on CUDA, else 64."""
    arguments: VllmArguments = Field(default={}, json_schema_extra=ADDED)
    """Further arguments of vLLM's engine, such as `{tensor_parallel_size: 2, quantization: fp8}`, checked
    against the installed version. Those that change answers are part of the run's identity (vllm)."""
    gpus: tuple[GpuIndex, ...] | None = Field(default=None, min_length=1, json_schema_extra=OPERATIONAL)
    """Indices of the GPUs that the models run on, among those visible to the program; a model's own are
    `models.ROLE.engine.gpus`. Default: all of them (vllm), the first (transformers)."""

    @model_validator(mode="after")
    def _passes_arguments_on(self) -> Self:
        if self.arguments and self.kind == "transformers":
            raise ValueError("arguments are those of vLLM, but kind is transformers; accepted: kind: vllm")
        if self.device_map == "auto" and (self.kind == "vllm" or self.gpus is not None):
            raise ValueError(
                "device_map: auto is for kind: transformers without gpus; accepted: device_map: single, or "
                "arguments: {tensor_parallel_size: N} for vllm"
            )
        return self

    def conversations(self, device: str | None) -> int:
        """Return the maximum number of conversations in progress at once.

        Args:
            device: the device that vLLM runs on; None if another engine runs.
        """
        return self.concurrency or (_VLLM_CONVERSATIONS if device == "cuda" else _CONVERSATIONS)

    def for_model(self, model: ModelConfig) -> EngineConfig:
        """Return the settings with those of a model in `models.ROLE.engine`.

        Raises:
            ConfigError: if the model has arguments for vLLM, and the engine is transformers.
        """
        own = model.engine
        if own is None:
            return self
        if own.arguments and self.kind == "transformers":
            raise ConfigError(
                "arguments are those of vLLM, but engine.kind is transformers",
                where="models.ROLE.engine.arguments",
                accepted="engine.kind: vllm",
            )
        if own.gpus is not None and self.device_map == "auto":
            raise ConfigError(
                "device_map is auto, which takes all visible GPUs",
                where="models.ROLE.engine.gpus",
                accepted="engine.device_map: single, or no gpus (CUDA_VISIBLE_DEVICES selects some)",
            )
        given = {name: value for name, value in own if value is not None}
        return self.model_copy(update={**given, "arguments": {**self.arguments, **own.arguments}})

    def decisive(self) -> Self:
        """Return the settings without the arguments that affect only speed and memory."""
        return self.model_copy(update={"arguments": answer_arguments(self.arguments)})
