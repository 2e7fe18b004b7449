"""The vLLM engine: a host process that runs the model, the link to it and its watchdog."""
