"""Names of the training methods, in the order of a run."""

from __future__ import annotations

from typing import Literal

Method = Literal["sft", "reward", "dpo", "ppo", "rloo", "grpo", "distill"]

METHODS: tuple[Method, ...] = ("sft", "reward", "dpo", "ppo", "rloo", "grpo", "distill")
"""All training methods, in the order of a run."""

JobMethod = Literal["sft", "reward", "dpo", "ppo", "rloo", "grpo", "distill", "judge"]
"""Methods of training jobs: those of a run, and the adapter of a trained judge."""

PolicyMethod = Literal["sft", "dpo", "ppo", "rloo", "grpo", "distill"]

POLICY_METHODS: tuple[PolicyMethod, ...] = ("sft", "dpo", "ppo", "rloo", "grpo", "distill")
"""Methods that train a policy (a model that answers)."""


RLMethod = Literal["ppo", "rloo", "grpo"]

RL_METHODS: tuple[RLMethod, ...] = ("ppo", "rloo", "grpo")
"""Reinforcement learning methods, which learn from rewards of the policy's own answers."""

OnPolicyMethod = Literal["ppo", "rloo", "grpo", "distill"]

ON_POLICY_METHODS: tuple[OnPolicyMethod, ...] = (*RL_METHODS, "distill")
"""Methods that learn from the policy's own answers; of a run they need only the prompts."""
