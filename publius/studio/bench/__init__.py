"""The live bench: chosen prompts, critiqued, revised and labelled again as the constitution is edited."""
