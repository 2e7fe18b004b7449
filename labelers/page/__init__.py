"""The annotation page: a small web server where people compare and rank answers."""
