"""Policy, critic and reference: one model with frozen weights, and adapters that are attached in turn.

    default      the policy, trained
    critic       trained, with a value head on the last hidden state; absent if the critic shares the policy's
                 trunk or there is no critic (RLOO, GRPO)
    reference    the policy's adapter at the start of training; absent if training starts from the bare model

Shapes: `A` answer tokens of a packed row, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from core.errors import EngineError
from core.lazy import require
from engines.adapter import WEIGHTS, attach_further_adapter, read_settings
from engines.hf.packing import PackedRow, pack
from engines.hf.sampling import wide
from engines.hf.self_check import (
    acting_adapter,
    continuation_logprobs,
    one_line,
    probe_rows,
    require_equal,
)
from engines.trees import Tree
from training.config import LoraConfig
from training.job import TrainingJob
from training.packed import PolicyScorer, bypassed, frozen_logprobs, mixed_precision
from training.policy import TRAIN_EXTRA, adapter_shape, load_policy
from training.rl.config import Critic
from training.rl.task import CriticOrigin

POLICY, CRITIC, REFERENCE = "default", "critic", "reference"
_CHUNK = 256
"""Answer tokens whose logits are in memory at a time: a row of them is as wide as the vocabulary."""
_SCORE = "base_model.model.score.weight"
"""A reward model's head among the weights of its adapter."""


class PolicyOutputs(NamedTuple):
    """Outputs of the policy for the tokens of answers, without gradient."""

    logprobs: torch.Tensor
    """(A,) in nats."""
    entropies: torch.Tensor
    """(A,) of the distributions that the tokens were drawn from, in nats."""
    values: torch.Tensor
    """(A,) of the value head on the same hidden states: a shared critic's values; 0 without a critic."""


