"""The stages of a run on dry engines: what they ask is counted, and nothing is trained or evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from core.chat import Turn, Untrusted, turns_of
from core.errors import NothingToLearnError, RequestError
from core.records import Answer, Message, Prompt, Sampling, Split
from core.rewards import Sample
from engines.protocols import GenerationRequest
from evaluation.config import BASE, STEERED
from evaluation.win_rate import judge_wins
from labelers.ai import AILabeler
from labelers.rewards import LabelerReward
from publius.authoring.estimating.dry import DryEngine, RequestLedger
from publius.authoring.estimating.lengths import AnswerLengths
from publius.authoring.steering.plan import NEUTRAL_TOKENS, REFERENCE_TOKENS
from publius.config.run_file import LABELER_REWARD
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.runs.temporary import TemporaryRun
from publius.sources.held_out import held_out_of
from publius.stages.base import Stage, StageResult, prompts_of, validation_prompts
from publius.stages.compare import compare_answers, compare_stage, compared_splits
from publius.stages.critique import critique_stage
from publius.stages.label import judge_and_aggregate, label_stage
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.sample import sample_stage
from publius.stages.training.examples import preference_pairs, supervised_examples
from publius.stages.variants import available_variants
from training.methods import METHODS, ON_POLICY_METHODS, Method, OnPolicyMethod

_DATA: Mapping[str, Callable[[Any, Any], Coroutine[Any, Any, StageResult]]] = {
    "critique": critique_stage,
    "sample": sample_stage,
    "compare": compare_stage,
    "label": label_stage,
}
_SAMPLED = ("base", "sft", "prompted")
"""Sources of comparisons for which the stage `compare` samples answers."""
_REWARDED = 50
"""Prompts on which the labeler's requests for rewards are counted, for all rollouts."""


@dataclass(frozen=True)
class TrainingCost:
    """What a training does."""

    method: Method
    examples: float
    """Examples, or pairs; for methods on the policy's own answers, rollouts of all steps."""
    steps: int
    tokens: float
    """Tokens trained on, over all epochs."""
    prompt_tokens: float = 0
    generated_tokens: float = 0
    """Expected tokens of the answers that the policy samples during training."""
    most_generated: float = 0


