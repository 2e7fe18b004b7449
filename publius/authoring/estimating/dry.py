"""Engines that count what they are asked and answer with placeholders, and a run in a temporary folder.

The stages themselves run on them, so that an estimate asks what the run will ask: the same prompts, rendered
by the same templates under the same principles. Answers in the project's cache are real. All others are
random words of the expected length, whose tokens stand for those of the real answer in later prompts.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from core.chat import Turn
from core.digests import derive_seed, derive_uniform, digest
from core.errors import PubliusError, RequestError
from core.notices import warn
from core.records import Generation, Sampling
from core.store.cache import RequestCache
from engines.config import EngineConfig, ModelConfig
from engines.endpoint.credentials import lacks_key
from engines.loading import fetch_without_weights, parameters_by_config
from engines.protocols import (
    ChoiceRequest,
    ChoiceScores,
    CountsTokens,
    Engine,
    GenerationRequest,
    KnowsSize,
    RequestForm,
    SharesModel,
    compares_replies,
    forms_of,
    has_own_question,
)
from publius.authoring.estimating.lengths import AnswerLengths, ExpectedLength
from publius.runs.engines import EngineMaker

CHARACTERS_PER_TOKEN = 4.0
"""Characters of a token where a model's tokenizer is not at hand, and tokens of a message beside its text."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_QUESTION = 40
"""Tokens that a server writes around a typed question: its options by letter, and how to answer."""
_VOCABULARY = """
about after again all also always and another any are around as ask at away back because been before
being best better between both but by call can case change clear come could day different do does
done down each early end enough even every example fact far few find first follow for from full
general get give go good great group had hand hard has have help here high home how idea if
important in into is it its just keep kind know large last later learn left less let life like line
list little long look made make many may mean might more most much must name need never new next no
not now number of off often old on once one only open or order other our out over own part people
place plan point possible problem question quite rather read real reason right run same say second
see set several she short should show side simple since small so some something start state still
such sure system take tell than that the their them then there these they thing think this those
three through time to together too two under until up us use used using very want was water way we
week well were what when where which while who why will with within without word work world would
year yes yet you young your
"""
"""Common words, each of which most tokenizers encode as one token."""
_WORDS = tuple(_VOCABULARY.split())
_VARIATION = 0.2
"""Largest deviation of a placeholder's length from the expected one, relative to it."""
_PROBES = (200, 20, 2)
"""Words of the placeholder on which tokens per word are counted, the first number that fits the model."""


@dataclass
class AskedRequests:
    """Requests of one purpose in one stage to one model."""

    asked: float = 0
    reused: float = 0
    """Requests whose answer is in the cache."""
    prompt_tokens: float = 0
    generated_tokens: float = 0
    """Expected tokens of the answers."""
    most_generated: float = 0
    """Tokens of the answers if each reaches its limit."""
    by_characters: bool = False
    """True if tokens of prompts are estimated from their characters."""
    untrained: float = 0
    """Requests of these to models that the run has yet to train."""
    longest: int = 0
    """Tokens of the longest prompt with the limit of its answer."""
    too_long: int = 0
    """Requests that were too long for the model."""


class SentRequest(NamedTuple):
    """A request that is sent to a model, times the number of prompts for which its prompt stands."""

    calls: float
    prompt_tokens: float
    generated_tokens: float


@dataclass
class RequestLedger:
    """Counts requests by stage, purpose and model."""

    stage: str = ""
    """The stage that is running."""
    factor: float = 1.0
    """Number of prompts for which each prompt of the stage stands, if the stage runs on a sample."""
    rows: dict[tuple[str, str, str], AskedRequests] = field(
        default_factory=lambda: defaultdict(AskedRequests)
    )
    placeholders: int = 0
    """Answers that stand for those of a model: what follows from them is not known yet."""
    unreached: set[str] = field(default_factory=set)
    """Models whose server did not answer."""
    sent: dict[str, SentRequest] = field(default_factory=dict)
    """The requests that are sent to models, by key; other runs of the project may send some of them too."""

    def row(self, purpose: str, model: str) -> AskedRequests:
        """Return the counts of a purpose and a model in the current stage."""
        return self.rows[self.stage, purpose, model]


