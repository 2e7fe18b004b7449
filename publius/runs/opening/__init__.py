"""How a run folder is found, opened, resumed and removed; the rules that older runs keep."""
