"""Ratings of single answers by several people, such as stars, in a table with a column for each rater."""
