"""Machine checks that a rule asks for in words: `{kind: max_words, value: 80}` for "at most 80 words"."""
