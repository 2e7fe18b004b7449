"""Which judgments a labeling tool is to show, and how a conversation is shown as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.records import Judgment, Message
from labelers.crowd.votes import current_judgments

_SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}


def annotator_judgments(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    """Yield what people said and did not take back; the rest is carried along, and not shown."""
    for judgment in current_judgments(judgments):
        said = judgment.annotator is not None and judgment.verdict != "unparsed"
        if said and not _is_undo(judgment):
            yield judgment


def _is_undo(judgment: Judgment) -> bool:
    """Return whether a judgment takes another back and says nothing in its place, as the page's undo does."""
    bare = judgment.duration_s is None and judgment.comment is None
    return judgment.verdict == "skip" and judgment.supersedes is not None and bare


def shown_text(prompt: Sequence[Message]) -> str:
    """Return a prompt as text: its one message, or a transcript of its turns."""
    if len(prompt) == 1:
        return prompt[0].content
    return "".join(f"\n\n{_SPEAKERS[message.role]}: {message.content}" for message in prompt)
