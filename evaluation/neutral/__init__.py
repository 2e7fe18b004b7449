"""Neutral texts that ship with the package, on which the loss of every variant is measured."""
