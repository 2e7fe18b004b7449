"""Arguments of vLLM's engine in a run file, and their check against the installed version."""
