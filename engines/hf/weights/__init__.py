"""Weights of transformers models: where they lie, how they are saved, which are trained, what scores them."""
