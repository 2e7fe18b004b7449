"""Reward models as engines that compare replies."""
