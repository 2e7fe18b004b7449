"""Scenarios of an audit of a model: their file, and plain ones without a model to write them."""
