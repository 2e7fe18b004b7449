"""Linter for constitutions: reports what is valid but probably a mistake."""
