"""Training methods by name, in the order in which a run trains."""

from __future__ import annotations

from typing import Literal

Method = Literal["sft", "reward", "dpo", "ppo", "rloo", "grpo"]

METHODS: tuple[Method, ...] = ("sft", "reward", "dpo", "ppo", "rloo", "grpo")
"""In the order in which a run trains."""

PolicyMethod = Literal["sft", "dpo", "ppo", "rloo", "grpo"]

POLICY_METHODS: tuple[PolicyMethod, ...] = ("sft", "dpo", "ppo", "rloo", "grpo")
"""Those that give a policy, which can answer."""


RLMethod = Literal["ppo", "rloo", "grpo"]

RL_METHODS: tuple[RLMethod, ...] = ("ppo", "rloo", "grpo")
"""Methods that learn from rewards of the policy's own answers."""
