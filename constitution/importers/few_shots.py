"""Conversion of few-shots with a critique and a revision to examples of principles."""

from __future__ import annotations

from typing import NamedTuple

from constitution.importers.reading import Reading, Shot

SEVERAL_TURNS = "a few-shot with several turns; an example has a single prompt"
_NO_CHANGE = "a few-shot whose revision changes nothing; an example has a good and a bad answer"
_NO_OWNER = "a few-shot whose critique request matches no principle"


class Revised(NamedTuple):
    """An answer, its critique, and the revised answer."""

    prompt: str
    answer: str
    critique_request: str
    critique: str
    revision_request: str
    revision: str


def attach_revision(reading: Reading, revised: Revised, where: str) -> None:
    """Attach an example to the principles with its critique request, or record why it is skipped.

    The revision request is not compared: in the published files it differs by a few words.
    """
    owners = reading.owners_of(revised.critique_request)
    if revised.answer == revised.revision:
        reading.skip(_NO_CHANGE, where)
        return
    if not owners:
        reading.skip(_NO_OWNER, where)
    shot = Shot(revised.prompt, revised.revision, revised.answer, revised.critique)
    reading.attach(owners, shot, where)
