"""Encode conversations as token ids without letting any text in them act as a special token.

The ids are those of the tokenizer's own `apply_chat_template`. Text that spells a special token, such as
`<|im_end|>` in a response, is encoded as letters (`engines/encoding/sealed.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue

from core.chat import Piece, Turn, Untrusted
from core.errors import EngineError, RequestError
from core.notices import note
from core.records import Role
from engines.encoding.check import require_same_ids
from engines.encoding.older import PiecewiseEncoder
from engines.encoding.sealed import SealedTokenizer, require_fast
from engines.encoding.template import CHATML, CHATML_STOP, TemplateRenderer, with_system_in_user
from engines.protocols import Branches
from engines.thinking import Thinking, names_thoughts, thinking_in
from engines.trees import BranchedPrompt, common_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["CHATML", "CHATML_STOP", "EncodedPrompt", "TurnEncoder", "WrittenAnswer"]

_PROBES: tuple[tuple[Role, ...], ...] = (("user", "assistant", "user"), ("system", "user"))
"""Conversations whose renderings show which markers a template writes around turns."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Token ids of a conversation, up to where the model continues."""

    ids: tuple[int, ...]


class WrittenAnswer(NamedTuple):
    """An assistant's answer as text."""

    text: str
    finished: bool = True
    """True if it ended by itself. A cut answer gets no end token, since it should not end there."""


class _End(NamedTuple):
    """What the template writes after an answer."""

    text: str
    """All of it."""
    own: str
    """Its beginning, up to the token that ends the turn; empty if it has no such token."""


