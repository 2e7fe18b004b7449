"""The critique-and-revise loop, and the comparisons made from its answers."""