class ActorCritic:
    """The policy with its critic and its reference.

    Args:
        policy: a peft model with the adapters named above.
        value_head: maps hidden states (D) to one value; None without a critic.
        probe: a prompt with an answer, on which the fastest exact way to compute is chosen.
        temperature: sampling temperature; logits are divided by it.
        bf16: whether to compute in mixed precision, with and without gradient.
        checkpointing: whether to recompute activations in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        policy: Any,
        value_head: torch.nn.Linear | None,
        probe: Tree,
        temperature: float,
        *,
        bf16: bool = False,
        checkpointing: bool = False,
    ) -> None:
        self.policy = policy
        self.value_head = value_head
        self.critic: Critic = "separate" if CRITIC in policy.peft_config else "shared"
        if value_head is None:
            self.critic = "none"
        self.wide = _wide_dtype(policy)
        """Weight type of the value head, and of what is computed from log-probabilities."""
        self._has_reference = REFERENCE in policy.peft_config
        self._temperature, self._bf16, self._checkpointing = temperature, bf16, checkpointing
        _disable_adapter_dropout(policy)
        if checkpointing:
            policy.gradient_checkpointing_enable({"use_reentrant": False})
        self.attach_policy()
        scorer = PolicyScorer(policy, probe)
        self.packed = scorer.packed
        self._head: Any = policy.get_output_embeddings()
        self._apart = scorer.head is not None and scorer.head.bias is None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.policy.parameters()).device
        return device

    def policy_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return the policy's trained parameters by name."""
        return _parameters(self.policy, POLICY)

    def critic_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return the critic's trained parameters by name: none without a critic."""
        if self.value_head is None:
            return {}
        own = _parameters(self.policy, CRITIC) if self.critic == "separate" else {}
        head = {f"value_head.{name}": value for name, value in self.value_head.named_parameters()}
        return {**own, **head}

    def row(self, trees: Sequence[Tree]) -> PackedRow:
        """Return prompts and answers as one row on the model's device."""
        return pack(trees, self.device)

    def logprobs(self, row: PackedRow, temperature: float | None = None) -> torch.Tensor:
        """Return (A,) the policy's log-probabilities in nats.

        Args:
            row: prompts and answers.
            temperature: None takes that of the draws.
        """
        self._attach(POLICY)
        with self.precision():
            return self._logprobs(row, self._outcome(row), temperature)

    def run(self, row: PackedRow, *, policy: bool, critic: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities and values, (A,) each, by one pass; empty if not asked for.

        Both at once are for a critic that shares the policy's trunk.
        """
        self._attach(POLICY if policy or self.critic == "shared" else CRITIC)
        with self.precision():
            hidden, output = self._forward(row, wants_logits=policy and not self._apart)
            logprobs = self._logprobs(row, output) if policy else hidden.new_empty(0)
            return logprobs, self._values(hidden) if critic else hidden.new_empty(0)

    @torch.no_grad()
    def outputs(self, row: PackedRow) -> PolicyOutputs:
        """Return log-probabilities, entropies and a shared critic's values, without gradient."""
        self._attach(POLICY)
        with self.precision():
            hidden, output = self._forward(row, wants_logits=not self._apart)
            return self._outputs(row, hidden, output)

    @torch.no_grad()
    def reference_logprobs(self, row: PackedRow) -> torch.Tensor:
        """Return (A,) the reference's log-probabilities in nats."""
        with self.precision():
            return self._logprobs(row, self.reference_states(row))

    @property
    def separate_head(self) -> torch.nn.Linear | None:
        """The output head that maps states to logits; None where states are the model's own logits."""
        return self._head if self._apart else None

    def states(self, row: PackedRow) -> torch.Tensor:
        """Return the policy's states before each answer token, (A, D), or logits without a separate head."""
        self._attach(POLICY)
        with self.precision():
            return self._outcome(row)

    @torch.no_grad()
    def reference_states(self, row: PackedRow) -> torch.Tensor:
        """Return the same of the reference, without gradient."""
        self._attach(REFERENCE if self._has_reference else POLICY)
        with nullcontext() if self._has_reference else self.policy.disable_adapter(), self.precision():
            return self._outcome(row)

    @torch.no_grad()
    def attach_policy(self) -> None:
        """Attach the policy's adapter, for sampling."""
        self._attach(POLICY)

    def _attach(self, name: str) -> None:
        train = torch.is_grad_enabled()
        # transformers recomputes activations in training mode only; dropout is disabled for good.
        self.policy.train(train and self._checkpointing)
        # Without `inference_mode`, peft would make the adapter's weights trainable.
        self.policy.set_adapter(name, inference_mode=not train)

    def _outcome(self, row: PackedRow) -> torch.Tensor:
        return self._forward(row, wants_logits=not self._apart)[1]

    def _forward(self, row: PackedRow, *, wants_logits: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return hidden states (A, D) before each answer token, and the model's output there.

        The output is logits (A, V), or, if they are not wanted, the hidden states scaled as the model scales
        its logits: Granite divides by a constant after the head, Cohere multiplies.
        """
        inputs: dict[str, Any] = row.inputs()
        if not self.packed:  # a single answer and no packing arguments, as any model accepts
            inputs = {name: inputs[name] for name in ("input_ids", "position_ids", "use_cache")}
        # Models return logits, not the last hidden state at chosen positions: a hook on the head's input gets
        # it, and bypassing the head saves the logits where they are not needed.
        seen: list[torch.Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        try:
            with nullcontext() if wants_logits else bypassed(self._head):
                output = self.policy(**inputs, logits_to_keep=row.predictors).logits[0]
        finally:
            hook.remove()
        return seen[0][0], output

    def _logprobs(
        self, row: PackedRow, output: torch.Tensor, temperature: float | None = None
    ) -> torch.Tensor:
        divisor = temperature or self._temperature
        if self._apart:
            # The head is linear without a bias: hidden / T gives logits / T.
            return frozen_logprobs(output / divisor, self._head, row.answer_ids)
        logits = wide(output) / divisor
        return logits.log_softmax(dim=-1).gather(-1, row.answer_ids.unsqueeze(-1)).squeeze(-1)

    def _values(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.value_head is None:
            return torch.zeros(len(hidden), dtype=self.wide, device=hidden.device)
        with torch.autocast(self.device.type, enabled=False):  # few numbers, so exactness costs nothing
            values: torch.Tensor = self.value_head(hidden.to(self.value_head.weight.dtype))
        return values.squeeze(-1)

    def precision(self) -> torch.autocast:
        """Return the context of all forward passes."""
        return mixed_precision(self.device, bf16=self._bf16)

    def _outputs(self, row: PackedRow, hidden: torch.Tensor, output: torch.Tensor) -> PolicyOutputs:
        logprobs, entropies = [], []
        for start in range(0, len(hidden), _CHUNK):
            part = slice(start, start + _CHUNK)
            found = output[part]
            if self._apart:
                found = torch.nn.functional.linear(found, self._head.weight)
            found = wide(found) / self._temperature
            total = found.logsumexp(dim=-1, keepdim=True)
            logprobs.append((found.gather(-1, row.answer_ids[part, None]) - total).squeeze(-1))
            probs = (found - total).exp()
            entropies.append(total.squeeze(-1) - (probs * found).nan_to_num(0.0).sum(dim=-1))
        return PolicyOutputs(torch.cat(logprobs), torch.cat(entropies), self._values(hidden))


def load_actor_critic(
    job: TrainingJob, critic: Critic, origin: CriticOrigin | None, probe: Tree, temperature: float
) -> ActorCritic:
    """Return policy, critic and reference over one model.

    Args:
        job: the model, its device and precision; shape and seed of new adapters; the adapter that the policy
            starts from, which is the reference too.
        critic: an adapter of its own (`separate`), a head on the policy's hidden states (`shared`), or none.
        origin: the reward model that a separate critic starts from; None starts with values of 0.
        probe: a prompt with an answer, on which the fastest exact way to compute is chosen.
        temperature: sampling temperature.

    Raises:
        EngineError: if the model or an adapter cannot be loaded, the reward model was made from another
            model, or the policy's log-probabilities are not those of single rows.
    """
    models = _load(job, critic, origin, probe, temperature)
    require_exact_rows(models, job.policy.id)
    return models


def require_exact_rows(models: ActorCritic, name: str) -> None:
    """Raise EngineError if the policy's log-probabilities differ from those of single rows."""
    policy = models.policy
    how = "packed rows" if models.packed else "rows without padding"
    with one_line(policy, how, name), acting_adapter(policy), torch.no_grad():
        first, second, third = probe_rows(policy)
        trees = [Tree(first, (second, third)), Tree(second, (third, first))]
        if not models.packed:
            trees = [Tree(tree.prompt_ids, (answer,)) for tree in trees for answer in tree.answers]
        prompts = [tree.prompt_ids for tree in trees for _ in tree.answers]
        answers = [answer for tree in trees for answer in tree.answers]
        rows = [models.row(trees)] if models.packed else [models.row([tree]) for tree in trees]
        joined: Any = torch.cat([models.logprobs(row, 1.0) for row in rows])
        found = joined.split([len(answer) for answer in answers])
        with models.precision():
            expected = continuation_logprobs(policy, prompts, answers)
            require_equal(policy, how, found, expected, name)


def _load(
    job: TrainingJob, critic: Critic, origin: CriticOrigin | None, probe: Tree, temperature: float
) -> ActorCritic:
    policy: Any = load_policy(job.policy, job.lora, job.device, job.seed, job.start)
    if job.start is not None:
        attach_further_adapter(policy, job.start, REFERENCE)
    ways = {"bf16": job.bf16, "checkpointing": job.optim.gradient_checkpointing}
    if critic == "none":
        return ActorCritic(policy, None, probe, temperature, **ways)
    width, device = policy.config.get_text_config().hidden_size, next(policy.parameters()).device
    head = torch.nn.Linear(width, 1, dtype=_wide_dtype(policy), device=device)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if critic == "separate":
        torch.manual_seed(job.seed)
        policy.add_adapter(CRITIC, _critic_shape(origin, job.lora, policy.get_base_model()))
        if origin is not None:
            _begin_as_reward_model(policy, head, origin)
    return ActorCritic(policy, head, probe, temperature, **ways)


def _critic_shape(origin: CriticOrigin | None, lora: LoraConfig, model: Any) -> Any:
    """Return peft's configuration of the critic's adapter: a new one, or the reward model's."""
    if origin is None:
        return adapter_shape(lora, "CAUSAL_LM", model)
    peft = require("peft", TRAIN_EXTRA)
    read_settings(origin.folder)
    shape = peft.LoraConfig.from_pretrained(str(origin.folder))
    shape.task_type, shape.modules_to_save, shape.inference_mode = "CAUSAL_LM", None, False
    shape.base_model_name_or_path = None  # peft would warn where the model's folder has another name
    return shape


def _begin_as_reward_model(policy: Any, head: torch.nn.Linear, origin: CriticOrigin) -> None:
    """Load the reward model's weights into the critic: its initial values are scores."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    learned = safetensors.load_file(origin.folder / WEIGHTS)
    score = learned.pop(_SCORE, None)
    own = peft.get_peft_model_state_dict(policy, adapter_name=CRITIC)
    shapes = ({name: value.shape for name, value in weights.items()} for weights in (own, learned))
    if score is None or score.shape != head.weight.shape or next(shapes) != next(shapes):
        raise EngineError(
            "the critic cannot start from this reward model: its adapter does not fit the policy's model",
            where=str(origin.folder),
            accepted="a reward model trained on the same model, or ppo.critic_init=zero",
        )
    peft.set_peft_model_state_dict(policy, learned, adapter_name=CRITIC)
    with torch.no_grad():
        head.weight.copy_(score * origin.scale)
        head.bias.fill_(-origin.mean * origin.scale)


def _parameters(policy: Any, adapter: str) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in policy.named_parameters() if adapter in name.split(".")}


def _disable_adapter_dropout(policy: Any) -> None:
    """Set the adapters' dropout to 0: it would add noise to the ratios. `load_policy` set the model's."""
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _wide_dtype(policy: Any) -> torch.dtype:
    return torch.float64 if next(policy.parameters()).dtype == torch.float64 else torch.float32
