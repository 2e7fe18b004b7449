"""Texts: YAML with positions, plain words for mistakes in files, similarity, repetition, Markdown."""
