"""Work of the torch thread: collect requests, score choices, admit rows and decode them step by step."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from core.errors import EngineError, FailedRequestError, PubliusError, RequestError, type_and_first_line
from core.libraries import is_out_of_memory
from core.records import Generation
from engines.answers import AnswerReader
from engines.config import EngineConfig
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, require_finite
from engines.tokenization import TurnEncoder
from engines.trees import BranchedPrompt, Tree, prefix_groups, prefix_tree

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from engines.hf.decoding import DecodingBatch, DecodingRow
    from engines.hf.prefixes import PrefixStore

_GATHER_S = 0.01
"""Seconds that an idle engine waits for further requests after the first, to start with a larger batch."""
_MOST_SCORED = 256
"""Maximum number of choices that are scored together: each has logits over the whole vocabulary."""
_TOLD_EVERY = 4
"""Number of tokens after which a task that wants to know is told the text of its answer so far."""
_SCORED_TOKENS_ON_CPU = 2048
"""Number of tokens of choices that are enough for one pass on a CPU. What shares a prefix is not divided."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A request in the engine, with the future and event loop of the task that waits for it."""

    request: GenerationRequest | ChoiceRequest
    ids: tuple[int, ...]
    choice_ids: tuple[int, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    parts: BranchedPrompt | Tree | None = None
    """The token ids in parts, for choices of other forms."""
    tell: Callable[[str], None] | None = None
    """Called on the event loop with the text of an answer so far, while it is drawn."""

    def resolve(self, result: Generation | ChoiceScores | PubliusError) -> None:
        """Pass the result to the event loop of the waiting task; do nothing if the task is gone."""

        # Futures are not thread-safe: this runs on the torch thread, and `settle` on the task's event loop.
        def settle() -> None:
            if self.future.done():
                return
            if isinstance(result, PubliusError):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(settle)

    def report(self, text: str) -> None:
        """Pass the text of an unfinished answer to the event loop of the waiting task."""

        def tell() -> None:
            if self.tell is not None and not self.future.done():  # else the task was cancelled
                self.tell(text)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(tell)


TicketQueue = queue.SimpleQueue[list[Ticket] | None]
"""Tickets on their way to the torch thread, as they were made together; None ends it."""


class TorchWorker:
    """Holds the model, the waiting tickets and the rows being decoded. Used only on the torch thread.

    Args:
        model: the weights.
        tokenizer: decodes tokens.
        encoder: the encoder of the model's conversations.
        limits: batch sizes.
        name: the model's name in records.
        packs: whether the model takes packed rows, in which common prefixes are computed once.
        remembers: whether keys and values of scored prompts are stored too, if the model packs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encoder: TurnEncoder,
        limits: EngineConfig,
        name: str,
        *,
        packs: bool = False,
        remembers: bool = False,
    ) -> None:
        self._model = model
        self._packs = packs
        self._remembers = remembers
        self._tokenizer: Any = tokenizer
        self._name = name
        self._limits = limits
        self._prefixes = self._new_store() if packs else None
        declared = model.generation_config.eos_token_id if model.generation_config else None
        ends = declared if isinstance(declared, list) else [declared]
        self._reader = AnswerReader(tokenizer, encoder, ends, name)
        self._open: set[Ticket] = set()
        self._choices: list[Ticket] = []
        self._in_parts: list[Ticket] = []
        self._drafts: list[Ticket] = []
        self._batch = self._new_batch()

    def collect(self, tickets: TicketQueue) -> bool:
        """Collect new tickets; wait only if there is nothing to do. Return False if the engine was closed."""
        idle = not (self._batch.rows or self._drafts or self._choices or self._in_parts)
        timeout: float | None = None
        while True:
            try:
                arrived = tickets.get(timeout=timeout) if idle else tickets.get_nowait()
            except queue.Empty:
                return True
            if arrived is None:
                return False
            self._open.update(arrived)
            for ticket in arrived:
                is_choice = isinstance(ticket.request, ChoiceRequest)
                waiting = self._choices if is_choice else self._drafts
                (self._in_parts if ticket.parts else waiting).append(ticket)
            timeout = _GATHER_S

    def work(self) -> int:
        """Score one batch of choices, admit rows if there are free slots, and decode one step.

        Returns:
            The number of tokens drawn.
        """
        if self._choices:
            self._score()
        if self._in_parts:
            ticket = self._in_parts.pop(0)
            self._resolve_with(ticket, partial(self._scored_in_parts, ticket))
        if self._drafts and self._should_admit():
            self._admit()
        drawn = len(self._batch.rows)
        if drawn:
            self._step()
        return drawn

    def _new_batch(self) -> DecodingBatch:
        from engines.hf.decoding import DecodingBatch

        return DecodingBatch(self._model, self._reader.end_ids, self._reader.decode, prefixes=self._prefixes)

    def _new_store(self) -> PrefixStore:
        from engines.hf.prefixes import PrefixStore

        return PrefixStore(int(self._limits.prefix_cache_gib * 2**30))

    def unanswered(self) -> list[Ticket]:
        """Return all tickets that have no result yet."""
        return list(self._open)

    def _resolve(self, ticket: Ticket, result: Generation | ChoiceScores | PubliusError) -> None:
        ticket.resolve(result)
        self._open.remove(ticket)

    def _resolve_with(self, ticket: Ticket, result: Callable[[], Generation | ChoiceScores]) -> None:
        """Resolve a ticket with what the function returns, or with its failure."""
        try:
            self._resolve(ticket, result())
        except RequestError as error:
            self._resolve(ticket, error)
        except Exception as error:  # noqa: BLE001  other tickets are not affected
            self._resolve(ticket, _failure(error))

    def _should_admit(self) -> bool:
        """Return True if waiting tickets should join now.

        Joining copies the cache, so it waits until several tickets can join or half of the batch is free.
        """
        busy = len(self._batch.rows)
        several = max(1, self._limits.max_batch // 4)
        free = self._limits.max_batch - busy
        return (
            self._batch.can_join
            and free > 0
            and (len(self._drafts) >= several or 2 * busy <= self._limits.max_batch)
        )

    def _admit(self) -> None:
        from engines.hf.decoding import DecodingRow

        reserved = [row.max_tokens for row in self._batch.rows]
        room = self._limits.max_batch - len(reserved)
        tickets = _similar(self._drafts, room)
        rows: list[DecodingRow] = []
        for ticket in tickets:
            assert isinstance(ticket.request, GenerationRequest)
            sampling = ticket.request.sampling
            sampling = sampling.model_copy(update={"stop": self._reader.stops(sampling)})
            row = DecodingRow(ticket.ids, sampling, ticket.request.seed, ticket)
            widest = max([row.max_tokens, *reserved])
            # Rows are padded to the widest and may all reach their maximum. Too large a row runs alone.
            if widest * (len(reserved) + 1) > self._limits.max_batch_tokens and reserved:
                break
            reserved.append(row.max_tokens)
            rows.append(row)
            self._drafts.remove(ticket)
        if rows:
            self._join(rows)

    def _join(self, rows: list[DecodingRow]) -> None:
        """Add rows to the batch. If the model fails on them, each joins alone, without those that fail."""
        try:
            self._batch.admit(rows)
        except Exception as error:  # noqa: BLE001  a request's failure, or raised again by `_failure`
            if len(rows) > 1 and _is_of_a_request(error):
                for number, row in enumerate(rows):
                    if not self._batch.can_join:  # the others wait until the batch is empty
                        self._drafts[:0] = [other.ticket for other in rows[number:]]
                        return
                    self._join([row])
                return
            self._resolve(rows[0].ticket, _failure(error))

    def _step(self) -> None:
        """Decode one token of each row. If the model fails, so do all unfinished rows."""
        rows = list(self._batch.rows)  # a step takes finished ones out before its forward pass
        try:
            finished = self._batch.step()
        except Exception as error:  # noqa: BLE001  as in `_join`
            failure = _failure(error)
            self._batch = self._new_batch()
            for row in rows:
                if row.finish_reason or row.failed:
                    self._resolve_with(row.ticket, partial(self._generation, row))
                else:
                    self._resolve(row.ticket, failure)
            return
        for row in finished:
            self._resolve_with(row.ticket, partial(self._generation, row))
        for row in self._batch.rows:
            if row.ticket.tell is not None and len(row.tokens) % _TOLD_EVERY == 0:
                row.ticket.report(self._answer(row, "length").text)

    def _score(self) -> None:
        """Score one batch of choices. If the model fails on it, each ticket is scored alone."""
        if self._packs:
            most = self._limits.max_batch_tokens
            on_cpu = self._model.device.type == "cpu"
            tickets = _sharing(self._choices, most, _SCORED_TOKENS_ON_CPU if on_cpu else most)
        else:
            longest = max(len(ticket.ids) for ticket in self._choices)
            count = max(1, min(self._limits.max_batch, self._limits.max_batch_tokens // longest))
            tickets = _similar(self._choices, count)
        for ticket in tickets:
            self._choices.remove(ticket)
        self._score_together(tickets)

    def _score_together(self, tickets: list[Ticket]) -> None:
        from engines.hf.decoding import next_token_logprobs

        try:
            prompts = [ticket.ids for ticket in tickets]
            store = self._prefixes if self._remembers else None
            logprobs = next_token_logprobs(self._model, prompts, packed=self._packs, prefixes=store)
            tops = logprobs.argmax(dim=-1).tolist()
        except Exception as error:  # noqa: BLE001  as in `_join`
            if len(tickets) > 1 and _is_of_a_request(error):
                for ticket in tickets:
                    self._score_together([ticket])
                return
            self._resolve(tickets[0], _failure(error))
            return
        for ticket, row, top in zip(tickets, logprobs, tops, strict=True):
            self._resolve_with(ticket, partial(self._scores, ticket, row, top))

    def _scores(self, ticket: Ticket, logprobs: torch.Tensor, top: int) -> ChoiceScores:
        """Return the scores from the log-probabilities (V,) of the next token."""
        request, chosen = ticket.request, logprobs[list(ticket.choice_ids)]
        assert isinstance(request, ChoiceRequest)
        require_finite(chosen.tolist())
        # Some tokenizers decode a token alone without its space.
        names = dict(zip(ticket.choice_ids, request.choices, strict=True))
        return ChoiceScores(
            logprobs=tuple(chosen.tolist()),
            answer_mass=min(1.0, float(chosen.exp().sum())),
            top_token=names.get(top) or self._tokenizer.decode([top]),
            prompt_tokens=len(ticket.ids),
            model=self._name,
        )

    def _scored_in_parts(self, ticket: Ticket) -> ChoiceScores:
        """Return the scores of a choice whose prompt has branches, or of whole answers."""
        from engines.hf.parts import branch_logprobs, whole_answer_logprobs

        assert isinstance(ticket.request, ChoiceRequest)
        if isinstance(ticket.parts, Tree):
            sums = whole_answer_logprobs(self._model, ticket.parts, packed=self._packs)
            require_finite(sums)
            return ChoiceScores(
                logprobs=tuple(sums),
                top_token=ticket.request.choices[sums.index(max(sums))],
                prompt_tokens=len(ticket.ids),
                model=self._name,
                lengths=tuple(map(len, ticket.parts.answers)),
            )
        assert ticket.parts is not None
        if not self._packs:
            raise EngineError(
                "the model takes no packed rows, so replies cannot be read side by side",
                where=self._name,
                accepted="another label.mode, or a model with plain attention in all layers",
            )
        rows = branch_logprobs(self._model, ticket.parts)
        each = len(ticket.choice_ids) // len(rows)
        chosen = [row[list(ticket.choice_ids[n * each : (n + 1) * each])] for n, row in enumerate(rows)]
        logprobs = [value for values in chosen for value in values.tolist()]
        require_finite(logprobs)
        names, top = dict(zip(ticket.choice_ids, ticket.request.choices, strict=True)), int(rows[0].argmax())
        return ChoiceScores(
            logprobs=tuple(logprobs),
            answer_mass=min(min(1.0, float(values.exp().sum())) for values in chosen),
            top_token=names.get(top) or self._tokenizer.decode([top]),
            prompt_tokens=len(ticket.ids),
            model=self._name,
        )

    def _generation(self, row: DecodingRow) -> Generation:
        if row.failed:
            raise FailedRequestError("the model's logits are not finite", detail=f"token {len(row.tokens)}")
        assert row.finish_reason is not None
        return self._answer(row, row.finish_reason)

    def _answer(self, row: DecodingRow, finish_reason: Literal["stop", "length"]) -> Generation:
        return self._reader.read(row.ticket.request, len(row.prompt), row.tokens, finish_reason)


def _is_of_a_request(error: Exception) -> bool:
    """Return False if an exception ends the work of the whole engine: our own errors, and lack of memory."""
    return not (isinstance(error, PubliusError | MemoryError) or is_out_of_memory(error))


def _failure(error: Exception) -> FailedRequestError:
    """Return an exception of the model as the failure of one request; raise it if it ends the engine."""
    if not _is_of_a_request(error):
        raise error
    reason = f"the engine failed on the request ({type(error).__name__})"
    return FailedRequestError(reason, detail=type_and_first_line(error))


def _similar(tickets: list[Ticket], count: int) -> list[Ticket]:
    """Return up to `count` tickets with prompts closest in length to that of the oldest ticket."""
    # Similar lengths waste little padding. Starting from the oldest, no ticket waits forever.
    oldest = len(tickets[0].ids)
    nearest = sorted(tickets, key=lambda ticket: abs(len(ticket.ids) - oldest))[:count]
    return sorted(nearest, key=lambda ticket: len(ticket.ids))


def _sharing(tickets: list[Ticket], budget: int, enough: int) -> list[Ticket]:
    """Return the oldest ticket and others with at most `budget` tokens, common prefixes counted once.

    Those that share a prefix stay together, in whatever order they came, and are divided only if they exceed
    the budget by themselves. Others are added only up to `enough` tokens.
    """
    waiting = tickets[: 2 * _MOST_SCORED]  # in order of age; more would take long to compare
    groups = sorted(prefix_groups([ticket.ids for ticket in waiting]))
    taken: list[Ticket] = []
    for group in groups:
        members = [waiting[index] for index in group]
        size = len(prefix_tree([member.ids for member in members]))
        if taken and (size > min(budget, enough) or len(taken) + len(members) > _MOST_SCORED):
            break
        if size > budget or len(members) > _MOST_SCORED:
            members = _within(members, budget)
        taken += members
        budget, enough = budget - size, enough - size
    return sorted(taken, key=lambda ticket: len(ticket.ids))


def _within(tickets: list[Ticket], budget: int) -> list[Ticket]:
    """Return the first tickets of a group with a common prefix, at most `budget` tokens; at least one."""
    shared = len(prefix_tree([ticket.ids for ticket in tickets]).prompt_ids)
    ends = accumulate((len(ticket.ids) - shared for ticket in tickets), initial=shared)
    count = sum(end <= budget for end in ends) - 1  # the first of these is the prefix alone
    return tickets[: max(1, min(count, _MOST_SCORED))]