class DryEngine:
    """An engine that loads no model: it counts requests and answers with placeholders.

    Args:
        engine: the engine of the run, of which only keys, tokenizer and name are used.
        ledger: counts the requests.
        lengths: expected lengths of the answers.
        cache: the project's cache; None without one.
        name: name of the model in records; None for the engine's own.
        trained: name of a model that the run has yet to train: none of its answers can be in the cache.
        served: True if a server runs the model: it need not be there, and is sent no request.
        without_weights: folder of a model of which only the small files are on this machine.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: RequestLedger,
        lengths: AnswerLengths,
        cache: RequestCache | None,
        *,
        name: str | None = None,
        trained: str | None = None,
        served: bool = False,
        without_weights: Path | None = None,
    ) -> None:
        self._engine, self._ledger, self._lengths = engine, ledger, lengths
        self._cache = None if trained else cache
        self._trained = trained
        self._served = served
        self._name = name
        self._without_weights = without_weights

    @property
    def model(self) -> str:
        """Name of the model in records."""
        return self._name or self._engine.model

    @property
    def identity(self) -> str:
        """The wrapped engine's identity, or one of its own if the server cannot be asked."""
        if not self._served:
            return self._engine.identity
        not_reached = digest("not reached", self.model)
        if self._cache is None or self.model in self._ledger.unreached:  # no need to ask, or asked in vain
            self._cache = None
            return not_reached
        try:
            return self._engine.identity
        except PubliusError as error:
            self._ledger.unreached.add(self.model)
            self._cache = None
            warn(
                f"{self.model}: the server does not answer, so nothing counts as in the cache: "
                f"{error.problems[0].what}"
            )
            return not_reached

    @property
    def is_base(self) -> bool:
        """True if the wrapped model is a base model."""
        return self._engine.is_base

    # Requests may depend on these two, which not every engine has.

    @property
    def parameters(self) -> int | None:
        """Number of the model's weights; None if the engine does not know it."""
        if isinstance(self._engine, KnowsSize) and self._engine.parameters is not None:
            return self._engine.parameters
        return self._size

    @cached_property
    def _size(self) -> int | None:
        """Number of weights by the configuration of a model that has not been downloaded."""
        if self._without_weights is None:
            return None
        found = parameters_by_config(self._without_weights)
        if found is None:
            warn(
                f"{self.model}: its size is not known before it is downloaded, so critique.begin, "
                "critique.from_checks and critique.early_stop are estimated as for a large model"
            )
        return found

    def join(self, other: object) -> bool:
        """Share the model of another dry engine if the engines of the run would; return True if so."""
        if not isinstance(other, DryEngine) or not isinstance(self._engine, SharesModel):
            return False
        # Models that differ in an adapter that is yet to be trained have one engine here.
        return other._engine is self._engine or self._engine.join(other._engine)

    def shares_model_with(self, other: object) -> bool:
        """Return True if the engines of the run would use one loaded model."""
        if not isinstance(other, DryEngine) or not isinstance(self._engine, SharesModel):
            return False
        return other._engine is self._engine or self._engine.shares_model_with(other._engine)

    @property
    def takes_questions(self) -> bool:
        """True if the engine is asked typed questions in place of conversations."""
        return bool(getattr(self._engine, "takes_questions", False))

    @property
    def compares_replies(self) -> bool:
        """True if the engine is a reward model, which is asked no question."""
        return compares_replies(self._engine)

    @property
    def has_own_question(self) -> bool:
        """True if the engine is a trained judge, which answers one question alone."""
        return has_own_question(self._engine)

    @property
    def forms(self) -> frozenset[RequestForm]:
        """Forms of choices that the engine of the run takes."""
        return forms_of(self._engine)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the token ids of the choices; raise if the wrapped engine cannot answer with them."""
        if self._served:
            return tuple(range(len(choices)))  # only a request would tell
        return self._engine.require_choices(prefill, choices)

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return the wrapped engine's key, or one of its own for a model that is not trained yet."""
        if self._served and self._cache is None:
            return digest("not asked", self.model, *_parts(request))
        key = self._engine.key(request)
        return digest(self._trained, key) if self._trained else key

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the answer in the cache, else a placeholder.

        Raises:
            RequestError: if prompt and answer exceed the model's context.
        """
        row = self._ledger.row(request.purpose, self.model)
        stored = self._stored(request)
        if stored is not None:
            try:
                answer = Generation.model_validate_json(stored)
                row.reused += self._ledger.factor
                return answer
            except ValidationError:
                pass  # the run asks again
        self._send(row, request, self._length(request).tokens)
        row.most_generated += self._ledger.factor * request.sampling.max_new_tokens
        return self.placeholder(request)

    def placeholder(self, request: GenerationRequest) -> Generation:
        """Return random words, about as many as the expected length has.

        Raises:
            RequestError: if prompt and answer exceed the model's context.
        """
        expected, key = self._length(request), self.key(request)
        tokens, _ = self.count_prompt_tokens(request)
        # Checks would give answers of one length one score, and there would be nothing to compare.
        varied = 1 + _VARIATION * (2 * derive_uniform("length", key) - 1)
        words = varied * expected.shown / self._tokens_per_word
        text = " ".join(self._words(key, max(1, round(words))))
        return Generation(
            text=text.capitalize() + ".",
            finish_reason="stop",
            prompt_tokens=tokens,
            completion_tokens=round(expected.tokens),
            model=self.model,
            sampling=request.sampling,
            seed=request.seed if request.sampling.temperature > 0 else None,
        )

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the scores in the cache, else some that lean to one choice. Raises as `generate` does."""
        row = self._ledger.row(request.purpose, self.model)
        stored = self._stored(request)
        if stored is not None:
            try:
                scores = ChoiceScores.model_validate_json(stored)
                row.reused += self._ledger.factor
                return scores
            except ValidationError:
                pass
        tokens = self._send(row, request)
        key = self.key(request)
        weights = [1 + derive_uniform(key, choice) for choice in request.choices]
        logprobs = tuple(math.log(weight / sum(weights)) for weight in weights)
        best = request.choices[logprobs.index(max(logprobs))]
        return ChoiceScores(
            logprobs=logprobs,
            answer_mass=1.0,
            top_token=best,
            prompt_tokens=tokens,
            model=self.model,
            lengths=(1,) * len(request.answers) or None,
        )

    def close(self) -> None:
        """Do nothing: no model is loaded."""

    def count_prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> tuple[int, bool]:
        """Return the tokens of a prompt, and True if they are estimated from its characters.

        Raises:
            RequestError: if prompt and answer exceed the model's context.
        """
        if isinstance(self._engine, CountsTokens):
            return self._engine.prompt_tokens(request), False
        return tokens_by_characters(request), True

    def _stored(self, request: GenerationRequest | ChoiceRequest) -> str | None:
        return None if self._cache is None else self._cache.peek(self.key(request))

    def _send(
        self, row: AskedRequests, request: GenerationRequest | ChoiceRequest, generated: float = 0.0
    ) -> int:
        """Count a request that the run sends to the model; return the tokens of its prompt."""
        try:
            tokens, by_characters = self.count_prompt_tokens(request)
        except RequestError:
            row.too_long += 1
            raise
        answer = request.sampling.max_new_tokens if isinstance(request, GenerationRequest) else 1
        factor = self._ledger.factor
        row.asked += factor
        row.prompt_tokens += factor * tokens
        row.generated_tokens += factor * generated
        self._ledger.sent[self.key(request)] = SentRequest(factor, factor * tokens, factor * generated)
        row.by_characters = by_characters
        row.longest = max(row.longest, tokens + answer)
        if self._trained:
            row.untrained += self._ledger.factor
        self._ledger.placeholders += 1
        return tokens

    def has_room(self, tokens: int) -> bool:
        """Return True if prompt and answer of this many tokens fit the model; also where nothing tells."""
        words = self._words("room", math.ceil(tokens / self._tokens_per_word) + 1)
        try:
            self.count_prompt_tokens(_probe(words))
        except RequestError:
            return False
        return True

    def _length(self, request: GenerationRequest) -> ExpectedLength:
        return self._lengths.of(self.model, request.purpose, request.sampling)

    @cached_property
    def _tokens_per_word(self) -> float:
        """Tokens of a word of a placeholder in a prompt of this model."""
        for words in _PROBES:
            with contextlib.suppress(RequestError):  # the model's context may be short
                one, many = (
                    self.count_prompt_tokens(_probe(self._words("probe", n)))[0] for n in (1, words + 1)
                )
                return max(many - one, 1) / words
        return 1.0

    def _words(self, key: str, count: int) -> list[str]:
        start = derive_seed(key)
        return [_WORDS[derive_seed(start, i) % len(_WORDS)] for i in range(count)]


