"""The answers of an evaluation as people look at them."""
