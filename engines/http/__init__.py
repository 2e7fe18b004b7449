"""The HTTP engine: a model behind an OpenAI-compatible server, local or remote."""
