"""Files of prompts that stand beside replies or labels, and say more about the same prompts."""
