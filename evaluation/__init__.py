"""Evaluation of trained models on held-out prompts: metrics with intervals, win rates and reports."""
