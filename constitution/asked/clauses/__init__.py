"""Clauses of a rule in words: which are about a part of the reply, which give a reason, which name words."""
