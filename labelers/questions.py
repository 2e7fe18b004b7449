"""Build the labeler's requests: which of two answers is better, or whether one fulfils the principle.

There are two forms: conversations for chat models (`Questions`), and typed questions about a text for
decision endpoints (`DecisionQuestions`).

Texts to be judged are shown without characters that are not seen (`core.text.invisible`).

The few-shot examples of the principle come before the question as earlier, answered turns, rendered from the
same template. The preamble and the passage are shown once, in the question itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from constitution.schema import Constitution, Example, Principle
from core.chat import Piece, Turn, Untrusted
from core.records import Message, Prompt
from core.text.invisible import without_invisible
from engines.decisions.questions import NO, YES, ChoiceQuestion, Option, YesNoQuestion
from engines.protocols import Branches, ChoiceRequest, takes_questions
from prompts.environment import PromptTemplates, RenderedPrompt, fence_for
from prompts.few_shots import few_shots

LETTERS = (" A", " B")
WORDS = (" Yes", " No")
REPLIES = ("Reply A", "Reply B")
"""Options of a typed question about two replies."""


class Frame(NamedTuple):
    """Template variables other than the texts to be judged."""

    of_examples: dict[str, Any]
    of_question: dict[str, Any]


class Judged(NamedTuple):
    """A reply to a prompt, and the principle that it is judged by."""

    principle: Principle
    prompt: Prompt
    reply: str


@dataclass(frozen=True)
class Questions:
    """Build the labeler's questions for one constitution."""

    constitution: Constitution
    templates: PromptTemplates

    def comparison(self, principle: Principle, prompt: Prompt, first: str, second: str) -> ChoiceRequest:
        """Return the request that asks which of two replies is better; the first is shown as A."""
        frame = self.frame(principle, prompt, first, second)
        turns: list[Turn] = []
        for example, good_first in few_shots(principle):
            pair = (example.good, example.bad) if good_first else (example.bad, example.good)
            shown = self.templates.render(
                "comparison", **frame.of_examples, **pair_values(user_message(example.prompt), *pair)
            )
            turns += answered(shown, LETTERS[0 if good_first else 1])
        asked = self.templates.render(
            "comparison", **frame.of_question, **pair_values(prompt.messages, first, second)
        )
        turns.append(Turn("user", asked.pieces))
        return ChoiceRequest(tuple(turns), LETTERS, "label", asked.prefill, affinity=prompt.id)

    def pointwise(self, principle: Principle, prompt: Prompt, reply: str) -> ChoiceRequest:
        """Return the request that asks whether a reply fulfils the principle."""
        asked = self._yes_or_no(self.templates, "pointwise", Judged(principle, prompt, reply), WORDS)
        return replace(asked, purpose="reward", judged=without_invisible(reply), principle=principle.text)

    def breaks(self, principle: Principle, prompt: Prompt, reply: str) -> ChoiceRequest:
        """Return the request that asks whether a reply breaks the principle; No speaks for the reply."""
        judged = Judged(principle, prompt, reply)
        return self._yes_or_no(self.templates.judging, "pointwise_breaks", judged, WORDS[::-1])

    def _yes_or_no(
        self, templates: PromptTemplates, name: str, judged: Judged, words: tuple[str, ...]
    ) -> ChoiceRequest:
        """Return a request for Yes or No; `words` has the answers about a good and about a bad reply."""
        frame = self.frame(judged.principle, judged.prompt, judged.reply)
        turns: list[Turn] = []
        for example, good_first in few_shots(judged.principle):
            answers = ((example.good, words[0]), (example.bad, words[1]))
            for text, word in answers if good_first else answers[::-1]:
                values = reply_values(user_message(example.prompt), text)
                turns += answered(templates.render(name, **frame.of_examples, **values), word)
        values = reply_values(judged.prompt.messages, judged.reply)
        asked = templates.render(name, **frame.of_question, **values)
        turns.append(Turn("user", asked.pieces))
        return ChoiceRequest(tuple(turns), WORDS, "label", asked.prefill, affinity=judged.prompt.id)

    def rating(self, principle: Principle, prompt: Prompt, reply: str, points: int) -> ChoiceRequest:
        """Return the request that asks for a number from 1 to `points`; few-shot examples have the ends."""
        frame = self.frame(principle, prompt, reply)
        numbers = numbers_to(points)
        turns: list[Turn] = []
        for example, good_first in few_shots(principle):
            answers = ((example.good, numbers[-1]), (example.bad, numbers[0]))
            for text, number in answers if good_first else answers[::-1]:
                values = reply_values(user_message(example.prompt), text)
                shown = self.templates.judging.render("rating", **frame.of_examples, **values, points=points)
                turns += answered(shown, number)
        asked = self.templates.judging.render(
            "rating", **frame.of_question, **reply_values(prompt.messages, reply), points=points
        )
        turns.append(Turn("user", asked.pieces))
        return ChoiceRequest(tuple(turns), numbers, "label", asked.prefill, affinity=prompt.id)

    def symmetric(self, principle: Principle, prompt: Prompt, first: str, second: str) -> ChoiceRequest:
        """Return the request that shows two replies side by side.

        The choices are the letters with the first reply named A, then with the first reply named B.
        """
        frame = self.frame(principle, prompt, first, second)
        turns: list[Turn] = []
        for example, good_first in few_shots(principle):
            pair = (example.good, example.bad) if good_first else (example.bad, example.good)
            shown, prefill = self._branches(frame.of_examples, user_message(example.prompt), *pair)
            question = RenderedPrompt(_in_order(shown), prefill)
            turns += answered(question, LETTERS[0 if good_first else 1])
        branches, prefill = self._branches(frame.of_question, prompt.messages, first, second)
        turns.append(Turn("user", _in_order(branches)))
        return ChoiceRequest(tuple(turns), LETTERS * 2, "label", prefill, branches=branches)

    def _branches(
        self, frame: Mapping[str, Any], messages: Sequence[Message], first: str, second: str
    ) -> tuple[Branches, str]:
        """Return the content of a question about two replies side by side, and the answer's beginning."""

        def block(name: str, reply: str, letter: str) -> RenderedPrompt:
            values = {**frame, **reply_values(messages, reply), "letter": letter}
            return self.templates.judging.render_block("symmetric", name, **values)

        # Only `reply` may show a reply: the other blocks are the same for both.
        shared, question = block("user", "", ""), block("question", "", "")
        namings = tuple(
            tuple(
                block("reply", reply, letter).pieces
                for reply, letter in zip((first, second), names, strict=True)
            )
            for names in ("AB", "BA")
        )
        return Branches(shared.pieces, namings, question.pieces), question.prefill

    def frame(self, principle: Principle, prompt: Prompt, *replies: str) -> Frame:
        """Return the template variables other than the texts; examples and question share one fence."""
        passage = self.constitution.passage(principle)
        examples = [
            e for example, _ in few_shots(principle) for e in (example.prompt, example.good, example.bad)
        ]
        fence = _fence([*replies, *(m.content for m in prompt.messages), *examples, passage])
        shared = {"principle": principle, "fence": fence}
        return Frame(
            {**shared, "preamble": "", "passage": None},
            {
                **shared,
                "preamble": self.constitution.preamble,
                "passage": _shown(passage) if passage else None,
            },
        )


