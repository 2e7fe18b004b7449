"""The commands that audit a model against its constitution."""
