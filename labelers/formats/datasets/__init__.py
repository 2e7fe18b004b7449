"""Forms of published data sets of human labels."""
