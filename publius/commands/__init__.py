"""The command line's commands: options in, one call, one view out. Only these modules know typer."""
