"""The command line, run folders and one function per stage."""
