"""A finished run as a project of its own, which others can run again (`publius export RUN --project`)."""
