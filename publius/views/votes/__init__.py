"""Votes of people for readers: who won, and the page of `publius agreement --to`."""
