"""Engines that generate text and score answers: scripted, and transformers."""
