"""Folders of people's labels as sources of rows."""
