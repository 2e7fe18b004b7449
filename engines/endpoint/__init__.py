"""A server in a run file: its address, its key, what may be spent there. No connection is opened here."""
