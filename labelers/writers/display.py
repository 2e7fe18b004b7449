"""Select the judgments that a labeling tool displays, and format a conversation as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.records import Judgment, Message
from labelers.crowd.votes import current_judgments

_SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}


def annotator_judgments(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    """Yield the human judgments that were not taken back; the others go into the metadata only."""
    for judgment in current_judgments(judgments):
        is_human = judgment.annotator is not None and judgment.verdict != "unparsed"
        if is_human and not _is_undo(judgment):
            yield judgment


def _is_undo(judgment: Judgment) -> bool:
    """Return whether a judgment only takes back another one, like the undo of the annotation page."""
    bare = judgment.duration_s is None and judgment.comment is None
    return judgment.verdict == "skip" and judgment.supersedes is not None and bare


def shown_text(prompt: Sequence[Message]) -> str:
    """Return a prompt as text: its only message, or a transcript of its turns."""
    if len(prompt) == 1:
        return prompt[0].content
    return "".join(f"\n\n{_SPEAKERS[message.role]}: {message.content}" for message in prompt)
