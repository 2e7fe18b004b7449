"""The annotation page: a small web server on which annotators compare and rank answers."""
