"""`publius run --estimate`: what a run asks its models, before it runs: requests, tokens, time and price."""
