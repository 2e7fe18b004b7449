"""Rows of files and data sets, read as prompts, pairs and examples."""
