"""The constitution: its schema, loader, draw of principles and machine checks."""
