"""The live bench: which prompts are on it, what is written and judged when the constitution changes.

All of its state belongs to one event loop (`BenchLoop`); other threads call it through `Workbench`.

An edit is applied in three steps. Machine checks are evaluated at once. Judgments that are known, here or in
the project's request cache, follow without a request. The rest is asked after `PAUSE_S` without another edit,
about the answers that are there: how they were written may be affected too, which is shown, and `rewrite`
writes them again. Nothing else is ever asked. A principle at whose unfinished end the user types is asked
about after `UNFINISHED_S`, or as soon as it is finished; one of one or two words only then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from constitution.schema import Constitution, Principle
from core.errors import DataError, PubliusError
from core.records import Comparison, Prompt
from core.store.cache import RequestCache
from labelers.ai import AILabeler
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineMaker, Engines
from publius.stages.critique import loop_for
from publius.stages.judges.trained import judged_constitution
from publius.studio.bench.cards import Card, CardOrigin
from publius.studio.bench.engines import BenchEngines
from publius.studio.bench.labels import LabelMemory, LabelView, label_view
from publius.studio.bench.pairs import answer_pair, same_pair
from publius.studio.bench.prompts import FIRST_SAMPLED, pinned_prompts, sampled_prompts, write_pinned
from publius.studio.bench.saved import SavedBench, settings_digest
from publius.studio.bench.writing import known_answers, write_answers

PAUSE_S = 0.4
"""Seconds without another edit after which judgments are asked for."""
UNFINISHED_S = 3.0
"""Seconds without another edit after which judgments under an unfinished principle are asked for."""
FEW_WORDS = 2
"""Words of an unfinished principle up to which it is not asked about, however long the pause."""
_PUBLISH_S = 0.03
_WRITTEN_S = 0.25
"""Seconds between two looks at answers that are being written, which change with each token."""
_OPEN_S = 0.3
"""Seconds after the first page has connected, in which it is painted before a model is loaded."""
_SAVE_S = 0.5
_REMEMBERED = 8
MAX_CARDS = 64


class Bench:
    """The prompts on the bench, their answers and labels. Use it on its own event loop only.

    Args:
        folder: folder of the project's pinned prompts.
        pinned_file: the file of the pinned prompts.
        saved: what the last studio left, and where to leave what this one knows.
        config: the configuration of the project.
        cache: the project's request cache.
        make: builds an engine.
        publish: called with what the page shows, after a change.
    """

    def __init__(
        self,
        pinned_file: Path,
        saved: SavedBench,
        config: RunConfig,
        cache: RequestCache,
        make: EngineMaker,
        publish: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._pinned_file, self._saved = pinned_file, saved
        self._cache, self._make, self._publish = cache, make, publish
        self._constitution: Constitution | None = None
        self._before: Constitution | None = None
        self._source = ""
        self._unfinished: str | None = None
        self._cards: dict[str, Card] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._is_stopped = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._asked_before_edit: Counter[str] = Counter()
        self._usd = 0.0
        self.problem = ""
        """What the page says is wrong; empty if nothing is."""
        self._asked_earlier: Counter[str] = Counter()
        self._tokens_earlier = (0, 0)
        self._is_open = False
        self._shown_engine: dict[str, Any] = {}
        self._judged: dict[str, Constitution] = {}
        self._configure(config)

    # What the page asks for

    def begin(self) -> None:
        """Put the prompts on the bench: pinned ones and those of last time, or else a few of the run's."""
        for prompt in self._read_pinned():
            self._put(prompt, "pinned").pinned = True
        for prompt, origin in self._saved.prompts():
            self._put(prompt, origin)
        if not self._cards:
            for prompt in sampled_prompts(self._config, FIRST_SAMPLED, (), self._config.seed):
                self._put(prompt, "sampled")
        self._changed()

    def open(self) -> None:
        """Begin to write and label, at the first call: a page is there."""
        if not self._is_open:
            self._is_open = True
            self._later("open", _OPEN_S, lambda: self._refresh(0.0))

    def work(self) -> None:
        """Write and label what is missing, after a stop."""
        self._is_stopped = False
        for card in self._cards.values():
            if card.state == "stopped":
                card.state = "waiting"
        self._refresh(pause_s=0.0)

    def edit(self, constitution: Constitution, source: str, unfinished: str | None = None) -> None:
        """Show the labels under another constitution, and ask for those that it changes.

        Args:
            constitution: the constitution.
            source: id of the page that it was typed on; empty for a file on disk.
            unfinished: id of the principle whose end is being typed.
        """
        self._source = source
        was_unfinished, self._unfinished = self._unfinished, unfinished
        if self._constitution is not None and constitution.digest == self._constitution.digest:
            self._constitution = constitution
            if was_unfinished and not unfinished:
                self._refresh(0.0)
            self._changed()
            return
        self._constitution = constitution
        self._before = self._before or constitution
        self._asked_before_edit = self._asked()
        self._refresh(PAUSE_S)
        self._show()

    def add(self, prompt: Prompt, origin: CardOrigin) -> str:
        """Put a prompt on the bench and return its id.

        Raises:
            DataError: the bench is full.
        """
        if len(self._cards) >= MAX_CARDS:
            raise DataError(f"the bench has {MAX_CARDS} prompts", accepted="remove one first")
        self._put(prompt, origin)
        self._refresh(0.0)
        return prompt.id

    def sample(self, count: int) -> int:
        """Put prompts of the run on the bench; return how many there were."""
        room = max(0, MAX_CARDS - len(self._cards))
        found = sampled_prompts(self._config, min(count, room), list(self._cards), self._config.seed)
        for prompt in found:
            self._put(prompt, "sampled")
        self._refresh(0.0)
        return len(found)

    def remove(self, identity: str) -> None:
        """Take a prompt off the bench, and out of the file if it is pinned."""
        card = self._card(identity)
        self._cancel(lambda key: key[1] == identity)
        del self._cards[identity]
        if card.pinned:
            self._write_pinned()
        self._changed()

    def pin(self, identity: str, pinned: bool) -> None:
        """Pin a prompt in the project's file, or take it out of there."""
        self._card(identity).pinned = pinned
        self._write_pinned()
        self._changed()

    def rewrite(self, identities: Sequence[str]) -> None:
        """Write answers again under the current constitution: those of the prompts, or all stale ones."""
        self._is_stopped = False
        for card in [self._card(one) for one in identities] or list(self._cards.values()):
            if card.is_stale or card.trace is None or card.state == "failed":
                self._cancel(lambda key, one=card.prompt.id: key == ("label", one))  # type: ignore[misc]
                self._start("write", card, self._write(card))

    def stop(self) -> None:
        """Stop writing and judging; answered requests stay in the cache."""
        self._is_stopped = True
        self._cancel(lambda key: True)
        for card in self._cards.values():
            if card.trace is None or not self._view(card, self._constitution).is_complete:
                card.state = "stopped"
        self._changed()

    def mark(self) -> None:
        """Compare with the current constitution from now on."""
        self._before = self._constitution
        self._changed()

    def configure(self, config: RunConfig) -> None:
        """Work with another configuration, such as that of an edited run file."""
        if settings_digest(config) == settings_digest(self._config):
            self.problem = ""
            self._changed()
            return
        self._cancel(lambda key: True)
        self._asked_earlier, self._tokens_earlier = self._asked(), self._tokens()
        self.problem = ""
        engines = self._engines
        asyncio.get_running_loop().run_in_executor(None, engines.close)
        self._configure(config)
        self._judged = {}
        self._refresh(0.0)

    async def opened_engines(self) -> Engines:
        """Return the engines of the bench."""
        return await self._engines.opened()

    def close(self) -> None:
        """Store what is known and close the engines."""
        self._cancel(lambda key: True)
        self._save()
        self._engines.close()

    # What happens on its own

    def _configure(self, config: RunConfig) -> None:
        self._config = config
        self._engines = BenchEngines(config, self._cache, self._make, self._changed)
        self._memory = LabelMemory(settings_digest(config), self._saved.judgments(settings_digest(config)))

    def _put(self, prompt: Prompt, origin: CardOrigin) -> Card:
        card = self._cards.setdefault(prompt.id, Card(prompt, origin))
        if card.trace is None:
            card.trace = self._saved.trace(prompt, settings_digest(self._config))
        return card

    def _card(self, identity: str) -> Card:
        if identity not in self._cards:
            raise DataError("this prompt is no longer on the bench")
        return self._cards[identity]

    def _refresh(self, pause_s: float) -> None:
        """Write the answers that are missing, and label all pairs again."""
        self._changed()
        if self._constitution is None or self._is_stopped or not self._is_open:
            return
        self._cancel(lambda key: key[0] == "label")
        for card in self._cards.values():
            if card.trace is None:
                if card.state != "failed" and ("write", card.prompt.id) not in self._tasks:
                    self._start("write", card, self._write(card))
            else:
                self._start("label", card, self._label(card, pause_s))

    def _start(self, kind: str, card: Card, work: Coroutine[Any, Any, None]) -> None:
        key = (kind, card.prompt.id)
        self._cancel(lambda other: other == key)
        self._tasks[key] = asyncio.create_task(self._guarded(key, card, work))

    async def _guarded(self, key: tuple[str, str], card: Card, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        try:
            card.problem = ""
            await work
        except PubliusError as error:
            card.state, card.problem = "failed", str(error)
        finally:
            if self._tasks.get(key) is task:
                del self._tasks[key]
            self._changed()
            self._later("save", _SAVE_S, self._save)

    def _cancel(self, which: Callable[[tuple[str, str]], bool]) -> None:
        for key in [key for key in self._tasks if which(key)]:
            self._tasks.pop(key).cancel()

    async def _write(self, card: Card) -> None:
        """Write the answers of a prompt under the constitution as it is now, then label them."""
        constitution = self._constitution
        assert constitution is not None
        engines = await self._engines.opened()
        loop = loop_for(self._config, constitution, self._engines.templates, engines)
        card.written = {}

        def tell(purpose: str, text: str | None) -> None:
            card.tell(purpose, text)
            self._later("written", _WRITTEN_S, self._show)

        card.trace = await write_answers(loop, card.prompt, tell)
        card.is_stale, card.written = False, {}
        self._start("label", card, self._label(card, 0.0))

    async def _label(self, card: Card, pause_s: float) -> None:
        """Ask for the judgments of a pair that are not known, after the pause."""
        clock = asyncio.get_running_loop().time
        began = clock()
        card.state = "labelling" if not self._view(card, self._constitution).is_complete else "done"
        engines = await self._engines.opened()
        await self._follow(card, engines)
        constitution, pair = self._constitution, card.pair
        if constitution is None or pair is None or isinstance(pair.comparison, str):
            card.state = "done"
            return
        comparison, labeler = pair.comparison, self._labeler(engines, constitution)
        missing = [p for p in labeler.principles_for(comparison) if not self._knows(comparison, p)]
        cached = [p for p in missing if self._is_cached(labeler, engines, comparison, p)]
        await self._judge(labeler, comparison, cached)
        unfinished = [p for p in missing if p not in cached and p.id == self._unfinished]
        asked = [p for p in missing if p not in cached and p not in unfinished]
        for principles, wait_s in ((asked, pause_s), (unfinished, UNFINISHED_S)):
            if principles:
                card.state = "labelling"
                self._changed()
                if principles is unfinished and len(principles[0].text.split()) <= FEW_WORDS:
                    await asyncio.get_running_loop().create_future()  # until the next edit cancels this
                await asyncio.sleep(began + wait_s - clock())
                if principles is unfinished:
                    self._unfinished = None
                await self._judge(labeler, comparison, principles)
        card.state = "done"

    async def _follow(self, card: Card, engines: Engines) -> None:
        """Mark a card whose answers would be others under the current constitution.

        They stay until `rewrite`, even where all are known: labels before and after an edit are compared on
        the same pair.
        """
        constitution, trace = self._constitution, card.trace
        if constitution is None or trace is None or trace.constitution_digest == constitution.digest:
            card.is_stale = False
            return
        if self._config.critique.judge:  # its loop asks the labeler, so that nothing is known beforehand
            card.is_stale = True
            return
        loop = loop_for(self._config, constitution, self._engines.templates, engines)
        known = await known_answers(loop, engines.of("policy"), engines.of("critic"), card.prompt)
        card.is_stale = known is None or not same_pair(answer_pair(known), answer_pair(trace))
        if known is not None and not card.is_stale:
            card.trace = known

    async def _judge(
        self, labeler: AILabeler, comparison: Comparison, principles: Iterable[Principle]
    ) -> None:
        async def judge(principle: Principle) -> None:
            judgment = await labeler.judge(comparison, principle)
            key = self._memory.key(comparison, principle, labeler.constitution)
            self._memory.judgments[key] = judgment
            self._changed()

        await asyncio.gather(*map(judge, principles))

    def _is_cached(
        self, labeler: AILabeler, engines: Engines, comparison: Comparison, principle: Principle
    ) -> bool:
        engine = engines.of("labeler")
        return all(engine.knows(request) for request in labeler.requests(comparison, principle))

    def _knows(self, comparison: Comparison, principle: Principle) -> bool:
        assert self._constitution is not None
        return self._memory.find(comparison, principle, self._constitution) is not None

    def _labeler(self, engines: Engines, constitution: Constitution) -> AILabeler:
        config, judged = self._config, self._judged_of(constitution)
        return AILabeler(judged, engines.of("labeler"), config.label, config.seed, self._engines.templates)

    # What the page shows

    def _view(self, card: Card, constitution: Constitution | None) -> LabelView:
        """Return what is known of a card's labels under a version; it must have answers."""
        assert constitution is not None
        pair = card.pair
        assert pair is not None
        asked: tuple[Principle, ...] = ()
        if isinstance(pair.comparison, Comparison):
            asked = self._asked_under(pair.comparison, constitution)
        return label_view(card.prompt, pair, constitution, asked, self._memory, self._config.label)

    def _asked_under(self, comparison: Comparison, constitution: Constitution) -> tuple[Principle, ...]:
        """Return the principles that the labeler judges under, which is known before it is loaded."""
        if not self._config.label.principles:
            return ()
        if self._engines.ready is not None:
            return self._labeler(self._engines.ready, constitution).principles_for(comparison)
        engine: Any = _NotLoaded()
        config, judged = self._config, self._judged_of(constitution)
        return AILabeler(judged, engine, config.label, config.seed).principles_for(comparison)

    def _judged_of(self, constitution: Constitution) -> Constitution:
        """Return the constitution without what a trained judge abstains on, with one warning for each."""
        known = self._judged.get(constitution.digest)
        if known is None:
            known = judged_constitution(constitution, Path(self._config.models.of("labeler").id))
            self._judged = {**dict(list(self._judged.items())[-_REMEMBERED:]), constitution.digest: known}
        return known

    def _changed(self) -> None:
        self._later("show", _PUBLISH_S, self._show)

    def _later(self, name: str, wait_s: float, call: Callable[[], None]) -> None:
        """Call a function once, however often it is wanted until then."""
        timer = self._timers.get(name)
        if timer is None or timer.when() <= asyncio.get_running_loop().time():
            self._timers[name] = asyncio.get_running_loop().call_later(wait_s, call)

    def _show(self) -> None:
        engine = self._engines.as_json(self._constitution)
        if engine != self._shown_engine:
            self._shown_engine = engine
            self._publish("engine", engine)
        if self._constitution is not None:
            self._publish("bench", self._as_json(self._constitution))

    def _as_json(self, constitution: Constitution) -> dict[str, Any]:
        asked, (prompt_tokens, completion_tokens) = self._asked(), self._tokens()
        before = self._before or constitution
        return {
            "name": constitution.name,
            "digest": constitution.digest,
            "before": before.digest,
            "source": self._source,
            "busy": bool(self._tasks),
            "stopped": self._is_stopped,
            "problem": self.problem,
            "unfinished": self._unfinished,
            "cards": [self._card_json(card, constitution, before) for card in self._cards.values()],
            "principles": {p.id: {"text": p.text, "hard": p.hard} for p in constitution.principles},
            "asked": dict(asked),
            "asked_since_edit": dict(asked - self._asked_before_edit),
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "usd": self._spent(),
        }

    def _card_json(self, card: Card, constitution: Constitution, before: Constitution) -> dict[str, Any]:
        if card.trace is None:
            return card.as_json(None, None)
        return card.as_json(self._view(card, constitution), self._view(card, before))

    def _asked(self) -> Counter[str]:
        engines = self._engines.ready
        return self._asked_earlier + (engines.counts().asked if engines else Counter())

    def _tokens(self) -> tuple[int, int]:
        prompts, answers = self._tokens_earlier
        engines = self._engines.ready
        if engines is not None:
            counts = engines.counts()
            prompts, answers = prompts + counts.prompt_tokens, answers + counts.completion_tokens
        return prompts, answers

    def _spent(self) -> float:
        """Return the price of what servers were asked, in US dollars."""
        if self._engines.ready is not None:
            self._usd += sum(record.traffic.usd for record in self._engines.ready.take_server_records())
        return self._usd

    def _read_pinned(self) -> list[Prompt]:
        try:
            return pinned_prompts(self._pinned_file)
        except PubliusError as error:
            self.problem = str(error)
            return []

    def _write_pinned(self) -> None:
        write_pinned(self._pinned_file, [card.prompt for card in self._cards.values() if card.pinned])

    def _save(self) -> None:
        """Store what is known. A full disk is shown: the answers themselves are in the request cache."""
        try:
            self._saved.keep(list(self._cards.values()), self._memory, settings_digest(self._config))
        except PubliusError as error:
            self.problem = str(error)
            self._changed()


class _NotLoaded:
    """An engine of an ordinary model, for the question which principles it will be asked about."""
