"""An engine that answers Yes or No by a trained judge.

It takes the place of a language model wherever replies are judged one at a time: labels (`label.mode:
pointwise`), rewards, decisions. It writes no text and compares no replies in one question.
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

from core.digests import digest
from core.errors import ConfigError, EngineError
from core.records import Generation
from engines.judge.model import JudgedQuestion, JudgeModel
from engines.loading import parameter_count
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, require_finite

ANSWERS = (" Yes", " No")
"""The choices of a question to a judge."""
_Waiting = tuple[JudgedQuestion, asyncio.Future[float]]


class ProbeEngine:
    """Gives the probability of Yes by a probe; requests that arrive together share one forward pass.

    Args:
        folder: the output of `publius train judge`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        EngineError: if the folder holds no judge, or the model is not the one that it was trained on.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self._folder, self._device = folder, device
        self._judge: JudgeModel | None = None
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._busy = Lock()

    @property
    def judge(self) -> JudgeModel:
        """The judge; its model is loaded when the first question is asked."""
        if self._judge is None:
            self._judge = JudgeModel(self._folder, self._device)
        return self._judge

    @property
    def model(self) -> str:
        """Name of the judge in records."""
        return self.judge.name

    @property
    def identity(self) -> str:
        """Digest of the judge's weights and of its model."""
        return digest("judge", self.judge.identity)

    @property
    def is_base(self) -> bool:
        """False: a judge is asked in the template that it was trained with."""
        return False

    @property
    def has_own_question(self) -> bool:
        """True: a probe was trained on the answer to one question."""
        return True

    @property
    def parameters(self) -> int | None:
        """Number of the model's weights; None if its files do not tell."""
        return parameter_count(self.judge.source.files)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of Yes and No. Raises ConfigError for other choices."""
        if choices != ANSWERS:
            raise ConfigError(
                f"{self._folder} is a trained judge, which judges each reply alone",
                where="label.mode",
                accepted="label.mode: pointwise",
            )
        return (0, 1)

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of the judge and the token ids of the question."""
        if isinstance(request, GenerationRequest):
            raise self._writes_nothing()
        question = self.judge.question(request)
        own = () if question.probe is None else (question.probe,)
        return digest("judge", self.judge.identity, question.row.ids, request.choices, *own)

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of tokens of a question. Raises RequestError if it is too long."""
        if isinstance(request, GenerationRequest):
            raise self._writes_nothing()
        return len(self.judge.source.fitting(self.judge.question(request).row).ids)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raise EngineError: a judge writes no text."""
        raise self._writes_nothing()

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the log-probabilities of Yes and No, which have all of the probability.

        Raises:
            ConfigError: for other choices.
            RequestError: if the question is too long for the model, or no probe answers it.
        """
        self.require_choices(request.prefill, request.choices)
        question = self.judge.question(request)
        row = self.judge.source.fitting(question.row)
        log_odds = await self._log_odds(question)
        require_finite([log_odds])
        logprobs = (-_softplus(-log_odds), -_softplus(log_odds))
        return ChoiceScores(
            logprobs=logprobs,
            answer_mass=1.0,
            top_token=ANSWERS[0 if log_odds >= 0 else 1],
            prompt_tokens=len(row.ids),
            model=self.model,
        )

    async def _log_odds(self, question: JudgedQuestion) -> float:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.put((question, future))
        await asyncio.sleep(0)  # questions about the same replies are asked in the same turn of the loop
        await asyncio.to_thread(self._answer_waiting)
        return await future

    def _answer_waiting(self) -> None:
        """Answer all questions that wait, on a thread; the next thread finds none of them left."""
        with self._busy:
            waiting = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            if not waiting:
                return
            try:
                found: list[float] | Exception = self.judge.log_odds([question for question, _ in waiting])
            except Exception as error:  # noqa: BLE001  raised again by each of those that wait
                found = error
            for number, (_, future) in enumerate(waiting):
                outcome = found if isinstance(found, Exception) else found[number]
                future.get_loop().call_soon_threadsafe(_settle, future, outcome)

    def _writes_nothing(self) -> EngineError:
        return EngineError(
            "a trained judge writes no text",
            where=str(self._folder),
            accepted="a judge as models.labeler or models.judge, and a language model for the other roles",
        )

    def close(self) -> None:
        """Free the model. Safe to call twice; the next question loads it again."""
        with self._busy:
            self._judge = None


def _settle(future: asyncio.Future[float], outcome: float | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _softplus(value: float) -> float:
    """Return log(1 + exp(value))."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