@dataclass
class DryStages:
    """Runs stages on dry engines.

    Args:
        run: a run in a temporary folder.
        engines: dry engines.
        ledger: counts their requests.
        lengths: expected lengths of answers.
        policy: the dry engine of the policy, for its tokenizer.
        factor: number of prompts for which each prompt stands.
    """

    run: TemporaryRun
    engines: Engines
    ledger: RequestLedger
    lengths: AnswerLengths
    policy: DryEngine
    factor: float = 1.0
    trainings: list[TrainingCost] = field(default_factory=list)
    prompts: dict[str, float] = field(default_factory=dict)
    """Prompts that each stage works on."""
    scored: dict[str, float] = field(default_factory=dict)
    """Tokens of the forward passes of `choose` and `eval`, by stage."""

    async def stage(self, stage: Stage) -> None:
        """Run a stage, as far as it asks engines, or compute what a training does."""
        self.ledger.stage, self.ledger.factor = stage, self.factor
        self.prompts[stage] = self.factor * self._size(stage)
        if stage in _DATA:
            await _DATA[stage](self.run, self.engines)
            return
        if stage == "eval":
            await self._evaluate()
        elif stage == "choose":
            await self._choose()
        else:
            method = next(method for method in METHODS if method == stage)
            try:
                await self._train(method)
            except NothingToLearnError:
                self.trainings.append(TrainingCost(method, 0, 0, 0))
        self.run.record_stage(stage, 0, self.engines.take_counts(), 0.0)

    def _size(self, stage: Stage) -> int:
        """Return the number of prompts that a stage sends requests about, or may do so."""
        if stage == "choose":
            return len(validation_prompts(self.run))
        config = self.run.config
        splits: set[Split] = {"train", "preference"}
        if stage == "eval":
            splits = {"test"}
        elif stage == "critique" and config.compare.source != "revisions":
            splits = {"train"}
        elif stage == "sample":
            splits = set(config.sample.splits)
        elif stage == "dpo" or (stage in ("compare", "label") and config.compare.source in _SAMPLED):
            splits = compared_splits(self.run)
        return sum(1 for _ in prompts_of(self.run, splits))

    async def _train(self, method: Method) -> None:
        config = self.run.config
        if method == "sft":
            rows = supervised_examples(self.run).rows
            train, _ = held_out_of(rows, config.sft.held_out, "sft")
            self._trained(method, [(row.prompt, row.answer) for row in train], config.sft.epochs)
        elif method == "reward":
            for _ in range(config.reward.members):
                self._pairs(self.run, method, config.reward.held_out, config.reward.epochs)
        elif method == "dpo":
            self._pairs(self.run, method, config.dpo.held_out, config.dpo.epochs)
            for number in range(2, config.dpo.rounds + 1):
                await self._round(number)
        else:
            await self._rollouts(next(name for name in ON_POLICY_METHODS if name == method))

    async def _round(self, number: int) -> None:
        """Sample, compare and label the answers of a later round of DPO, and add its training."""
        with self.run.open_round(number) as records:
            for prompt in prompts_of(self.run, compared_splits(self.run)):
                records.prompts.append(prompt)
            await compare_answers(records, self.engines, self.run.model_of_round(number - 1))
            await judge_and_aggregate(records, self.engines)
            self._pairs(records, "dpo", self.run.config.dpo.held_out, self.run.config.dpo.epochs)

    def _pairs(self, run: Run, method: Method, share: float, epochs: float | None) -> None:
        train, _ = held_out_of(list(preference_pairs(run)), share, method)
        texts = [(pair.prompt, text) for pair in train for text in (pair.chosen, pair.rejected)]
        self._trained(method, texts, epochs, per_example=2)

    def _trained(
        self,
        method: Method,
        texts: Sequence[tuple[Sequence[Message], str]],
        epochs: float | None,
        per_example: int = 1,
    ) -> None:
        """Add a training on answered prompts; `per_example` of them are one example."""
        optim = self.run.config.optim
        passes = optim.epochs if epochs is None else epochs
        tokens = [count for prompt, text in texts if (count := self._tokens(prompt, text)) is not None]
        examples = self.factor * len(tokens) / per_example
        steps = math.ceil(passes * math.ceil(examples / optim.batch_size))
        total = self.factor * passes * sum(tokens)
        self.trainings.append(TrainingCost(method, examples, steps, total))

    def _tokens(self, prompt: Sequence[Message], answer: str) -> int | None:
        """Return the tokens of an answered prompt; None if it is longer than training takes."""
        turns = (*turns_of(prompt), Turn("assistant", (Untrusted(answer),)))
        try:
            tokens, _ = self.policy.count_prompt_tokens(_counted(turns))
        except RequestError:
            return None
        return tokens if tokens <= self.run.config.optim.max_length else None

    async def _rollouts(self, method: OnPolicyMethod) -> None:
        """Add a training on the policy's own answers, and what its labeler is asked for rewards."""
        config = self.run.config
        section = config.on_policy(method)
        prompts = list(prompts_of(self.run, {"train", "preference"}))
        if not prompts:
            raise NothingToLearnError("there are no prompts to train on")
        limit = Sampling(max_new_tokens=section.max_new_tokens)
        expected = self.lengths.of(self.policy.model, "rollout", limit)
        rollouts = section.steps * section.rollouts
        mean_prompt = fmean(
            self.policy.count_prompt_tokens(_counted(turns_of(p.messages)))[0] for p in prompts
        )
        epochs = config.ppo.ppo_epochs if method == "ppo" else 1
        self.trainings.append(
            TrainingCost(
                method,
                rollouts,
                section.steps,
                tokens=epochs * rollouts * (mean_prompt + expected.tokens),
                prompt_tokens=rollouts * mean_prompt,
                generated_tokens=rollouts * expected.tokens,
                most_generated=rollouts * section.max_new_tokens,
            )
        )
        if method != "distill" and LABELER_REWARD in config.rl(method).rewards:
            asked = sorted(prompts, key=attrgetter("id"))[:_REWARDED]
            self.ledger.factor = rollouts / len(asked)
            engine, limit_ = self.engines.of("labeler"), conversations(config.engine)
            reward = LabelerReward(
                self.run.constitution, self.run.templates, config.label, engine, config.seed, limit_
            )
            for prompt in asked:
                request = GenerationRequest(turns_of(prompt.messages), limit, config.seed, "rollout")
                answer = self.policy.placeholder(request)
                await reward.by_principle(Sample(prompt, answer.text, finished=True))

    async def _evaluate(self) -> None:
        prompts = list(prompts_of(self.run, {"test"}))
        folders: dict[str, Path | None] = {
            name: self.run.adapter(name) for name in available_variants(self.run)
        }
        answers = await self._answers("eval", folders, prompts)
        await self._judged(answers)
        config = self.run.config.eval
        tokens = self._tokens_of(answers)
        trained = self._tokens_of([a for a in answers if a.variant not in (BASE, "prompted")])
        self.scored["eval"] = (2 * trained if config.kl else 0.0) + (
            2 * tokens + len(folders) * (NEUTRAL_TOKENS + REFERENCE_TOKENS) if config.quality else 0.0
        )

    async def _choose(self) -> None:
        self.ledger.factor, self.prompts["choose"] = 1.0, len(validation_prompts(self.run))
        folders: dict[str, Path | None] = {BASE: None, **self.run.checkpoints()}
        answers = await self._answers("choose", folders, validation_prompts(self.run))
        if not any(principle.check for principle in self.run.constitution.principles):
            await self._judged(answers)
        self.scored["choose"] = len(folders) * NEUTRAL_TOKENS

    async def _answers(
        self, stage: Stage, folders: Mapping[str, Path | None], prompts: Sequence[Prompt]
    ) -> list[Answer]:
        answers: list[Answer] = []
        for variant, folder in folders.items():
            policy = AnsweringPolicy(self.run, self.engines.policy_with(folder), variant, stage)
            answers += await policy.answer_all(self.engines, prompts)
        return answers

    async def _judged(self, answers: Sequence[Answer]) -> None:
        config = self.run.config
        if config.models.judge is None:
            return
        judge = self.engines.of("judge")
        labeler = AILabeler(self.run.constitution, judge, config.label, config.seed, self.run.templates)
        await judge_wins(answers, labeler, conversations(config.engine))

    def _tokens_of(self, answers: Sequence[Answer]) -> float:
        return self.ledger.factor * sum(
            answer.generation.prompt_tokens + answer.generation.completion_tokens for answer in answers
        )


def planned_trainings(stages: Sequence[Stage], methods: Sequence[Method]) -> tuple[str, ...]:
    """Return the names of the trained models that stages leave: those of methods and the chosen one."""
    trained: list[str] = [method for method in methods if method in stages]
    return (*trained, STEERED) if "choose" in stages else tuple(trained)


def _counted(turns: tuple[Turn, ...]) -> GenerationRequest:
    return GenerationRequest(turns, Sampling(max_new_tokens=1), 0, "counted")
