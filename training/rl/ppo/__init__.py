"""The training loop of PPO, RLOO and GRPO."""
