"""Settings of the run file for models and inference engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from core.errors import ConfigError
from core.settings import ADDED, OPERATIONAL, Section
from engines.arguments.rules import answer_arguments, refuse_owned
from engines.endpoint.settings import (
    Budget,
    ExtraBody,
    Prefill,
    Prices,
    Seconds,
    ServerUrl,
    Timeouts,
    VariableName,
)

ROLES = ("policy", "critic", "labeler", "judge")

_CONVERSATIONS = 64
_VLLM_CONVERSATIONS = 512
"""Conversations in progress with vLLM on a GPU, whose decoding steps cost about the same at any batch size
up to here. vLLM queues what its KV cache cannot hold."""


def _passed_on(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    refuse_owned(arguments)
    return arguments


Dialect = Literal["chat", "systemone", "decisions"]
Kind = Literal["transformers", "vllm", "scripted", "http"]
WITHOUT_WEIGHTS: frozenset[Kind] = frozenset({"scripted", "http"})
"""Kinds of engines that have no weights on this machine, so nothing can be trained or measured with them."""
_OF_KIND: dict[str, Kind] = {
    "arguments": "vllm",
    "replicas": "vllm",
    "device_map": "transformers",
    "url": "http",
    "api_key_env": "http",
    "extra_body": "http",
    "prefill": "http",
    "dialect": "http",
}
"""Settings that only one kind of engine has; a model with an engine of another kind does not inherit them."""
_OF_SERVER = (
    *(name for name, kind in _OF_KIND.items() if kind == "http"),
    *("prices", "budget", "timeouts", "max_tries", "outage_s", "unreachable_s"),
)
"""Settings of one model that do nothing without a server."""
_WRITERS = ("policy", "critic")
"""Roles that write text."""
_OF_WEIGHTS = ("revision", "adapter", "quantization")
"""Settings of a model that whoever loads its weights decides: with http, the server."""

GpuIndex = Annotated[int, Field(ge=0)]
VllmArguments = Annotated[dict[str, JsonValue], AfterValidator(_passed_on)]
"""Arguments of vLLM's engine by name (`engines/arguments/rules.py`)."""


