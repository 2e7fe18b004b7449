"""`publius serve`: chat completions and decisions from any engine, adapter or reward model, over HTTP."""
