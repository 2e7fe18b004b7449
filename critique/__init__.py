"""The critique-and-revise loop and the sampling of comparisons."""
