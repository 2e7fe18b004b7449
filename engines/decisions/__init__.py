"""Decision endpoints: typed questions about a text, answered by probabilities instead of text."""
