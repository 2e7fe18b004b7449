"""What is printed of several replies of one's own: their checks, and verdicts that flip."""
