"""RLOO and GRPO: several answers to one prompt, by TRL's trainers."""