@dataclass(frozen=True)
class DecisionQuestions:
    """Build typed questions for one constitution: the texts are the state, the principle is the question.

    All questions about one comparison and order have the same state, so they can share one request. No text
    can end its part of the state: its fence is longer than any run of the same character in it.
    """

    constitution: Constitution
    templates: PromptTemplates
    """The templates of typed questions (`PromptTemplates.decisions`)."""

    def comparison(self, principle: Principle, prompt: Prompt, first: str, second: str) -> ChoiceRequest:
        """Return the request that asks which of two replies is better; the first is shown as Reply A."""
        state = self.templates.render(
            "decision_pair",
            fence=_fence([first, second, *(m.content for m in prompt.messages)]),
            **pair_values(prompt.messages, first, second),
        )
        text = self._question(principle, pair=True)
        question = ChoiceQuestion(text, tuple(map(Option, REPLIES)))
        return ChoiceRequest((Turn("user", state.pieces),), REPLIES, "label", question=question)

    def pointwise(self, principle: Principle, prompt: Prompt, reply: str) -> ChoiceRequest:
        """Return the request that asks whether a reply fulfils the principle."""
        return self._about_reply(prompt, reply, self._question(principle, pair=False), "reward")

    def breaks(self, principle: Principle, prompt: Prompt, reply: str) -> ChoiceRequest:
        """Return the request that asks whether a reply breaks the principle; no speaks for the reply."""
        question = self._rendered(self.templates.judging, "decision_breaks", principle, answers=(NO, YES))
        return self._about_reply(prompt, reply, question, "label")

    def _about_reply(self, prompt: Prompt, reply: str, question: str, purpose: str) -> ChoiceRequest:
        state = self.templates.render(
            "decision_reply",
            fence=_fence([reply, *(m.content for m in prompt.messages)]),
            **reply_values(prompt.messages, reply),
        )
        return ChoiceRequest(
            (Turn("user", state.pieces),), (YES, NO), purpose, question=YesNoQuestion(question)
        )

    def _question(self, principle: Principle, *, pair: bool) -> str:
        return self._rendered(self.templates, "decision_question", principle, pair=pair)

    def _rendered(
        self,
        templates: PromptTemplates,
        name: str,
        principle: Principle,
        *,
        answers: tuple[str, str] = (YES, NO),
        **values: bool,
    ) -> str:
        """Return a question in words; `answers` has those about a good and a bad reply in its examples."""
        passage, shown = self.constitution.passage(principle), few_shots(principle)
        texts = [t for example, _ in shown for t in (example.prompt, example.good, example.bad)]
        examples = [_example(example, good_first, answers) for example, good_first in shown]
        rendered = templates.render(
            name,
            fence=_fence([*texts, passage]),
            preamble=self.constitution.preamble,
            passage=_shown(passage) if passage else None,
            principle=principle,
            examples=examples,
            **values,
        )
        return "".join(p.text if isinstance(p, Untrusted) else p for p in rendered.pieces)


