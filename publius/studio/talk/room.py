"""The talk of a studio: questions to several variants at once, and what the user makes of their answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

from constitution.loader import read_constitution
from core.digests import derive_seed
from core.errors import DataError, PubliusError
from core.records import Prompt
from prompts.user_templates import user_templates
from publius.config.stand_ins import made_up, stand_in_roles
from publius.runs.engines import Engines
from publius.studio.files import ProjectFiles
from publius.studio.project import STATE_FOLDER, StudioProject
from publius.studio.ratings.desk import RatedPair, Rating, RatingDesk
from publius.studio.talk.conversation import Talk, TalkFile, TalkTurn, Thumb, VariantAnswer
from publius.studio.talk.examples import principle_ids, with_example
from publius.studio.talk.speakers import TalkVariant, talk_variants, variant_reply

TALK_TURNS = 40
MOST_VARIANTS = 4
_WRITTEN_S = 0.2
"""Seconds between two publications of answers that are being written."""
_INTERRUPTED = "the studio was stopped before this was answered"
_STOPPED = "stopped"
_RATINGS: dict[tuple[Thumb, Thumb], Rating] = {
    ("up", "up"): "tie",
    ("up", "down"): "first",
    ("down", "up"): "second",
    ("down", "down"): "both_bad",
}


class Asks(Protocol):
    """The bench, as far as a talk uses it: engines of the project, and a place for prompts."""

    def submit(self, work: Callable[[Engines], Any]) -> Future[Any]:
        """Run a coroutine with the engines of the project."""

    def keep_prompt(self, prompt: Prompt) -> str:
        """Put a prompt on the bench, pinned, and return its id."""


class TalkRoom:
    """The current talk of a project. Thread-safe.

    Args:
        project: the project.
        files: its files, which have the principles that can have examples.
        bench: answers, and keeps prompts.
        desk: takes comparisons and ratings.
        publish: called with a topic and its content when the talk has changed.
    """

    def __init__(
        self,
        project: StudioProject,
        files: ProjectFiles,
        bench: Asks,
        desk: RatingDesk,
        publish: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._project, self._files, self._bench, self._desk = project, files, bench, desk
        self._publish = publish
        self._lock = threading.RLock()
        self._publishing = threading.Lock()
        self._file = TalkFile(project.folder / STATE_FOLDER)
        self._talk = self._file.read()
        self._asked: Future[Any] | None = None
        self._written: dict[str, str] = {}
        self._written_at = 0.0
        self._end_open(_INTERRUPTED)

    def shown(self) -> dict[str, Any]:
        """Return the talk, who can answer, and the principles that can have examples."""
        problem = said = ""
        variants: list[TalkVariant] = []
        try:
            config = self._project.config()
            variants = talk_variants(self._project.folder, config)
            said = made_up(stand_in_roles(config)) if "policy" in stand_in_roles(config) else ""
        except PubliusError as error:
            problem = str(error)
        with self._lock:
            talk = self._talk.as_json()
            busy = self._asked is not None and not self._asked.done()
        return {
            "talk": talk,
            "busy": busy,
            "variants": [variant.as_json() for variant in variants],
            "principles": self._principles(),
            "file": self._project.constitution.name,
            "problem": problem,
            "made_up": said,
        }

    def ask(self, question: str, names: Sequence[str]) -> str:
        """Ask several variants the next question; return the id of the turn. The answers are published.

        Raises:
            DataError: a question is being answered, or a variant cannot answer.
            ConfigError: the run file or the constitution is not valid.
        """
        config = self._project.config()
        known = {variant.name: variant for variant in talk_variants(self._project.folder, config)}
        chosen = list(dict.fromkeys(names))
        unknown = [name for name in chosen if name not in known]
        if unknown or not 1 <= len(chosen) <= MOST_VARIANTS:
            what = f"no variant {unknown[0]!r}" if unknown else f"{len(chosen)} variants"
            raise DataError(what, accepted=f"1 to {MOST_VARIANTS} of {', '.join(known)}")
        constitution = read_constitution(self._project.constitution).constitution
        under = (constitution, user_templates(config.templates))
        with self._lock:
            if self._asked is not None and not self._asked.done():
                raise DataError("the last question is still being answered", accepted="wait, or stop it")
            if len(self._talk.turns) >= TALK_TURNS:
                raise DataError(f"the talk has {TALK_TURNS} turns", accepted="begin a new one")
            number = len(self._talk.turns)
            turn = TalkTurn(f"{self._talk.id}-{number}", question, {name: VariantAnswer() for name in chosen})
            self._talk.turns.append(turn)
            self._file.write(self._talk)
            prompts = {name: self._talk.prompt(turn.id, name) for name in chosen}

            async def answered(engines: Engines) -> None:
                async def one(name: str) -> None:
                    seed = derive_seed(config.seed, prompts[name].id, "talk", self._talk.id, number)
                    try:
                        reply = await variant_reply(
                            engines,
                            known[name],
                            prompts[name],
                            under,
                            config,
                            seed,
                            partial(self._tell, turn, name),
                        )
                    except PubliusError as error:
                        self._note(turn, name, VariantAnswer(problem=str(error)))
                    else:
                        finished = reply.finish_reason == "stop"
                        self._note(turn, name, VariantAnswer(reply.text, finished))

                if (
                    engines.settings("policy").kind == "vllm"
                ):  # one engine at a time: each reserves GPU memory
                    for name in chosen:
                        engines.keep(engines.policy_with(known[name].adapter))
                        await one(name)
                else:
                    await asyncio.gather(*map(one, chosen))

            asked = self._asked = self._bench.submit(answered)
        asked.add_done_callback(self._ended)  # without the lock: it may be called at once, and publishes
        self._changed()
        return turn.id

    def stop(self) -> None:
        """Stop answering."""
        with self._lock:
            if self._asked is not None:
                self._asked.cancel()

    def begin(self) -> None:
        """Begin a new talk. What was made of the one before stays."""
        self.stop()
        with self._lock:
            self._talk = Talk()
            self._file.write(self._talk)
        self._changed()

    def thumb(self, turn: str, variant: str, thumb: Thumb | None, annotator: str) -> None:
        """Store what the user thinks of an answer; two of a turn are a rating, which is on disk as well.

        Raises:
            DataError: the variant has not answered in this turn.
            RunStateError: the disk failed; the same call may be repeated.
        """
        with self._lock:
            answers = self._talk.turn(turn).answers
            if variant not in answers or answers[variant].text is None:
                raise DataError(f"{variant} has not answered", accepted="an answer on the page")
            answers[variant].thumb = thumb
            # The ratings first: if they cannot be stored, the thumb is not shown as stored either.
            self._desk.rate(annotator, self._rated(turn, variant))
            self._file.write(self._talk)
        self._changed()

    def keep_prompt(self, turn: str, variant: str) -> str:
        """Pin the conversation that a variant answered as a prompt of the bench, and return its id."""
        with self._lock:
            prompt = self._talk.prompt(turn, variant)
        return self._bench.keep_prompt(prompt)

    def keep_comparison(self, turn: str, first: str, second: str) -> int:
        """Put two answers in the queue of pairs to rate; return 0 if they are in it already."""
        with self._lock:
            comparison = self._talk.comparison(turn, first, second)
        return self._desk.add([comparison])

    def keep_example(self, turn: str, principle: str, good: str, bad: str, text: str) -> str:
        """Return the text of the constitution with two answers as one more example of a principle.

        Args:
            turn: id of the turn.
            principle: id of the principle.
            good: variant whose answer follows the principle.
            bad: variant whose answer violates it.
            text: the constitution as it is in the editor.

        Raises:
            DataError: the answers cannot be an example, or the principle cannot have one.
            ConfigError: the text is not valid YAML.
        """
        with self._lock:
            comparison = self._talk.comparison(turn, good, bad)
            asked = self._talk.turn(turn)
            texts = [asked.answers[name].text or "" for name in (good, bad)]
        if len(comparison.prompt.messages) > 1:
            raise DataError(
                "an example of a principle has one question, and this answer follows earlier ones",
                accepted="the first question of a talk",
            )
        return with_example(text, Path(self._project.constitution.name), principle, asked.question, *texts)

    def _rated(self, turn: str, variant: str) -> list[RatedPair]:
        """Return the pairs of a variant's answer with the others of the turn, as the thumbs rate them."""
        answers = self._talk.turn(turn).answers
        pairs = []
        for first, second in combinations(answers, 2):
            one, other = answers[first], answers[second]
            if variant not in (first, second) or not _comparable(one, other):
                continue
            both = one.thumb is not None and other.thumb is not None
            rating = _RATINGS[one.thumb, other.thumb] if one.thumb and other.thumb and both else None
            pairs.append(RatedPair(self._talk.comparison(turn, first, second), one.text or "", rating))
        return pairs

    def _tell(self, turn: TalkTurn, name: str, text: str) -> None:
        """Publish what a variant has written so far, now and then; it is no part of the talk yet."""
        with self._lock:
            self._written[name] = text
            if time.monotonic() - self._written_at < _WRITTEN_S:
                return
            self._written_at = time.monotonic()
            written = dict(self._written)
        self._publish("writing", {"turn": turn.id, "answers": written})

    def _note(self, turn: TalkTurn, name: str, answer: VariantAnswer) -> None:
        with self._lock:
            self._written.pop(name, None)
            turn.answers[name] = answer
            if turn in self._talk.turns:
                self._file.write(self._talk)
        self._changed()

    def _ended(self, asked: Future[Any]) -> None:
        failed = None if asked.cancelled() else asked.exception()
        with self._lock:
            self._written = {}
            self._end_open(_STOPPED if failed is None else str(failed))
        self._changed()

    def _end_open(self, problem: str) -> None:
        """Give answers that will not come any more a problem."""
        unanswered = [
            answer
            for turn in self._talk.turns
            for answer in turn.answers.values()
            if answer.text is None and not answer.problem
        ]
        for answer in unanswered:
            answer.problem = problem
        if unanswered:
            self._file.write(self._talk)

    def _principles(self) -> list[str]:
        try:
            return principle_ids(
                self._files.read(self._project.constitution.name).text, self._project.constitution
            )
        except PubliusError:
            return []

    def _changed(self) -> None:
        with self._publishing:  # or a state that was read before another one could be shown after it
            self._publish("talk", self.shown())


def _comparable(one: VariantAnswer, other: VariantAnswer) -> bool:
    texts = (one.text, other.text)
    return all(text and text.strip() for text in texts) and texts[0] != texts[1]
