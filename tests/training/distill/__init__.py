"""Tests of on-policy distillation."""
