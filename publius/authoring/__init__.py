"""Writing a constitution: check, test, try, compare, import and export it, make prompts for it."""
