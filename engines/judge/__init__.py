"""Judges that are trained: a linear probe on the hidden states of a language model."""
