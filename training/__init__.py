"""Training of LoRA adapters: SFT, reward models and DPO with soft labels, PPO, RLOO and GRPO."""
