"""Audits of a model by tenet: ratings, the passages they cite, violation rates, gold labels, the report."""