class TurnEncoder:
    """Encodes conversations for one tokenizer.

    Args:
        tokenizer: a tokenizer backed by the `tokenizers` library.
        template_kwargs: arguments of the chat template.
        name: the model's name, for error messages.

    Raises:
        EngineError: if the tokenizer is of another kind, or ids differ from those of its own
            `apply_chat_template`.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, JsonValue], name: str
    ) -> None:
        require_fast(tokenizer, name)
        self.tokenizer = tokenizer
        self._tokenizer: Any = tokenizer
        self._kwargs = dict(template_kwargs)
        self._name = name
        self._renderer = TemplateRenderer(tokenizer, template_kwargs, name)
        self.template = self._renderer.source
        self.is_base = self._renderer.is_base
        self._written = "".join("\n".join(self._around(*roles)) for roles in _PROBES)
        self._sealed = SealedTokenizer(tokenizer, self.template, self._written, name)
        self._told: set[str] = set()
        require_same_ids(tokenizer, self._renderer, self._rendering_ids, name)

    def encode(self, turns: Sequence[Turn], prefill: str = "") -> EncodedPrompt:
        """Return the ids of the conversation, the assistant's header and the prefill of its answer.

        A system message that the template takes in no other way becomes the beginning of the first user
        message.

        Raises:
            RequestError: if the chat template rejects the conversation, or drops or repeats a part of it.
        """
        return EncodedPrompt(self._sealed.ids(self._rendered(turns) + self._begun(prefill)))

    def encode_branches(self, turns: Sequence[Turn], branches: Branches, prefill: str = "") -> BranchedPrompt:
        """Return the ids of a conversation whose last message has branches.

        Each branch is encoded where it is: between the shared text and the question, without the others. What
        the message has in common with one without any branch is shared text and question.

        Args:
            turns: the conversation; the content of its last turn is not used.
            branches: the content of the last turn.
            prefill: beginning of the answer.

        Raises:
            RequestError: if the chat template rejects the conversation, or the tokenizer merges characters
                across the borders of the branches.
        """
        *before, last = turns

        def ids_with(branch: tuple[Piece, ...]) -> tuple[int, ...]:
            turn = Turn(last.role, (*branches.shared, *branch, *branches.question))
            return self.encode((*before, turn), prefill).ids

        bare = ids_with(())
        encoded = [[ids_with(branch) for branch in naming] for naming in branches.namings]
        every = [ids for naming in encoded for ids in naming]
        shared = min(common_length(bare, ids) for ids in every)
        question = bare[shared:]
        if not all(ids[len(ids) - len(question) :] == question for ids in every):
            raise RequestError(
                "the replies cannot be told from the text around them in token ids",
                accepted="a template `symmetric` whose blocks begin and end with a line of their own",
            )
        namings = tuple(tuple(ids[shared : len(ids) - len(question)] for ids in naming) for naming in encoded)
        return BranchedPrompt(bare[:shared], namings, question)

    def older_ids(self, turns: Sequence[Turn], prefill: str = "") -> tuple[int, ...]:
        """Return the ids that older versions gave a conversation. Raises RequestError if they refused it."""
        return self._older.ids(turns, self.thinking.skip, prefill)

    def encode_answers(
        self, turns: Sequence[Turn], answers: Sequence[WrittenAnswer]
    ) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Return the ids of a conversation and those of each answer to it.

        Conversation and answer together are the rendering of both, up to the token that ends the turn. As in
        TRL, an answer begins where its ids leave those of the prompt with the assistant's header: what the
        template writes between them belongs to the answer. All answers begin at the same place.

        Raises:
            RequestError: if the chat template rejects the conversation, or drops or repeats a part of it.
            EngineError: if neither the template nor the tokenizer defines an end token.
        """
        turns = self._answerable(self._taken(turns))
        prompt = self._sealed.ids(self._rendered(turns, learned=True))
        whole = [self._with_answer(turns, answer) for answer in answers]
        return self._split(prompt, whole)

    def encode_rendered(
        self, prompt: str, answers: Sequence[WrittenAnswer]
    ) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Return the ids of a prompt that holds a rendering of the template already, and of its answers.

        Special tokens in both texts are encoded as such: use it for the user's own training data only. An
        answer ends after its first end token, and gets one if it has none.
        """
        begins = self._tokenizer.bos_token or ""
        own = self._sealed.ids(self._renderer.around("user")[0])
        starts = bool(begins) and own[:1] == (self._tokenizer.bos_token_id,)
        if starts and not prompt.startswith(begins):
            prompt = begins + prompt
        whole = []
        for answer in answers:
            end = self._end.own.strip()
            text, ended, _ = answer.text.partition(end) if end else (answer.text, "", "")
            ids = self._sealed.ids(prompt + text + (end if ended else ""))
            whole.append(ids if ended or not answer.finished else (*ids, *self.end_of_turn))
        return self._split(self._sealed.ids(prompt), whole)

    def is_rendered(self, text: str) -> bool:
        """Return True if a text is a rendering of the chat template rather than a message's content.

        It begins as the template begins a conversation, or ends with the header of an answer. The start
        token alone is not enough: `<s>` is HTML, too.
        """
        start = self._tokenizer.bos_token or ""
        bare = text.strip().removeprefix(start).lstrip()
        conversations: tuple[tuple[Role, ...], ...] = (("user",), ("system", "user"))
        frames = [frame for roles in conversations if (frame := self._around(*roles))]
        openings = [frame[0].removeprefix(start).strip() for frame in frames]
        headers = [frame[-1].strip() for frame in frames]
        return any(opening and bare.startswith(opening) for opening in openings) or any(
            header and bare.endswith(header) for header in headers
        )

    def plain(self, piece: Piece) -> list[int]:
        """Return the ids of a text on its own, without special tokens."""
        return list(self._sealed.ids(self._sealed.seal(_text_of(piece))))

    def next_ids(self, prefill: str, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ids of a conversation with a prefill, and those with a text after the prefill.

        The text is encoded where it will be: tokenizers merge characters across the border.

        Raises:
            RequestError: if the template rejects a conversation of one message.
        """
        before = self._rendered((Turn("user", ("?",)),))
        start = self._skip if self._skip.strip() or prefill else self._lead
        after = before + start + self._sealed.seal(prefill + text)
        return self._sealed.ids(before + self._begun(prefill)), self._sealed.ids(after)

    @cached_property
    def end_of_turn(self) -> tuple[int, ...]:
        """Token ids that the template writes after an assistant's answer, up to the token that ends the turn.

        Raises:
            EngineError: if neither the template nor the tokenizer defines an end token.
        """
        if self.template_end:
            return self.template_end
        end = self._tokenizer.eos_token_id
        if self.is_base:
            return tuple(self._tokenizer.encode(CHATML_STOP, add_special_tokens=False))
        if end is None:
            raise EngineError(
                f"neither the chat template nor the tokenizer marks the end of an answer of {self._name}",
                accepted="a chat template that ends turns with a special token, or a tokenizer's eos_token",
            )
        return (int(end),)

    @cached_property
    def template_end(self) -> tuple[int, ...]:
        """Token ids with which the template itself ends an answer; empty if they include no special token."""
        if not self._end.own:
            return ()
        # After a letter, since a tokenizer may add a space to the beginning of a text.
        before, whole = self._sealed.ids("y"), self._sealed.ids("y" + self._end.own)
        return whole[_common_prefix(before, whole) :]

    @cached_property
    def thinking(self) -> Thinking:
        """How the model thinks before it answers."""
        try:
            return self.thinking_with(self._kwargs)
        except RequestError:  # the template rejects a single message, and will reject every request
            return Thinking()

    def thinking_with(self, kwargs: Mapping[str, JsonValue]) -> Thinking:
        """Return how the model thinks with other arguments of the chat template.

        Raises:
            RequestError: if the template rejects a conversation of one message.
        """
        asked: tuple[Role, ...] = ("user",) if self._around("user") else ("system", "user")
        *before, header = self._renderer.around(*asked, kwargs=kwargs)
        own = "".join(before)
        try:
            before_answer = self._renderer.around(*asked, "assistant", opened=False, kwargs=kwargs)[-2]
        except RequestError:  # the template rejects this conversation
            return replace(thinking_in(header, None, own), prompt=own + header)
        return replace(thinking_in(header, before_answer, own), prompt=own + header)

    @cached_property
    def _older(self) -> PiecewiseEncoder:
        return PiecewiseEncoder(self.tokenizer, self._renderer)

    @cached_property
    def _end(self) -> _End:
        text = (self._answered() or [""])[-1]
        stop = self._sealed.end_of_first_own(text)
        if stop is None and self.is_base:  # a model without the token ends its turn in letters
            stop = text.index(CHATML_STOP) + len(CHATML_STOP)
        return _End(text, text[:stop] if stop else "")

    @cached_property
    def _lead(self) -> str:
        """Text that the template writes between the header of an answer and the answer itself."""
        header, answered = self._around("user") or self._around("system", "user"), self._answered()
        if not header or not answered or not answered[-2].startswith(header[-1]):
            return ""
        return answered[-2][len(header[-1]) :]

    @property
    def _skip(self) -> str:
        """Template text before a prefill: an answer begins after thoughts, so an open block is closed."""
        return self.thinking.skip or self._lead

    @cached_property
    def _takes_system(self) -> bool:
        return self._renderer.takes_system()

    @cached_property
    def _of_assistant(self) -> frozenset[str]:
        """Protected strings that are tokens in learned answers: all that mark no turn, such as `<think>`."""
        special = set(self._tokenizer.all_special_tokens)
        of_turns = set(self._sealed.found_in(self._written)) | special
        return frozenset(
            token
            for token, is_special in self._sealed.special.items()
            if (names_thoughts(token) and token in self.template) or not (is_special or token in of_turns)
        )

    def _answered(self) -> list[str]:
        """Return what the template writes around a question and its answer; some ask for a system message."""
        shapes: tuple[tuple[Role, ...], ...] = (("user", "assistant"), ("system", "user", "assistant"))
        return next((found for roles in shapes if (found := self._around(*roles, opened=False))), [])

    def _around(self, *roles: Role, opened: bool = True) -> list[str]:
        """Return what the template writes around messages; nothing if it rejects the conversation."""
        try:
            return self._renderer.around(*roles, opened=opened)
        except RequestError:
            return []

    def _rendering_ids(self, messages: Sequence[Mapping[str, str]], *, opened: bool) -> tuple[int, ...]:
        """Return the ids of a conversation as it is, without a check of what the template does with it."""
        sealed = [{**message, "content": self._sealed.seal(message["content"])} for message in messages]
        return self._sealed.ids(self._renderer.render(sealed, opened=opened))

    def _taken(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Return the conversation in a form that the template takes, and check that it keeps all of it."""
        if turns and turns[0].role == "system" and not self._takes_system:
            turns = with_system_in_user(turns)
            self._tell(
                f"the chat template of {self._name} takes no system message: "
                "it becomes the beginning of the first user message"
            )
        self._renderer.require_kept(tuple(turn.role for turn in turns))
        return turns

    def _answerable(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Return the conversation in a form that the template also takes once it is answered.

        Some templates write the system message into the last user message, and drop it from a conversation
        that ends with an answer.
        """
        try:
            self._renderer.require_kept((*(turn.role for turn in turns), "assistant"))
        except RequestError:
            folded = with_system_in_user(turns)
            if turns[0].role != "system":
                raise
            self._renderer.require_kept((*(turn.role for turn in folded), "assistant"))
            self._tell(
                f"the chat template of {self._name} drops the system message of an answered conversation: "
                "in training it is the beginning of the first user message"
            )
            return folded
        return turns

    def _rendered(self, turns: Sequence[Turn], *, learned: bool = False) -> str:
        """Return the rendering of a conversation with sealed contents and the header of an answer.

        Args:
            turns: the conversation.
            learned: the conversation is training data, in whose assistant turns markers are tokens.
        """
        turns = self._taken(turns)
        return self._renderer.render([self._message(turn, learned=learned) for turn in turns])

    def _message(self, turn: Turn, *, learned: bool) -> dict[str, str]:
        text = turn.text
        if turn.role != "assistant":
            return {"role": turn.role, "content": self._sealed.seal(text)}
        if learned:
            return {"role": turn.role, "content": self._sealed.seal(text, self._of_assistant)}
        return {"role": turn.role, "content": self._with_thoughts(text)}

    def _with_thoughts(self, text: str) -> str:
        """Return a sealed answer of a prompt; the tags of thoughts at its beginning stay tokens.

        Templates remove old thoughts, and have to find them for that. Everything else is letters.
        """
        start, end = self.thinking.start, self.thinking.end
        tags = frozenset({start, end}) & self._of_assistant
        thoughts, closed, answer = text.partition(end)
        if not tags or not closed or not text.lstrip().startswith(start) or thoughts.count(start) != 1:
            return self._sealed.seal(text)
        return self._sealed.seal(thoughts + closed, tags) + self._sealed.seal(answer)

    def _begun(self, prefill: str) -> str:
        return self._skip + self._sealed.seal(prefill) if prefill else ""

    def _with_answer(self, turns: Sequence[Turn], answer: WrittenAnswer) -> tuple[int, ...]:
        """Return the ids of a conversation with an answer, up to the token that ends the turn."""
        whole = (*turns, Turn("assistant", (Untrusted(answer.text),)))
        self._renderer.require_kept(tuple(turn.role for turn in whole))
        messages = [self._message(turn, learned=True) for turn in whole]
        text = self._renderer.render(messages, opened=False)
        end, last = self._end, self._sealed.last_own(text)
        if text.endswith(end.text):
            body = text[: len(text) - len(end.text)]
            text = body + end.own if answer.finished else body
        elif last is not None:  # the template ends this answer in another way
            return self._sealed.ids(text[: last[answer.finished]])
        return (*self._sealed.ids(text), *(() if end.own or not answer.finished else self.end_of_turn))

    def _split(
        self, prompt: tuple[int, ...], whole: Sequence[tuple[int, ...]]
    ) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Return the ids that the prompt has in common with all whole conversations, and the rest of each."""
        common = min((_common_prefix(prompt, ids) for ids in whole), default=len(prompt))
        if common < len(prompt):
            lost = self._tokenizer.decode(list(prompt[common:]))
            self._tell(
                f"the chat template of {self._name} writes {lost!r} before an answer to come and not before "
                "a finished one: as in TRL, training leaves it out of the prompt"
            )
        return prompt[:common], [ids[common:] for ids in whole]

    def _tell(self, message: str) -> None:
        """Print a note once."""
        if message not in self._told:
            self._told.add(message)
            note(message)


def _common_prefix(one: Sequence[int], two: Sequence[int]) -> int:
    """Return how many ids two sequences begin with in common."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )


def _text_of(piece: Piece) -> str:
    return piece.text if isinstance(piece, Untrusted) else piece


def next_token(encoder: TurnEncoder, model: str, prefill: str, choice: str) -> int:
    """Return the token id with which a choice continues a prefill.

    Args:
        encoder: the model's encoder.
        model: the model's name, for error messages.
        prefill: beginning of the answer.
        choice: what follows it.

    Raises:
        EngineError: if the choice is not a single token there.
    """
    before, after = encoder.next_ids(prefill, choice)
    if after[:-1] != before:
        raise EngineError(
            f"{choice!r} after {prefill!r} is not a single token for {model}",
            where="prompts/templates",
            accepted="a prefill after which each answer is a single token",
        )
    return after[-1]
