"""`publius chat`: ask the policy before and after training the same questions, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.digests import derive_seed
from core.errors import ConfigError, RequestError, RunStateError, shell_command
from core.notices import note
from core.records import Generation, Message, Prompt
from core.store.files import is_there
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest
from evaluation.config import BASE, STEERED, EvalSampling
from prompts.environment import PromptTemplates
from prompts.user_templates import user_templates
from publius.config.run_file import build_run_config
from publius.models.provenance import trained_method
from publius.models.trained_folder import read_trained_folder
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.inputs import recorded_config
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.parts.trained import trained_adapter
from publius.runs.project import DEFAULT_PRESET
from publius.stages.variants import PROMPTED, UNTRAINED, turns_for
from training.methods import POLICY_METHODS

ChatReply = Generation | RequestError

_ACCEPTED = {"temperature": "0 or a positive number", "max_new_tokens": "a whole number of at least 1"}


@dataclass(frozen=True)
class ChatRequest:
    """Options of `publius chat`."""

    run: Path
    """A run folder, or the folder of a training."""
    variants: Sequence[str] = ()
    """Variants that answer. If empty: `base` and the chosen checkpoint, or else the variant
    trained last."""
    prompt: str | None = None
    """Ask this once, without reading standard input."""
    temperature: float | None = None
    """Replaces the temperature of `eval.sampling`."""
    max_new_tokens: int | None = None
    """Replaces the maximum length of an answer of `eval.sampling`, in tokens."""
    as_json: bool = False
    """Print the answers to `prompt` or `prompts` as JSON."""
    prompts: str | None = None
    """Ask each of these once: a file, folder or Hugging Face id."""
    constitution: str | None = None
    """Of a training's folder: the system prompt of the variant `prompted` is made from it."""
    against: str | None = None
    """Of a training's folder: the model before the training, if it is not where it was."""


@dataclass
class Speaker:
    """One variant of the policy with its own history of the conversation."""

    variant: str
    engine: CachedEngine
    history: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Replies:
    """Every variant's reply to one message."""

    prompt: str
    by_variant: dict[str, ChatReply]

    def as_json(self) -> dict[str, Any]:
        """Return the message and its answers as JSON-able values, without variants that were not asked."""
        replies = self.by_variant.items()
        answers = {variant: reply.text for variant, reply in replies if isinstance(reply, Generation)}
        return {"prompt": self.prompt, "answers": answers}


class Chat:
    """A conversation with several variants. Each sees only its own earlier answers.

    Args:
        speakers: the variants that answer.
        constitution: the system prompt of the variant `prompted` is made from it.
        sampling: sampling settings of the answers.
        seed: the run's seed.
        alone: the engines, if only one may be loaded at a time; None if all may.
        templates: the run's templates; None for the built-in ones.
    """

    def __init__(
        self,
        speakers: Sequence[Speaker],
        constitution: Constitution,
        sampling: EvalSampling,
        seed: int,
        alone: Engines | None = None,
        templates: PromptTemplates | None = None,
    ) -> None:
        self.constitution = constitution
        self.templates = templates or PromptTemplates()
        self.variants = [speaker.variant for speaker in speakers]
        self._speakers = speakers
        self.sampling = sampling
        self._seed = seed
        self._alone = alone
        self._asked = 0

    async def ask(self, text: str) -> dict[str, ChatReply]:
        """Return every variant's answer to the next message, or the error if it cannot be asked."""
        replies: dict[str, ChatReply] = {}
        for speaker in self._speakers:
            if self._alone is not None:
                self._alone.keep(speaker.engine)
            replies[speaker.variant] = await self._ask(speaker, text)
        self._asked += 1
        return replies

    async def ask_anew(self, prompt: Prompt) -> dict[str, ChatReply]:
        """Return every variant's answer to a prompt, in a conversation of its own."""
        for speaker in self._speakers:
            speaker.history = prompt.messages[:-1]
        return await self.ask(prompt.messages[-1].content)

    def reset(self) -> None:
        """Forget the conversation."""
        for speaker in self._speakers:
            speaker.history = ()

    async def _ask(self, speaker: Speaker, text: str) -> ChatReply:
        messages = (*speaker.history, Message(role="user", content=text))
        prompt = Prompt.of(messages)
        # The count is part of the seed: a question repeated after a reset gets a new answer.
        seed = derive_seed(self._seed, prompt.id, "chat", self._asked)
        turns = turns_for(self, speaker.variant, prompt)
        try:
            answer = await speaker.engine.generate(GenerationRequest(turns, self.sampling, seed, "chat"))
        except RequestError as error:
            return error
        speaker.history = (*messages, Message(role="assistant", content=answer.text))
        return answer


