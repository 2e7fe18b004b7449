"""The forms in which human labels come, each read by a module of its own; `source.py` says how."""