QuestionBuilder = Questions | DecisionQuestions


def questions_for(engine: object, constitution: Constitution, templates: PromptTemplates) -> QuestionBuilder:
    """Return what builds an engine's questions.

    Args:
        engine: the labeler.
        constitution: its principles are asked about.
        templates: templates of the run.
    """
    if takes_questions(engine):
        return DecisionQuestions(constitution, templates.decisions)
    return Questions(constitution, templates)


def numbers_to(points: int) -> tuple[str, ...]:
    """Return the answers of a rating: the numbers from 1 to `points`.

    They follow a bracket and no space: to many tokenizers a space before a digit is a token of its own, and
    to others both are one.
    """
    return tuple(map(str, range(1, points + 1)))


def _example(example: Example, good_first: bool, answers: tuple[str, str]) -> dict[str, Any]:
    """Return the template's values of a few-shot example."""
    replies = [(example.good, answers[0]), (example.bad, answers[1])]
    if not good_first:
        replies.reverse()
    shown = [
        {"name": letter, "text": _shown(text), "answer": answer}
        for letter, (text, answer) in zip("AB", replies, strict=True)
    ]
    return {"prompt": _shown(example.prompt), "replies": shown, "better": "A" if good_first else "B"}


def _in_order(branches: Branches) -> tuple[Piece, ...]:
    """Return the content of a message with branches as one text, in the first naming."""
    return (*branches.shared, *chain.from_iterable(branches.namings[0]), *branches.question)


def pair_values(messages: Sequence[Message], first: str, second: str) -> dict[str, Any]:
    """Return the template's values of a conversation and two replies."""
    return {**_conversation(messages), "reply_a": _shown(first), "reply_b": _shown(second)}


def reply_values(messages: Sequence[Message], reply: str) -> dict[str, Any]:
    """Return the template's values of a conversation and one reply."""
    return {**_conversation(messages), "reply": _shown(reply)}


def _conversation(messages: Sequence[Message]) -> dict[str, Any]:
    return {"conversation": [{"role": m.role, "content": _shown(m.content)} for m in messages]}


def _shown(text: str) -> Untrusted:
    """Return a text as a judge is shown it."""
    return Untrusted(without_invisible(text))


def _fence(texts: Iterable[str]) -> str:
    """Return a fence that none of the texts can close as they are shown."""
    return fence_for(map(without_invisible, texts))


def user_message(text: str) -> tuple[Message, ...]:
    """Return a conversation of one message."""
    return (Message(role="user", content=text),)


def answered(question: RenderedPrompt, answer: str) -> tuple[Turn, Turn]:
    """Return the turns of a few-shot example: a question and its answer."""
    return Turn("user", question.pieces), Turn("assistant", (f"{question.prefill}{answer}",))
