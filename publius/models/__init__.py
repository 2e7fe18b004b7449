"""Trained models: cards, provenance, training on a data set, merging, export."""
