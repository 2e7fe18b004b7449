"""Few-shots that show a critique and a revision, as examples of the principles they belong to."""

from __future__ import annotations

from typing import NamedTuple

from constitution.importers.reading import Reading, Shot

SEVERAL_TURNS = "a few-shot of several turns; an example has one prompt"
_NO_CHANGE = "a few-shot whose revision changes nothing; an example has a good and a bad answer"
_NO_OWNER = "a few-shot whose request for a critique is that of no principle"


class Revised(NamedTuple):
    """One answer, what is said against it, and the better answer."""

    prompt: str
    answer: str
    critique_request: str
    critique: str
    revision_request: str
    revision: str


def attach_revision(reading: Reading, revised: Revised, where: str) -> None:
    """Give an example to the principles whose request for a critique it shows, or count it out.

    The request for a revision is not compared: in the published files it differs by a few words.
    """
    owners = reading.owners_of(revised.critique_request)
    if revised.answer == revised.revision:
        reading.leave_out(_NO_CHANGE, where)
        return
    if not owners:
        reading.leave_out(_NO_OWNER, where)
    shot = Shot(revised.prompt, revised.revision, revised.answer, revised.critique)
    reading.attach(owners, shot, where)
