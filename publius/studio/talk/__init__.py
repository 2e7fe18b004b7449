"""Talks with the base, prompted and trained policy side by side, and what their turns become."""
