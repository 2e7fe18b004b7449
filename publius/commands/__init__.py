"""Commands of the command line. Each parses its options, makes one call and prints one view.

Typer is used only here and in `publius.cli`. Most imports are inside the commands, which keeps `--help` fast.
"""
