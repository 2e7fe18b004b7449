"""Gold labels from machine checks: checks drawn for texts, and principles that ask for them in words."""
