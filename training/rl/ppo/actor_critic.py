"""Policy, critic and reference of PPO: one model whose weights are frozen, and adapters that take turns.

    default      the policy: learns
    critic       learns, with a value head on the last hidden state; none where the critic shares the trunk
    reference    the policy's adapter as training found it; none where training starts from the bare model

Shapes: `A` answer tokens of a packed row, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from core.errors import EngineError
from core.lazy import require
from engines.adapter import WEIGHTS, adapter_digest, attach_further_adapter, read_settings
from engines.hf.packing import PackedRow, pack
from engines.trees import Tree
from training.config import LoraConfig
from training.job import TrainingJob
from training.packed import PolicyScorer, bypassed, frozen_logprobs
from training.policy import TRAIN_EXTRA, adapter_shape, load_policy

POLICY, CRITIC, REFERENCE = "default", "critic", "reference"
_CHUNK = 256
"""Answer tokens whose logits are held at once."""
_SCORE = "base_model.model.score.weight"
"""A reward model's head among the weights of its adapter."""


class PolicyOutputs(NamedTuple):
    """What the policy says of the tokens of answers, without gradient."""

    logprobs: torch.Tensor
    """(A,) in nats."""
    entropies: torch.Tensor
    """(A,) of the distributions that the tokens were drawn from, in nats."""
    values: torch.Tensor
    """(A,) what the value head makes of the same hidden states: a shared critic's values."""


@dataclass(frozen=True)
class CriticStart:
    """Where the critic starts from."""

    shared: bool = False
    """Whether it is a head on the policy's own hidden states, and not an adapter of its own."""
    reward: Path | None = None
    """Folder of a reward model's adapter that was trained on the same model; None starts from the bare model
    and from values of 0."""
    mean: float = 0.0
    """Score of the reward model at which values are 0."""
    scale: float = 1.0
    """By what scores are multiplied, so that values begin on the scale of the rewards."""

    def digest(self) -> tuple[object, ...]:
        """Return what tells one start from another. Raises EngineError if the adapter is missing."""
        return (self.shared, self.reward and adapter_digest(self.reward), self.mean, self.scale)


