"""The interface of a mode, and what every mode is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from constitution.schema import Principle
from core.records import Comparison
from engines.protocols import ChoiceRequest, ChoiceScorer, GenerationRequest, Generator
from labelers.config import LabelConfig
from labelers.modes.reading import JudgeReading

Request = ChoiceRequest | GenerationRequest


class JudgeEngine(ChoiceScorer, Generator, Protocol):
    """A model that judges, and can compute the digest of everything that determines a request's answer."""

    def key(self, request: Request) -> str:
        """Return the request's digest."""
        ...


class Case(NamedTuple):
    """Two replies and the principle that they are judged by."""

    comparison: Comparison
    principle: Principle

    def replies(self, *, a_first: bool) -> tuple[str, str]:
        """Return the replies in a presentation order."""
        a, b = self.comparison.response_a, self.comparison.response_b
        return (a, b) if a_first else (b, a)


class JudgingMode(Protocol):
    """A way to judge two replies under one principle."""

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the requests that begin a judgment; further ones depend on nothing but their answers."""
        ...

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Send the requests, and those that follow from their answers; return what the answers say.

        Raises:
            RequestError: if the replies are too long for the judge.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What the modes share."""

    engine: JudgeEngine
    config: LabelConfig
