"""Constitutions: schema, loader, linter, importers, sampling of principles and machine checks."""
