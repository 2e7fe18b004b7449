"""Output of the commands, as text and tables on the terminal."""
