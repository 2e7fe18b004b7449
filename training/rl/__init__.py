"""Reinforcement learning: rewards, rollouts, KL, metrics and alarms that all its methods share."""
