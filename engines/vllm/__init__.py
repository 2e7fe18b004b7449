"""The vLLM engine: a host process that holds the model, the link to it and the watchdog over it."""
