"""The plan of `publius steer`: which stages, and how much of each fits into the time allowed.

The seconds of every part follow from its tokens and the measured speed. The plan is the first in a list of
sizes, from the largest to the smallest, whose parts fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import ConfigError
from core.notices import counted
from publius.authoring.steering.subject import Signal
from publius.authoring.steering.timing import Speed
from publius.config.run_file import RunConfig

_TARGET = 0.9
"""Share of the time left that a plan may fill: speeds vary."""
_START_S = 10.0
"""Seconds to load libraries and write files."""
_LIBRARIES_S = 8.0
"""Seconds to load the libraries of the first training."""
_PROMPTED = 1.35
"""Time of an answer with the constitution in front, relative to a plain one."""
_REFERENCE = 1.35
"""Time of an example with a forward pass of the reference, relative to forward and backward alone."""
_TEACHER = 1.5
"""Time of an answer in distillation with the teacher's pass, relative to forward and backward alone."""
_NEUTRAL_TOKENS, _REFERENCE_TOKENS = 4_000, 4_200
"""Tokens of the neutral passages, whose losses the choice computes, and of the reference answers."""
_TRAIN_SIZES = (96, 80, 64, 56, 48, 40, 32, 24, 16)
"""Numbers of training prompts that are tried, beside all that there are."""
_ENOUGH_TEST = 40
"""Held-out prompts that are enough where more of them would leave fewer to train on."""
_TEST_SIZES = (24, 12)
"""Numbers of held-out prompts that are tried where those take too long."""
_MOST_PROMPTS = 2_000
_FEW = 48
"""Training prompts below which a round is given up before more prompts are."""
_CHOICE = 0.25
"""Share of the prompts at most that are for the choice of the checkpoint."""
_MIN_STEPS = 8
"""Fewest steps of distillation."""


@dataclass(frozen=True)
class Recipe:
    """The numbers of a recipe that the time depends on."""

    draws: int
    draw_tokens: int
    """Most tokens of a draw."""
    attempts: int
    """Answers per prompt of each way to show a behaviour that the draws lack."""
    sft_epochs: float
    pair_samples: int
    dpo_epochs: float
    rounds: int
    validation: int
    steps: int
    """Steps of distillation, where no principle has a check."""
    rollouts: int
    """Answers of each of them."""

    @classmethod
    def of(cls, config: RunConfig) -> Recipe:
        """Return the numbers of a configuration."""
        epochs = config.optim.epochs
        return cls(
            draws=config.sample.draws,
            draw_tokens=config.sample.sampling.max_new_tokens,
            attempts=config.sample.attempts,
            sft_epochs=config.sft.epochs or epochs,
            pair_samples=config.compare.samples,
            dpo_epochs=config.dpo.epochs or epochs,
            rounds=config.dpo.rounds,
            validation=config.choose.prompts if config.choose else 0,
            steps=config.distill.steps,
            rollouts=config.distill.rollouts,
        )


@dataclass(frozen=True)
class Sizes:
    """How much of everything a plan has."""

    train: int
    """Prompts to train on."""
    validation: int
    """Prompts for the choice of the checkpoint, none of which is trained on."""
    test: int
    """Held-out prompts for the evaluation."""
    rounds: int
    """Rounds of DPO; 0 for none."""
    steps: int = 0
    """Steps of distillation; 0 for none."""


@dataclass(frozen=True)
class SteerPlan:
    """Sizes and the expected seconds of each part, in order."""

    signal: Signal
    sizes: Sizes
    parts: Mapping[str, float]
    """Seconds by part."""
    pairs_by_labeler: bool = False
    """True if a labeler other than the embedded model judges pairs."""

    @property
    def seconds(self) -> float:
        """Seconds of all parts."""
        return sum(self.parts.values())

    @property
    def reserve_s(self) -> float:
        """Seconds of the choice and the evaluation."""
        return sum(seconds for part, seconds in self.parts.items() if part in ("choose", "eval"))

    @property
    def round_s(self) -> float:
        """Seconds of one round of DPO; 0 without DPO."""
        return self.parts.get("dpo", 0.0) / max(self.sizes.rounds, 1)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        return {
            "signal": self.signal,
            **asdict(self.sizes),
            "pairs_by_labeler": self.pairs_by_labeler,
            "parts": {part: round(seconds, 1) for part, seconds in self.parts.items()},
        }


