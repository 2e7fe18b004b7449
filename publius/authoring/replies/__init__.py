"""Several replies of one's own, from a table or conversations, checked against a constitution or two."""
