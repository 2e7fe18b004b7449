"""Constitutions in other people's forms: one module a form, `registry` to find the form of a file."""
