"""How texts of people are read: HTML as text, and mails without what they quote; or a warning of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from core.notices import note, warn
from core.records import Message, Prompt
from labelers.formats.opinions import Pair
from prompts.sources import Html, Quotes
from publius.sources.texts.html import READ_AS_TEXT, HtmlSeen, text_of_html
from publius.sources.texts.quotes import LEFT_OUT, QuotesSeen, own_words

_KEEP = "keep leaves this warning out"


class Ways(NamedTuple):
    """What reads texts otherwise, as it is said to a user: a setting or an option, each with its value."""

    html: str
    quotes: str
    tools: str
    """What leaves out the turns of tools, said beside the reason why a conversation is skipped."""


IN_RUN_FILE = Ways(
    f"prompts.html: text in the run file or --set prompts.html=text; {_KEEP}",
    f"prompts.quotes: drop in the run file or --set prompts.quotes=drop; {_KEEP}",
    "prompts.tools: drop leaves them out",
)
IN_OVERRIDES = Ways(
    f"--set prompts.html=text; {_KEEP}",
    f"--set prompts.quotes=drop; {_KEEP}",
    "--set prompts.tools=drop leaves them out",
)
IN_COMMAND = Ways(
    f"--html text; --html {_KEEP}", f"--quotes drop; --quotes {_KEEP}", "--tools drop leaves them out"
)


@dataclass(frozen=True)
class TextReading:
    """How texts are read; None keeps them as they are, with a warning."""

    html: Html | None = None
    quotes: Quotes | None = None

    @property
    def changes(self) -> bool:
        """True if texts may be read otherwise than they are."""
        return self.html == "text" or self.quotes == "drop"

    def text(self, text: str) -> str:
        """Return a text as it is read."""
        shown = text_of_html(text) if self.html == "text" else text
        return own_words(shown).text if self.quotes == "drop" else shown

    def messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return messages as they are read. System messages are not written by people and stay."""
        return tuple(
            one if one.role == "system" else one.model_copy(update={"content": self.text(one.content)})
            for one in messages
        )

    def prompt(self, prompt: Prompt) -> Prompt:
        """Return a prompt as it is read; the prompt itself if that changes nothing."""
        if not self.changes:
            return prompt
        messages = self.messages(prompt.messages)
        if messages == prompt.messages:
            return prompt
        return Prompt.of(messages, tags=prompt.tags, source=prompt.source, split=prompt.split)

    def pair(self, pair: Pair) -> Pair:
        """Return a pair with its prompt and answers as they are read.

        Records that Publius exported stay as they are: they were read when they were made, and their
        judgments are of these texts.
        """
        if not self.changes or pair.exported is not None:
            return pair
        first, second = (one._replace(response=self.text(one.response)) for one in (pair.first, pair.second))
        return replace(pair, prompt=self.messages(pair.prompt), first=first, second=second)

    def note_of(self, before: Prompt, after: Prompt) -> str:
        """Return how a prompt was read that is another one now; empty if it is the same."""
        if before is after:
            return ""
        html = replace(self, quotes=None).prompt(before)
        said = [READ_AS_TEXT] if html is not before else []
        return ", ".join([*said, *([LEFT_OUT] if html.messages != after.messages else [])])


KEPT, UNSAID = TextReading("keep", "keep"), TextReading()


@dataclass
class TextsSeen:
    """How many of some texts have HTML, and how many quoted mail or a signature."""

    html: HtmlSeen = field(default_factory=HtmlSeen)
    quotes: QuotesSeen = field(default_factory=QuotesSeen)

    def add(self, texts: Sequence[str], reading: TextReading = KEPT) -> None:
        """Count one case, whose texts belong together, as they are before they are read.

        Args:
            texts: its texts.
            reading: how they are read, as mail is recognised in what HTML is read as.
        """
        self.html.add(texts)
        as_text = replace(reading, quotes=None)
        self.quotes.add([as_text.text(text) for text in texts])

    def tell(self, reading: TextReading, what: str, ways: Ways) -> None:
        """Warn of what is kept without having been asked for, and note how many texts lose quoted mail.

        Args:
            reading: how the texts are read.
            what: what they are, in the plural.
            ways: what reads them otherwise.
        """
        if reading.html is None and (found := self.html.in_words(what)):
            warn(f"{found}, which checks and models see as it is; to read it as text: {ways.html}")
        found = self.quotes.in_words(what)
        if found and reading.quotes is None:
            warn(f"{found}, which checks and models take for the writer's; to leave it out: {ways.quotes}")
        if found and reading.quotes == "drop":
            note(f"{found}, which is left out")


def texts_of_pair(pair: Pair) -> list[str]:
    """Return the texts of a pair that people may have written."""
    turns = [one.content for one in pair.prompt if one.role != "system"]
    return [*turns, pair.first.response, pair.second.response]


def asked_texts(prompt: Prompt | None) -> list[str]:
    """Return the texts of a prompt that people may have written."""
    return [] if prompt is None else [one.content for one in prompt.messages if one.role != "system"]
