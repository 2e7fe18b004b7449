"""Gates: limits that an evaluation's metrics must keep before a model is exported."""
