"""On-policy distillation from the prompted model."""
