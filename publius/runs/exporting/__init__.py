"""Parts of an exported data set: its test split, and single answers with labels."""