@contextmanager
def open_chat(request: ChatRequest, make: EngineMaker = make_engine) -> Iterator[Chat]:
    """Yield a chat with the variants of a run, or with a trained model and the one before.

    It only reads the run folder; the run may be in progress.
    """
    if not is_there(request.run / MANIFEST) and trained_method(request.run) is not None:
        with _open_trained(request, make) as chat:
            yield chat
        return
    read_manifest(request.run)
    if request.constitution is not None or request.against is not None:
        raise ConfigError(
            "a run has its own constitution and base model",
            where="--constitution" if request.constitution is not None else "--against",
            accepted="a folder of publius train; or drop the option",
        )
    folder = request.run.resolve()
    variants = _chosen(folder, request.variants)
    config = recorded_config(folder)
    constitution = load_constitution(folder / "constitution.yaml")
    templates = user_templates(config.templates)
    sampling = _sampling(config.eval.sampling, request)
    with open_engines(config, folder.parent.parent, make) as engines:
        adapters = [trained_adapter(folder, variant) for variant in variants]
        speakers = [Speaker(*pair) for pair in zip(variants, map(engines.policy_with, adapters), strict=True)]
        alone = engines if engines.settings("policy").kind == "vllm" else None  # each reserves GPU memory
        yield Chat(speakers, constitution, sampling, config.seed, alone, templates)


@contextmanager
def _open_trained(request: ChatRequest, make: EngineMaker) -> Iterator[Chat]:
    """Yield a chat with the model of a training's folder and the model before."""
    trained = read_trained_folder(request.run, request.against)
    own = request.constitution is not None
    known = (BASE, *((PROMPTED,) if own else ()), trained.method)
    variants = list(dict.fromkeys(request.variants)) or list(known)
    for variant in variants:
        if variant not in known:
            raise ConfigError(f"no variant {variant!r} here", where="--with", accepted=", ".join(known))
    config = build_run_config(
        {
            "constitution": request.constitution or DEFAULT_PRESET,
            "prompts": "none",
            "models": {"policy": trained.policy.model_dump(mode="json", exclude_defaults=True)},
        }
    )
    constitution = load_constitution(config.constitution)
    with open_engines(config, Path(), make) as engines:
        folders = [trained.folder if variant == trained.method else None for variant in variants]
        speakers = [Speaker(*pair) for pair in zip(variants, map(engines.policy_with, folders), strict=True)]
        yield Chat(speakers, constitution, _sampling(config.eval.sampling, request), config.seed)


def _chosen(folder: Path, wanted: Sequence[str]) -> list[str]:
    """Return the variants that answer.

    Raises:
        ConfigError: if one is unknown.
        RunStateError: if one is not trained in this run.
    """
    trained = [name for name in (*POLICY_METHODS, STEERED) if trained_adapter(folder, name)]
    if not wanted:
        if not trained:
            note("no model of this run is trained yet; only the base model answers")
        return [BASE, *trained[-1:]]
    for variant in wanted:
        if variant not in (*UNTRAINED, *POLICY_METHODS, STEERED):
            accepted = ", ".join((*UNTRAINED, *POLICY_METHODS, STEERED))
            raise ConfigError(f"unknown variant {variant!r}", where="--with", accepted=accepted)
        if variant not in (*UNTRAINED, *trained):
            raise RunStateError(
                f"{variant} is not trained in this run",
                where=str(folder),
                accepted=", ".join((*UNTRAINED, *trained)),
                run=shell_command("publius", "train", variant, "RUN.yaml"),
            )
    return list(dict.fromkeys(wanted))


def _sampling(configured: EvalSampling, request: ChatRequest) -> EvalSampling:
    """Return the settings of the run's evaluation with those that the request replaces."""
    replaced = {"temperature": request.temperature, "max_new_tokens": request.max_new_tokens}
    given = {name: value for name, value in replaced.items() if value is not None}
    try:
        return EvalSampling.model_validate({**configured.model_dump(), **given})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ConfigError(
            f"found {given[name]}", where=f"--{name.replace('_', '-')}", accepted=_ACCEPTED[name]
        ) from error