class ModelEngineConfig(Section):
    """Engine settings of one model, which take precedence over `engine`."""

    kind: Kind | None = Field(default=None, json_schema_extra=ADDED)
    """As `engine.kind`: roles may be run by different engines, such as a labeler behind a server."""
    url: ServerUrl | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.url`."""
    api_key_env: VariableName | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.api_key_env`; a model with a `url` of its own does not take over that of `engine`."""
    extra_body: ExtraBody = Field(default={}, json_schema_extra=ADDED)
    """As `engine.extra_body`; added to those if `url` and `dialect` are the same, and of two with the same
    name this one is used."""
    prefill: Prefill | None = Field(default=None, json_schema_extra=ADDED)
    """As `engine.prefill`."""
    dialect: Dialect | None = Field(default=None, json_schema_extra=ADDED)
    """As `engine.dialect`."""
    prices: Prices | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.prices`."""
    budget: Budget | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """A budget for this model alone, beside `engine.budget`."""
    concurrency: int | None = Field(default=None, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of requests at this model's server at once (http)."""
    timeouts: Timeouts | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.timeouts`."""
    max_tries: int | None = Field(default=None, ge=1, json_schema_extra=OPERATIONAL)
    """As `engine.max_tries`."""
    outage_s: Seconds | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.outage_s`."""
    unreachable_s: Seconds | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """As `engine.unreachable_s`."""
    gpus: tuple[GpuIndex, ...] | None = Field(default=None, min_length=1, json_schema_extra=OPERATIONAL)
    """Indices of the GPUs that the model runs on, among those visible to the program. Default: all of them
    (vllm), the first (transformers). Training runs on the first, or on one for each process of a launcher;
    the processes share this list out equally."""
    replicas: int | None = Field(default=None, ge=1, json_schema_extra=OPERATIONAL)
    """As `engine.replicas`."""
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

    kind: Kind = "transformers"
    """`transformers` runs the model in this process; `vllm` runs it in a process of its own, for large runs;
    `http` asks a server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, Ollama, LiteLLM, a
    provider); `scripted` answers by fixed rules without a model, for dry runs and tests."""
    max_batch: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of requests that are decoded together (transformers)."""
    max_batch_tokens: int = Field(default=16384, ge=256, json_schema_extra=OPERATIONAL)
    """Maximum number of tokens in a batch, prompts and answers together; bounds the memory (transformers)."""
    prefix_cache_gib: float = Field(default=1.0, ge=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for keys and values of finished conversations, for reuse by the next request of each; 0
    for none (transformers)."""
    pack_weights: bool | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Whether the weights of linear layers are packed for oneDNN when a model is loaded on a CPU; changes
    answers by rounding at most. Default: on AMD processors with AVX-512 (transformers)."""
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
    """Maximum number of conversations in progress at once, and of requests at a server at once. Default: 512
    for each replica with vllm on CUDA, else 64."""
    arguments: VllmArguments = Field(default={}, json_schema_extra=ADDED)
    """Further arguments of vLLM's engine, such as `{tensor_parallel_size: 2, quantization: fp8}`, checked
    against the installed version. Those that change answers are part of the run's identity (vllm)."""
    gpus: tuple[GpuIndex, ...] | None = Field(default=None, min_length=1, json_schema_extra=OPERATIONAL)
    """Indices of the GPUs that the models run on, among those visible to the program; a model's own are
    `models.ROLE.engine.gpus`. Default: all of them (vllm), the first (transformers)."""
    replicas: int = Field(default=1, ge=1, json_schema_extra=OPERATIONAL)
    """Copies of each model, each in a process of its own with an equal share of `gpus` (vllm). Requests about
    the same prompt go to the same copy, whose prefix cache holds what they share. `max_model_len`, memory and
    `arguments`, such as `tensor_parallel_size`, are those of each copy."""
    url: ServerUrl | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Address of the server, with or without `/v1`, such as `http://localhost:11434` (http). The same model
    behind another address is the same model: no request is sent again."""
    api_key_env: VariableName | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Environment variable that holds the server's key; the key itself is written nowhere. Default: none, and
    OPENAI_API_KEY for api.openai.com (http)."""
    extra_body: ExtraBody = Field(default={}, json_schema_extra=ADDED)
    """Further fields of every request, of the server's own, such as `{reasoning_effort: low}`; part of the
    run's identity (http)."""
    prefill: Prefill = Field(default="auto", json_schema_extra=ADDED)
    """How the server continues an answer that Publius begins: `continue` by vLLM's and SGLang's
    `continue_final_message`, `assistant` if it continues a last message of the assistant by itself, `none` if
    it cannot; `auto` finds out with a short request (http)."""
    dialect: Dialect = Field(default="chat", json_schema_extra=ADDED)
    """How the server is asked: `chat` by chat completions; `systemone` (`/v1/systemone`) and `decisions`
    (`/v1/decisions`) by typed questions, which are answered with probabilities and without text. Only the
    labeler and the judge can be asked so (http)."""
    timeouts: Timeouts = Field(default=Timeouts(), json_schema_extra=OPERATIONAL)
    """Time limits of one try of a request, in seconds (http)."""
    max_tries: int = Field(default=16, ge=1, json_schema_extra=OPERATIONAL)
    """Tries after which a request is given up: its record is skipped, counted and asked again on resume. A
    refusal for overload (429, 503) counts as an eighth of a try (http)."""
    outage_s: Seconds = Field(default=600.0, json_schema_extra=OPERATIONAL)
    """Seconds without a usable answer to any request after which the run ends; it can be resumed (http)."""
    unreachable_s: Seconds = Field(default=30.0, json_schema_extra=OPERATIONAL)
    """Seconds without a connection to the server after which the run ends (http)."""
    prices: Prices | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Prices of the server in US dollars per million tokens, such as `{input: 0.15, output: 0.6}` (http)."""
    budget: Budget | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Most that the run may spend on servers: `{tokens: 2000000}`, `{usd: 5}` or both. When it is spent, the
    run ends with its work saved; requests in flight are still answered (http)."""

    @model_validator(mode="after")
    def _passes_arguments_on(self) -> Self:
        if self.arguments and self.kind not in ("vllm", "scripted"):
            raise ValueError(f"arguments are those of vLLM, but kind is {self.kind}; accepted: kind: vllm")
        if self.replicas > 1 and self.kind not in ("vllm", "scripted"):
            raise ValueError(f"replicas are those of vLLM, but kind is {self.kind}; accepted: kind: vllm")
        for name in ("url", "api_key_env", "extra_body", "dialect"):
            if getattr(self, name) not in (None, {}, "chat") and self.kind != "http":
                raise ValueError(f"{name} is that of a server, but kind is {self.kind}; accepted: kind: http")
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
        if self.concurrency is not None:
            return self.concurrency
        return _VLLM_CONVERSATIONS * self.replicas if device == "cuda" else _CONVERSATIONS

    def for_model(self, model: ModelConfig, role: str = "ROLE") -> EngineConfig:
        """Return the settings with those of a model in `models.ROLE.engine`.

        Args:
            model: the model.
            role: its role, for messages.

        Raises:
            ConfigError: if the settings of both do not fit each other, or the model does not fit its engine.
        """
        own, where = model.engine, f"models.{role}.engine"
        if own is None:
            _require_servable(self, (self.budget,), model, role)
            return self
        kind = own.kind or self.kind
        for name in ("arguments", "replicas"):
            if getattr(own, name) and kind not in ("vllm", "scripted"):
                raise ConfigError(
                    f"{name} are those of vLLM, but engine.kind is {kind}",
                    where=f"{where}.{name}",
                    accepted="engine.kind: vllm",
                )
        foreign = next((name for name in _OF_SERVER if getattr(own, name) not in (None, {})), None)
        if foreign is not None and kind != "http":
            raise ConfigError(
                f"{foreign} is that of a server, but engine.kind is {kind}",
                where=f"{where}.{foreign}",
                accepted="kind: http beside it",
            )
        base = self._with_kind(kind)
        if own.gpus is not None and base.device_map == "auto":
            raise ConfigError(
                "device_map is auto, which takes all visible GPUs",
                where=f"{where}.gpus",
                accepted="engine.device_map: single, or no gpus (CUDA_VISIBLE_DEVICES selects some)",
            )
        given = {name: value for name, value in own if value is not None}
        if own.url is not None:
            given["api_key_env"] = own.api_key_env  # a key goes to no server that it was not meant for
        # Fields of one server's own mean nothing to another, or on another route.
        same = own.url in (None, base.url) and own.dialect in (None, base.dialect)
        merged = base.model_copy(
            update={
                **given,
                "kind": kind,
                "arguments": {**base.arguments, **own.arguments},
                "extra_body": {**(base.extra_body if same else {}), **own.extra_body},
            }
        )
        _require_servable(merged, (self.budget, own.budget), model, role)
        return merged

    def _with_kind(self, kind: Kind) -> EngineConfig:
        """Return the settings for another kind of engine, without those that only this kind has."""
        if kind == self.kind:
            return self
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        others = {name: defaults[name] for name, only in _OF_KIND.items() if only != kind}
        return self.model_copy(update={**others, "kind": kind})

    def decisive(self) -> Self:
        """Return the settings without the arguments that affect only speed and memory."""
        return self.model_copy(update={"arguments": answer_arguments(self.arguments)})


def _require_servable(
    engine: EngineConfig, budgets: Sequence[Budget | None], model: ModelConfig, role: str
) -> None:
    """Raise ConfigError if a server is to run a model, and is unknown or cannot do what is asked for."""
    if engine.kind != "http":
        return
    if engine.url is None:
        raise ConfigError(
            "engine.kind is http, but no url is set",
            where="engine.url" if model.engine is None else f"models.{role}.engine.url",
            accepted="the address of a server, such as http://localhost:8000/v1",
        )
    if engine.dialect != "chat" and role in _WRITERS:
        raise ConfigError(
            f"dialect is {engine.dialect}, which answers questions and writes no text",
            where=f"models.{role}",
            accepted="chat; the labeler's own dialect is models.labeler.engine.dialect",
        )
    if engine.prices is None and any(budget is not None and budget.usd is not None for budget in budgets):
        raise ConfigError(
            "the budget is in dollars, but no prices are set",
            where=f"models.{role}.engine.prices" if model.engine else "engine.prices",
            accepted="prices: {input: ..., output: ...}, in US dollars per million tokens",
        )
    for name in _OF_WEIGHTS:
        if getattr(model, name) is not None:
            raise ConfigError(
                f"{name} is set, but a server runs the model ({engine.url}) and decides that",
                where=f"models.{role}.{name}",
                accepted="the name under which the server has it, as models.ROLE.id",
            )
