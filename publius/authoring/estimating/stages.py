"""The stages of a run on dry engines: what they ask is counted, and nothing is trained or evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from core.chat import Turn, Untrusted, turns_of
from core.errors import NothingToLearnError, RequestError
from core.records import Answer, Message, Prompt, Sampling
from core.rewards import Sample
from engines.protocols import GenerationRequest
from evaluation.config import BASE, STEERED
from evaluation.neutral.texts import neutral_passages
from evaluation.win_rate import judge_wins
from labelers.ai import AILabeler
from labelers.rewards import LabelerReward
from publius.authoring.estimating.bounds import StageFacts
from publius.authoring.estimating.certain import CertainRequests
from publius.authoring.estimating.dry import DryEngine, RequestLedger
from publius.authoring.estimating.lengths import AnswerLengths
from publius.authoring.steering.plan import NEUTRAL_TOKENS, REFERENCE_TOKENS
from publius.config.run_file import LABELER_REWARD
from publius.runs.engines import EngineRole, Engines, conversations
from publius.runs.folder import Run
from publius.runs.temporary import TemporaryRun
from publius.sources.held_out import held_out_of
from publius.stages.base import Stage, StageResult, evaluated_prompts, prompts_of, validation_prompts
from publius.stages.compare import compare_answers, compare_stage, compared_splits
from publius.stages.critique import critique_stage
from publius.stages.judges.rated import is_rated, rated_answers
from publius.stages.label import judge_and_aggregate, label_stage
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.quality.best_of import require_checks_as_gold, sampled_answers, sampled_policy
from publius.stages.quality.refusing import answers_to_refusal_prompts, refusal_prompts_of
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
        dry: returns the dry engine of a role.
        certain: what is known of each stage before it runs.
    """

    run: TemporaryRun
    engines: Engines
    ledger: RequestLedger
    lengths: AnswerLengths
    dry: Callable[[EngineRole], DryEngine]
    certain: CertainRequests
    trainings: list[TrainingCost] = field(default_factory=list)
    facts: dict[str, StageFacts] = field(default_factory=dict)
    """What is known of each stage."""
    factors: dict[str, float] = field(default_factory=dict)
    """Number of prompts for which each one of a stage stands."""
    scored: dict[str, float] = field(default_factory=dict)
    """Tokens of the forward passes of `choose` and `eval`, by stage."""

    async def stage(self, stage: Stage) -> None:
        """Run a stage, as far as it asks engines, or compute what a training does."""
        facts = self.facts[stage] = self.certain.facts(stage)
        self.ledger.stage, self.ledger.factor = stage, facts.factor
        self.factors[stage] = facts.factor
        before = self.ledger.placeholders
        await self._run(stage, facts)
        # Labels do not decide about other requests of their stage.
        known = not before and (stage == "label" or self.ledger.placeholders == before)
        facts.settled = known and facts.factor == 1.0 and not facts.begun
        facts.added = len(self.run.added_comparisons)

    async def _run(self, stage: Stage, facts: StageFacts) -> None:
        if stage in _DATA:
            await self._data(stage, facts)
            return
        if stage == "eval":
            await self._evaluate(facts)
        elif stage == "choose":
            await self._choose(facts)
        else:
            method = next(method for method in METHODS if method == stage)
            try:
                await self._train(method, facts)
            except NothingToLearnError:
                self.trainings.append(TrainingCost(method, 0, 0, 0))
        self.run.record_stage(stage, 0, self.engines.take_counts(), 0.0)

    async def _data(self, stage: Stage, facts: StageFacts) -> None:
        """Run a stage that makes data; what it asks whatever the answers are is known before."""
        certain, config = self.certain.requests(stage), self.run.config
        if facts.factor > 1 and config.sample.informative is not None:
            # It stops when the sample of the prompts has its share of informative ones.
            parts = {"informative": config.sample.informative, "batch": config.sample.batch}
            scaled = {name: max(1, round(number / facts.factor)) for name, number in parts.items()}
            sample = config.sample.model_copy(update=scaled)
            self.run.config = config.model_copy(update={"sample": sample})
        try:
            await _DATA[stage](self.run, self.engines)
        finally:
            self.run.config = config
        asked = {purpose: row for (at, purpose, _), row in self.ledger.rows.items() if at == stage}
        if any(row.too_long for row in asked.values()):
            certain = dict.fromkeys(certain, 0)
        for purpose in certain.keys() & asked.keys():
            # Answers may be longer than the placeholders, and the prompts that repeat them too long.
            longest = asked[purpose].longest + self.certain.bounds.quoted(stage, purpose)
            if not self.dry("critic" if stage == "critique" else "policy").has_room(longest):
                certain[purpose] = 0
        facts.certain = certain

    async def _train(self, method: Method, facts: StageFacts) -> None:
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
                await self._round(number, facts)
        else:
            await self._rollouts(next(name for name in ON_POLICY_METHODS if name == method), facts)

    async def _round(self, number: int, facts: StageFacts) -> None:
        """Sample, compare and label the answers of a later round of DPO, and add its training."""
        splits = compared_splits(self.run)
        facts.prompts = self.certain.count(splits)
        facts.factor = self.ledger.factor = self.certain.factor(splits)
        with self.run.open_round(number) as records:
            for prompt in prompts_of(self.run, splits):
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
        examples = self.ledger.factor * len(tokens) / per_example
        steps = math.ceil(passes * math.ceil(examples / optim.batch_size))
        total = self.ledger.factor * passes * sum(tokens)
        self.trainings.append(TrainingCost(method, examples, steps, total))

    def _tokens(self, prompt: Sequence[Message], answer: str) -> int | None:
        """Return the tokens of an answered prompt; None if it is longer than training takes."""
        turns = (*turns_of(prompt), Turn("assistant", (Untrusted(answer),)))
        try:
            tokens, _ = self.dry("policy").count_prompt_tokens(_counted(turns))
        except RequestError:
            return None
        return tokens if tokens <= self.run.config.optim.max_length else None

    async def _rollouts(self, method: OnPolicyMethod, facts: StageFacts) -> None:
        """Add a training on the policy's own answers, and what its labeler is asked for rewards."""
        config, policy = self.run.config, self.dry("policy")
        section = config.on_policy(method)
        limit = Sampling(max_new_tokens=section.max_new_tokens)
        tokens = {prompt: count for prompt, count in self._answerable(method, limit)}
        if not tokens:
            raise NothingToLearnError("there are no prompts to train on")
        expected = self.lengths.of(policy.model, "rollout", limit)
        rollouts = facts.rollouts = section.steps * section.rollouts
        mean_prompt = fmean(tokens.values())
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
            asked = sorted(tokens, key=attrgetter("id"))[:_REWARDED]
            self.ledger.factor = facts.factor = rollouts / len(asked)
            engine, limit_ = self.engines.of("labeler"), conversations(config.engine)
            reward = LabelerReward(
                self.run.constitution, self.run.templates, config.label, engine, config.seed, limit_
            )
            for prompt in asked:
                request = GenerationRequest(turns_of(prompt.messages), limit, config.seed, "rollout")
                answer = policy.placeholder(request)
                await reward.by_principle(Sample(prompt, answer.text, finished=True))

    def _answerable(self, method: OnPolicyMethod, limit: Sampling) -> Iterator[tuple[Prompt, int]]:
        """Yield the prompts that leave room for an answer, with their tokens; exclude the others."""
        policy, most = self.dry("policy"), self.run.config.optim.max_length
        for prompt in prompts_of(self.run, {"train", "preference"}):
            request = GenerationRequest(turns_of(prompt.messages), limit, 0, "counted")
            try:
                tokens, _ = policy.count_prompt_tokens(request)
            except RequestError as error:
                self.run.leave_out(method, prompt.id, error)
                continue
            if tokens + limit.max_new_tokens <= most:
                yield prompt, tokens
            else:
                reason = f"prompt and {method}.max_new_tokens exceed optim.max_length"
                self.run.exclude(method, prompt.id, reason)

    async def _evaluate(self, facts: StageFacts) -> None:
        prompts = evaluated_prompts(self.run)
        folders: dict[str, Path | None] = {
            name: self.run.adapter(name) for name in available_variants(self.run)
        }
        facts.variants = len(folders)
        answers = await self._answers("eval", folders, prompts)
        await self._judged(answers)
        facts.rated = await self._rated(answers)
        await self._refusals(folders)
        sampled = await self._best_of(prompts)
        config = self.run.config.eval
        tokens = self._tokens_of(answers)
        trained = self._tokens_of([a for a in answers if a.variant not in (BASE, "prompted")])
        texts = float(NEUTRAL_TOKENS + REFERENCE_TOKENS)
        if config.texts is not None:
            texts *= min(1.0, config.texts / len(neutral_passages()))
        self.scored["eval"] = (2 * trained if config.kl else 0.0) + (
            2 * tokens + len(folders) * texts if config.quality else 0.0
        )
        self.scored["eval"] += sampled

    async def _best_of(self, prompts: Sequence[Prompt]) -> float:
        """Sample the answers that the reward model chooses from; return the tokens that it will read."""
        require_checks_as_gold(self.run.config, self.run.constitution)
        policy = sampled_policy(self.run, self.engines)
        if policy is None:
            return 0.0
        answers = await sampled_answers(self.run, self.engines, policy, prompts)
        read = (g.prompt_tokens + g.completion_tokens for given in answers.values() for g in given)
        return self.ledger.factor * sum(read)

    async def _refusals(self, folders: Mapping[str, Path | None]) -> None:
        """Answer the refusal prompts, all of them even if only a sample of the run's prompts is looked at."""
        asked = refusal_prompts_of(self.run)
        if asked is None:
            return
        policies = [
            AnsweringPolicy(self.run, self.engines.policy_with(folder), variant, "eval")
            for variant, folder in folders.items()
        ]
        factor, self.ledger.factor = self.ledger.factor, 1.0
        try:
            await answers_to_refusal_prompts(policies, self.engines, asked)
        finally:
            self.ledger.factor = factor

    async def _choose(self, facts: StageFacts) -> None:
        folders: dict[str, Path | None] = {BASE: None, **self.run.checkpoints()}
        facts.variants = len(folders)
        answers = await self._answers("choose", folders, validation_prompts(self.run))
        if not any(principle.check for principle in self.run.constitution.steering):
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
        every_pair = config.eval.pairs == "all"
        await judge_wins(answers, labeler, conversations(config.engine), every_pair=every_pair)

    async def _rated(self, answers: Sequence[Answer]) -> bool:
        """Rate the answers if the run does; return True if it does."""
        if not is_rated(self.run):
            return False
        # A server is not asked whether it can be: the run does that.
        return bool(await rated_answers(self.run, self.engines, answers, self.run.constitution))

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
