"""Machine checks: their kinds, and whether an answer fulfils a principle that needs no model to be judged."""
