"""Audits of the models that label and judge."""
