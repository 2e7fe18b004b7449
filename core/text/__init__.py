"""Text utilities: YAML with positions, validation messages, similarity, repetition, Markdown."""