def tokens_by_characters(request: GenerationRequest | ChoiceRequest) -> int:
    """Return the estimated tokens of a prompt from its characters.

    A typed question is counted with the text that it is about: servers read and count that text for each
    question of a request, as vLLM and `publius serve` do.
    """
    texts = [*(turn.text for turn in request.turns), request.prefill]
    tokens = TOKENS_PER_MESSAGE * (len(request.turns) + 1)
    question = request.question if isinstance(request, ChoiceRequest) else None
    if question is not None:
        options = (text for option in question.options for text in (option.name, option.description))
        texts += [question.instructions, *options]
        tokens += TOKENS_PER_QUESTION
    return round(sum(map(len, texts)) / CHARACTERS_PER_TOKEN + tokens)


def _parts(request: GenerationRequest | ChoiceRequest) -> tuple[object, ...]:
    """Return everything that may determine the answer to a request, as the keys of engines do."""
    turns = [(turn.role, turn.text) for turn in request.turns]
    if isinstance(request, ChoiceRequest):
        question = None if request.question is None else asdict(request.question)
        further = (request.form, [asdict(answer) for answer in request.answers]) if request.form else ()
        return (turns, request.prefill, request.choices, question, *further)
    seed = request.seed if request.sampling.temperature > 0 else None
    return (turns, request.prefill, request.sampling.model_dump(), seed)


