"""Machine checks: deterministic tests of answers, for principles that need no model as a judge."""