@dataclass(frozen=True)
class Planner:
    """Chooses the sizes of a plan.

    Args:
        signal: what decides about an answer.
        recipe: numbers of the recipe.
        speed: the measured speed.
        pairs_by_labeler: True if a labeler other than the embedded model judges pairs.
        checks: principles with a machine check.
    """

    signal: Signal
    recipe: Recipe
    speed: Speed
    pairs_by_labeler: bool = False
    checks: int = 1

    def plan(self, train: int, test: int, left_s: float, minutes: float) -> SteerPlan:
        """Return the largest plan that fits.

        Args:
            train: prompts that there are to train on, those of the choice included.
            test: held-out prompts that there are.
            left_s: seconds of the allowed time that are left.
            minutes: the allowed time, for the message.

        Raises:
            ConfigError: the smallest plan does not fit.
        """
        plan: SteerPlan | None = None
        for sizes in self.sizes(train, test):
            plan = self.of(sizes)
            if plan.seconds <= _TARGET * left_s:
                return plan
        assert plan is not None
        spent_s = 60 * minutes - left_s
        least = (plan.seconds / _TARGET + spent_s) / 60
        raise ConfigError(
            f"{minutes:g} minutes are too few: the least takes {least:.1f}, as this machine generates "
            f"{self.speed.generated_per_s:,.0f} and trains on {self.speed.trained_per_s:,.0f} tokens/s",
            where="--minutes",
            accepted=f"at least {least + 0.5:.0f}, or a smaller --model",
        )

    def sizes(self, train: int, test: int) -> Iterator[Sizes]:
        """Yield sizes from the largest to the smallest."""
        tests = (test, *(few for few in (_ENOUGH_TEST, *_TEST_SIZES) if few < test))
        if self.signal == "judged":
            yield from self._sizes_of_distillation(train, tests)
            return
        wide = tuple(few for few in tests if few >= min(test, _ENOUGH_TEST))
        for number in range(self.recipe.rounds, 0, -1):
            for size in self._train_sizes(train, least=min(_FEW, train - self._validation(train))):
                for few in wide:
                    yield Sizes(*size, few, number)
        for few in tests[len(wide) - 1 :]:
            for size in self._train_sizes(train, least=_TRAIN_SIZES[-1]):
                yield Sizes(*size, few, 0)  # SFT alone

    def _sizes_of_distillation(self, train: int, tests: Sequence[int]) -> Iterator[Sizes]:
        total = min(train, _MOST_PROMPTS)
        validation = self._validation(total)
        rounds = int(self.pairs_by_labeler)
        for few in tests:
            for steps in range(self.recipe.steps, min(self.recipe.steps, _MIN_STEPS) - 1, -1):
                yield Sizes(total - validation, validation, few, rounds, steps)

    def of(self, sizes: Sizes) -> SteerPlan:
        """Return the plan of some sizes, with the expected seconds of each part."""
        parts = {"start": _START_S + self.speed.load_s, **self._training(sizes)}
        models = 2 + sizes.rounds  # base; SFT or distillation; each round
        parts["choose"] = models * (
            self._answers(sizes.validation) + self._scored(_NEUTRAL_TOKENS) + self.speed.load_s
        )
        scored = 3 * (sizes.test * self._example + _REFERENCE_TOKENS)  # base's loss, references
        answered = (2 + _PROMPTED) * sizes.test - min(sizes.test, self.speed.answered)
        parts["eval"] = self._answers(answered) + self._scored(scored) + 3 * self.speed.load_s
        return SteerPlan(self.signal, sizes, parts, self.pairs_by_labeler)

    @property
    def _example(self) -> float:
        """Tokens of a prompt with its answer."""
        return self.speed.prompt_tokens + self.speed.answer_tokens

    def _train_sizes(self, train: int, least: int) -> Iterator[tuple[int, int]]:
        """Yield numbers of prompts to train on and to choose by, from the largest to the smallest."""
        total = min(train, _MOST_PROMPTS)
        most = total - self._validation(total)
        for size in sorted({most, *_TRAIN_SIZES}, reverse=True):
            if least <= size <= most:
                yield size, min(total - most, self._validation(math.ceil(size / (1 - _CHOICE))))

    def _validation(self, total: int) -> int:
        """Return how many of all prompts are for the choice: a quarter, and at most those of the recipe."""
        return min(self.recipe.validation, round(_CHOICE * total))

    def _training(self, sizes: Sizes) -> dict[str, float]:
        """Return the seconds of the parts that make the data and train."""
        parts: dict[str, float] = {}
        load_s = self.speed.load_s
        if self.signal != "judged":
            # One way is enough for most prompts; with several checks, answers are begun twice.
            ways = self.recipe.attempts * (2 if self.checks > 1 else 1)
            drawn = min(self.speed.answer_tokens, self.recipe.draw_tokens)
            parts["sample"] = self._answers(sizes.train * (self.recipe.draws + ways), drawn)
            examples = sizes.train * (self.speed.prompt_tokens + drawn)
            learned = _REFERENCE * self.recipe.sft_epochs * examples
            parts["sft"] = _LIBRARIES_S + load_s + self._trained(learned)
        if sizes.rounds:
            answers = self._answers(sizes.train * self.recipe.pair_samples)
            trained = self._trained(2 * sizes.train * self._example * self.recipe.dpo_epochs * _REFERENCE)
            parts["dpo"] = sizes.rounds * (answers + trained + 2 * load_s)
        if sizes.steps:
            drawn = sizes.steps * self.recipe.rollouts
            taught = self._trained(drawn * self._example * _TEACHER)
            parts["distill"] = _LIBRARIES_S + load_s + self._answers(drawn) + taught
        return parts

    def _answers(self, count: float, tokens: float | None = None) -> float:
        return count * (tokens or self.speed.answer_tokens) / self.speed.generated_per_s

    def _trained(self, tokens: float) -> float:
        return tokens / self.speed.trained_per_s

    def _scored(self, tokens: float) -> float:
        return tokens / self.speed.scored_per_s


def described(plan: SteerPlan) -> Iterator[str]:
    """Yield the lines that say what will be done and how long each part should take."""
    sizes = plan.sizes
    what = {
        "checks": "machine checks decide",
        "mixed": "machine checks decide; principles without a check are not trained",
        "judged": "no principle has a check: the model with the constitution in front teaches itself",
    }
    yield (
        f"{what[plan.signal]}; {sizes.train} prompts to train on, {sizes.validation} to choose the "
        f"checkpoint, {sizes.test} held out"
    )
    names = {"dpo": f"dpo in {counted(sizes.rounds, 'round')}", "distill": f"distill in {sizes.steps} steps"}
    times = ", ".join(f"{names.get(part, part)} {_duration(s)}" for part, s in plan.parts.items())
    yield f"expected: {times}; in all {_duration(plan.seconds)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
