"""The command tree as the help shows it."""
