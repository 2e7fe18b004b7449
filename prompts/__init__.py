"""Prompt texts: the sandboxed template environment, the templates and the demo prompts."""
