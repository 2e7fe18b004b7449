"""Import of the prompts file: check it, assign splits and copy the prompts into the run folder."""

from __future__ import annotations

from prompts.sources import admissions, read_prompts
from publius.runs.folder import Run


def ingest_prompts(run: Run) -> None:
    """Copy the prompts file into the run, each prompt with its split; duplicates are excluded.

    The whole file is checked before any request is sent.
    """
    if run.holds_prompts():
        return
    config = run.config
    for _ in read_prompts(config.prompts.path):
        pass  # read to the end first, so an error in the last line is raised before any prompt is copied
    for prompt, reason, detail in admissions(
        config.prompts.path, config.split.shares(), config.prompts.limit
    ):
        if reason:
            run.exclude("prompts", prompt.id, reason, detail)
        else:
            run.prompts.append(prompt)
    run.record_prompts()
