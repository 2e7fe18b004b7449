"""Corrections of the AI labeler, fitted on gold labels."""
