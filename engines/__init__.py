"""Inference engines that generate text and score answers: scripted, transformers and vLLM."""
