"""Evaluations from the measures of others: seeds as one, another variant in the place of `base`."""
