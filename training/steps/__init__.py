"""Optimizer steps of SFT, reward models and DPO: whole steps as batches, micro-batches, learning rates."""
