"""Requests in the hands of an engine: how long they wait, and what counts as the failure of one of them."""
