"""Importers for lists of rules, at the top of a file or under keys that ask and forbid."""
