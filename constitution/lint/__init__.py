"""The linter: what is allowed in a constitution and is probably a mistake."""
