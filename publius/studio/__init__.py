"""`publius studio`: a local page on which a project's constitution is edited and its effect is watched."""
