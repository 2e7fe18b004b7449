"""`publius audit model`: models answer scenarios, and a check or a judge rates each tenet."""
