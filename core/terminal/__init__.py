"""The process and its terminal: signals, standard streams that may fail, text that a terminal obeys."""
