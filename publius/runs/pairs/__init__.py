"""The preferences of a run as people look at them: filters, figures, rows and tables."""
