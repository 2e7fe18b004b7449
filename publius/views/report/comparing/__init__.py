"""Several runs compared: measures paired by prompt, and preferences about the same answers."""