class ActorCritic:
    """The policy with its critic and its reference.

    Args:
        policy: a peft model with the adapters named above.
        value_head: from hidden states (D) to one value.
        probe: a prompt with an answer, by which the way to compute is chosen.
        temperature: at which the policy draws; its logits are divided by it.
        bf16: whether to compute in mixed precision, with gradient or without alike.
    """

    def __init__(
        self,
        policy: Any,
        value_head: torch.nn.Linear,
        probe: Tree,
        temperature: float,
        *,
        bf16: bool = False,
    ) -> None:
        self.policy = policy
        self.value_head = value_head
        self.shared = CRITIC not in policy.peft_config
        self._has_reference = REFERENCE in policy.peft_config
        self._temperature, self._bf16 = temperature, bf16
        self._wear(POLICY, train=False)
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
        """Return what the policy learns, by name."""
        return _parameters(self.policy, POLICY)

    def critic_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return what the critic learns, by name."""
        own = {} if self.shared else _parameters(self.policy, CRITIC)
        head = {f"value_head.{name}": value for name, value in self.value_head.named_parameters()}
        return {**own, **head}

    def row(self, trees: Sequence[Tree]) -> PackedRow:
        """Return prompts and answers as one row on the model's device."""
        return pack(trees, self.device)

    def logprobs(self, row: PackedRow, temperature: float | None = None) -> torch.Tensor:
        """Return (A,) the policy's log-probabilities in nats, with gradient.

        Args:
            row: prompts and answers.
            temperature: None takes the one at which the policy draws.
        """
        self._wear(POLICY)
        with self._precision():
            hidden, logits = self._run(row, wants_logits=not self._apart)
            return self._logprobs(row, hidden, logits, temperature)

    def values(self, row: PackedRow) -> torch.Tensor:
        """Return (A,) the critic's values before each answer token, with gradient."""
        self._wear(POLICY if self.shared else CRITIC)
        with self._precision():
            return self._values(self._run(row, wants_logits=False)[0])

    def logprobs_and_values(self, row: PackedRow) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both from one pass, with gradient: for a critic that shares the policy's trunk."""
        self._wear(POLICY)
        with self._precision():
            hidden, logits = self._run(row, wants_logits=not self._apart)
            return self._logprobs(row, hidden, logits), self._values(hidden)

    @torch.no_grad()
    def figures(self, row: PackedRow) -> PolicyOutputs:
        """Return what the policy says of the answers."""
        self._wear(POLICY, train=False)
        with self._precision():
            return self._read(row)

    @torch.no_grad()
    def reference_logprobs(self, row: PackedRow) -> torch.Tensor:
        """Return (A,) the reference's log-probabilities in nats."""
        self._wear(REFERENCE if self._has_reference else POLICY, train=False)
        with nullcontext() if self._has_reference else self.policy.disable_adapter(), self._precision():
            hidden, logits = self._run(row, wants_logits=not self._apart)
            return self._logprobs(row, hidden, logits)

    @torch.no_grad()
    def old_values(self, row: PackedRow) -> torch.Tensor:
        """Return (A,) the critic's values, without gradient."""
        self._wear(POLICY if self.shared else CRITIC, train=False)
        with self._precision():
            return self._values(self._run(row, wants_logits=False)[0])

    def attach_policy(self) -> None:
        """Put the policy's adapter on, for sampling."""
        self._wear(POLICY, train=False)

    def _wear(self, name: str, *, train: bool = True) -> None:
        self.policy.eval()  # with dropout the ratios would be noise
        self.policy.set_adapter(name, inference_mode=not train)

    def _run(self, row: PackedRow, *, wants_logits: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return hidden states (A, D) before each answer token and, where wanted, logits (A, V)."""
        inputs: dict[str, Any] = row.inputs()
        if not self.packed:  # a single answer, as any model takes it
            inputs = {name: inputs[name] for name in ("input_ids", "position_ids", "use_cache")}
        seen: list[torch.Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        try:
            with nullcontext() if wants_logits else bypassed(self._head):
                logits = self.policy(**inputs, logits_to_keep=row.predictors).logits[0]
        finally:
            hook.remove()
        return seen[0][0], logits if wants_logits else None

    def _logprobs(
        self,
        row: PackedRow,
        hidden: torch.Tensor,
        logits: torch.Tensor | None,
        temperature: float | None = None,
    ) -> torch.Tensor:
        heat = temperature or self._temperature
        if logits is None:
            return frozen_logprobs(hidden / heat, self._head, row.answer_ids)
        logits = _wide(logits) / heat
        return logits.log_softmax(dim=-1).gather(-1, row.answer_ids.unsqueeze(-1)).squeeze(-1)

    def _values(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, enabled=False):  # few numbers, and exact
            values: torch.Tensor = self.value_head(hidden.to(self.value_head.weight.dtype))
        return values.squeeze(-1)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)

    def _read(self, row: PackedRow) -> PolicyOutputs:
        hidden, logits = self._run(row, wants_logits=not self._apart)
        logprobs, entropies = [], []
        for start in range(0, len(hidden), _CHUNK):
            part = slice(start, start + _CHUNK)
            if logits is None:
                found = _wide(torch.nn.functional.linear(hidden[part] / self._temperature, self._head.weight))
            else:
                found = _wide(logits[part]) / self._temperature
            total = found.logsumexp(dim=-1, keepdim=True)
            logprobs.append((found.gather(-1, row.answer_ids[part, None]) - total).squeeze(-1))
            probs = (found - total).exp()
            entropies.append(total.squeeze(-1) - (probs * found).nan_to_num(0.0).sum(dim=-1))
        return PolicyOutputs(torch.cat(logprobs), torch.cat(entropies), self._values(hidden))


def load_actor_critic(job: TrainingJob, critic: CriticStart, probe: Tree, temperature: float) -> ActorCritic:
    """Return policy, critic and reference over one model.

    Args:
        job: which model, on which device and in which precision; the shape of new adapters and the seed from
            which they are drawn; the adapter that the policy starts from, which is the reference too.
        critic: where the critic starts from.
        probe: a prompt with an answer, by which the way to compute is chosen.
        temperature: at which the policy draws.

    Raises:
        EngineError: if the model or an adapter cannot be loaded, or the reward model was made from another
            model.
    """
    policy: Any = load_policy(job.policy, job.lora, job.device, job.seed, job.start)
    if job.start is not None:
        attach_further_adapter(policy, job.start, REFERENCE)
    width = policy.config.get_text_config().hidden_size
    some = next(policy.parameters())
    wide = torch.float64 if some.dtype == torch.float64 else torch.float32
    head = torch.nn.Linear(width, 1, dtype=wide, device=some.device)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    if not critic.shared:
        torch.manual_seed(job.seed)
        policy.add_adapter(CRITIC, _critic_shape(critic.reward, job.lora))
        if critic.reward is not None:
            _begin_as_reward_model(policy, head, critic.reward, critic)
    return ActorCritic(policy, head, probe, temperature, bf16=job.bf16)


def _critic_shape(reward: Path | None, lora: LoraConfig) -> Any:
    """Return peft's settings of the critic's adapter: a new one's, or those of the reward model's."""
    if reward is None:
        return adapter_shape(lora, "CAUSAL_LM")
    peft = require("peft", TRAIN_EXTRA)
    read_settings(reward)
    shape = peft.LoraConfig.from_pretrained(str(reward))
    shape.task_type, shape.modules_to_save, shape.inference_mode = "CAUSAL_LM", None, False
    shape.base_model_name_or_path = None  # peft would warn where the model's folder has another name
    return shape


def _begin_as_reward_model(policy: Any, head: torch.nn.Linear, reward: Path, critic: CriticStart) -> None:
    """Give the critic what the reward model learned: values that begin as scores."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    learned = safetensors.load_file(reward / WEIGHTS)
    score = learned.pop(_SCORE, None)
    own = peft.get_peft_model_state_dict(policy, adapter_name=CRITIC)
    shapes = ({name: value.shape for name, value in weights.items()} for weights in (own, learned))
    if score is None or score.shape != head.weight.shape or next(shapes) != next(shapes):
        raise EngineError(
            "the critic cannot start from this reward model: its adapter does not fit the policy's model",
            where=str(reward),
            accepted="a reward model trained on the same model, or ppo.critic_init=zero",
        )
    peft.set_peft_model_state_dict(policy, learned, adapter_name=CRITIC)
    with torch.no_grad():
        head.weight.copy_(score * critic.scale)
        head.bias.fill_(-critic.mean * critic.scale)


def _parameters(policy: Any, adapter: str) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in policy.named_parameters() if adapter in name.split(".")}


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