def _probe(words: list[str]) -> GenerationRequest:
    return GenerationRequest((Turn("user", (" ".join(words),)),), Sampling(max_new_tokens=1), 0, "probe")


def dry_maker(
    make: EngineMaker, ledger: RequestLedger, lengths: AnswerLengths, cache: RequestCache | None
) -> EngineMaker:
    """Return a maker of dry engines.

    A model with an adapter that does not exist is one that the run has yet to train: it has the tokenizer of
    the model without it. Of a model that has not been downloaded, only the tokenizer is. A server whose key
    is not set is not asked who it is: nothing of it counts as in the cache.
    """
    made: dict[tuple[str, str], Engine] = {}

    def shared(model: ModelConfig, engine: EngineConfig) -> Engine:
        # Models that differ in a planned adapter have one tokenizer, whose loading takes seconds.
        key = (model.model_dump_json(), engine.model_dump_json())
        if key not in made:
            made[key] = make(model, engine)
        return made[key]

    def make_dry(model: ModelConfig, engine: EngineConfig) -> Engine:
        planned = model.adapter if model.adapter and not Path(model.adapter).exists() else None
        found, folder = model.model_copy(update={"adapter": None}) if planned else model, None
        without_key = engine.kind == "http" and lacks_key(engine.api_key_env)
        if without_key:
            _warn_of_key(ledger, model, engine)
            engine = engine.model_copy(update={"api_key_env": None})
        if engine.kind in ("transformers", "vllm"):
            folder = fetch_without_weights(model)
        if folder is not None:
            # Without its weights, the model is known by another digest, and nothing of it is in the cache.
            found = found.model_copy(update={"id": str(folder), "revision": None})
        return DryEngine(
            shared(found, engine),
            ledger,
            lengths,
            None if without_key else cache,
            name=None if found.id == model.id else model.id,
            trained=planned,
            served=engine.kind == "http",
            without_weights=folder,
        )

    return make_dry


def _warn_of_key(ledger: RequestLedger, model: ModelConfig, engine: EngineConfig) -> None:
    """Warn once for each model that its server is not asked."""
    if model.id not in ledger.unreached:
        ledger.unreached.add(model.id)
        variable = engine.api_key_env or ""
        named = variable if variable.isupper() else "of the name in engine.api_key_env"  # it may be a key
        warn(
            f"{model.id}: the environment variable {named} is not set, so its server is not asked and "
            "nothing counts as in the cache; the run itself needs the key"
        )
