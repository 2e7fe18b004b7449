"""A trained judge: the log-odds that a reply fulfils a principle, from a language model's hidden states.

The question is that of the `pointwise` template, up to where the model would answer Yes or No. Instead of
the model's answer, a linear probe reads the hidden states of one layer (`engines/judge/states.py`):

    log-odds = w . [mean of the reply's tokens; last token; log of the reply's length] + b.

A principle may have a probe of its own. It reads the question up to where the reply ends, which is the same
for all principles: their probes read one set of hidden states.

(Probes of judges' hidden states: arXiv 2512.22245, 2509.24678.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from core.digests import digest, file_digest
from core.errors import EngineError, RequestError
from core.lazy import require
from core.libraries import load_errors
from core.notices import counted
from core.store.files import write_atomic
from engines.config import ModelConfig
from engines.judge.rows import QuestionRow, question_row, up_to_reply, without_reply
from engines.judge.settings import (
    ADAPTER_FOLDER,
    JUDGE_FILE,
    JUDGE_WEIGHTS,
    JudgeSettings,
    read_judge_settings,
)
from engines.loading import (
    UNKNOWN_CONTEXT,
    ModelFiles,
    context_tokens,
    load_tokenizer,
    locate,
    pick_dtype,
)
from engines.protocols import ChoiceRequest
from engines.tokenization import TurnEncoder, next_token

if TYPE_CHECKING:
    import torch

    from engines.judge.states import StateReader

_EXTRA = "transformers"
_REMEMBERED = 512
"""Number of replies whose hidden states are stored: their questions under other principles follow soon."""


class StateSource:
    """A language model whose hidden states are read; loaded when the first are.

    Args:
        model: the model.
        device: `auto`, `cpu` or `cuda`.
    """

    def __init__(self, model: ModelConfig, device: str = "auto") -> None:
        self.config = model
        """The model, as it was given."""
        self.device = device
        self._encoded: WeakKeyDictionary[ChoiceRequest, QuestionRow] = WeakKeyDictionary()

    @cached_property
    def name(self) -> str:
        """The model's name in records."""
        return self.files.name

    @cached_property
    def identity(self) -> str:
        """Digest of the model's files, its data type and the chat template's arguments."""
        return digest("features", self.files.identity, self.dtype, self.config.chat_template_kwargs)[:32]

    def row(self, request: ChoiceRequest) -> QuestionRow:
        """Return a question as token ids. Raises RequestError if it is too long for the model."""
        return self.fitting(self.any_row(request))

    def fitting(self, row: QuestionRow) -> QuestionRow:
        """Return a question as it is. Raises RequestError if it is too long for the model."""
        if len(row.ids) > self._context:
            raise RequestError(
                "the question is too long for the judge's model",
                detail=f"{len(row.ids)} tokens, at most {self._context}",
                accepted="shorter replies",
            )
        return row

    def any_row(self, request: ChoiceRequest) -> QuestionRow:
        """Return a question of any length as token ids; they are stored as long as the request exists.

        Raises:
            RequestError: if the question does not show the reply that it is about.
        """
        found = self._encoded.get(request)
        if found is None:
            others = [self._ids(other) for other in without_reply(request)]
            found = self._encoded[request] = question_row(self._ids(request), others)
        return found

    def choice_tokens(self, request: ChoiceRequest) -> tuple[int, ...]:
        """Return the token id of each choice of a question. Raises EngineError if one has several tokens."""
        return tuple(next_token(self._encoder, self.name, request.prefill, word) for word in request.choices)

    def with_adapter(self, folder: Path) -> StateSource:
        """Return the model with a LoRA adapter."""
        return StateSource(self.config.model_copy(update={"adapter": str(folder)}), self.device)

    def _ids(self, request: ChoiceRequest) -> tuple[int, ...]:
        return self._encoder.encode(request.turns, request.prefill).ids

    @cached_property
    def depth(self) -> int:
        """Number of the model's layers, without loading it."""
        config = require("transformers", _EXTRA).AutoConfig.from_pretrained(self.files.folder)
        return int(config.get_text_config().num_hidden_layers)

    @cached_property
    def reader(self) -> StateReader:
        """The reader of the loaded model."""
        from engines.hf.loading import load_model
        from engines.judge.states import StateReader

        model = load_model(self.files, self.dtype, self.device)
        return StateReader(model, self.name)

    @cached_property
    def files(self) -> ModelFiles:
        """The model on disk."""
        return locate(self.config)

    @cached_property
    def dtype(self) -> str:
        """The data type of the weights, once `auto` is resolved."""
        return pick_dtype(self.config.dtype, self.device)

    @cached_property
    def _encoder(self) -> TurnEncoder:
        return TurnEncoder(load_tokenizer(self.files), self.config.chat_template_kwargs, self.name)

    @cached_property
    def _context(self) -> int:
        return context_tokens(self.files) or UNKNOWN_CONTEXT


class JudgedQuestion(NamedTuple):
    """Token ids of a question, and which probe answers it."""

    row: QuestionRow
    probe: int | None
    """Number of the principle's own probe; None for the shared one."""


class JudgeModel:
    """Probes with the model that they read.

    Args:
        folder: the output of `publius train judge`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        EngineError: if the folder holds no judge, or the model is not the one that it was trained on.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.settings: JudgeSettings = read_judge_settings(folder)
        bare = StateSource(self.settings.model, device)
        self.source = bare.with_adapter(folder / ADAPTER_FOLDER) if self.settings.adapted else bare
        self.identity = digest(file_digest(folder / JUDGE_WEIGHTS), self.settings.identity)[:32]
        if self.settings.principles:
            own = [[probe.text, probe.layer] for probe in self.settings.principles]
            self.identity = digest(self.identity, own, self.settings.shared)[:32]
        self._folder = folder
        self._probe_of = {probe.text: number for number, probe in enumerate(self.settings.principles)}
        self._row_of_reply = lru_cache(_REMEMBERED)(self.source.any_row)
        self._states: dict[QuestionRow, torch.Tensor] = {}
        if self.source.identity != self.settings.identity:
            raise EngineError(
                f"{self.source.name} is not the model that the judge was trained on",
                where=str(folder / JUDGE_FILE),
                accepted="the same weights, data type and chat_template_kwargs; or train the judge again",
            )

    @property
    def name(self) -> str:
        """The judge's name in records."""
        own = f"layer {self.settings.layer}"
        if self.settings.principles:
            own = counted(len(self.settings.principles), "probe")
        return f"{self._folder.name} ({self.source.name}, {own})"

    def question(self, request: ChoiceRequest) -> JudgedQuestion:
        """Return a question of any length, and which probe answers it.

        Raises:
            RequestError: if the question does not show the reply that it is about, or no probe answers it.
        """
        number = self._probe_of.get(request.principle or "")
        if number is not None:
            return JudgedQuestion(self._row_of_reply(up_to_reply(request)), number)
        if not self.settings.shared:
            raise RequestError(
                "the judge has no probe of this principle",
                detail=(request.principle or "")[:80],
                accepted="a principle that it was trained on, word for word",
            )
        return JudgedQuestion(self.source.any_row(request), None)

    def log_odds(self, questions: Sequence[JudgedQuestion]) -> list[float]:
        """Return the log-odds in nats that each question's answer is yes.

        Args:
            questions: the questions, from `question`.
        """
        shared = [n for n, question in enumerate(questions) if question.probe is None]
        found = dict(zip(shared, self._of_shared([questions[n].row for n in shared]), strict=True))
        states = self._of_replies({question.row for question in questions if question.probe is not None})
        for n, (row, probe) in enumerate(questions):
            if probe is not None:
                weights, biases = self._own_probes
                place = self._layers.index(self.settings.principles[probe].layer)
                found[n] = float(states[row][place] @ weights[probe] + biases[probe])
        return [found[n] for n in range(len(questions))]

    def _of_shared(self, rows: Sequence[QuestionRow]) -> list[float]:
        """Return the log-odds by the probe that all principles share."""
        if not rows:
            return []
        weight, bias = self._probe
        features = self.source.reader.read(rows, [self.settings.layer])[:, 0].double()
        found: list[float] = (features @ weight + bias).tolist()
        return found

    def _of_replies(self, rows: Set[QuestionRow]) -> Mapping[QuestionRow, torch.Tensor]:
        """Return the features (L, F) of replies for the principles' own probes; the last ones are stored."""
        new = sorted(rows - self._states.keys())
        found = {row: self._states[row] for row in rows if row in self._states}
        if new:
            found |= dict(zip(new, self.source.reader.read(new, self._layers).double(), strict=True))
        self._states = dict(list({**self._states, **found}.items())[-_REMEMBERED:])
        return found

    @cached_property
    def _layers(self) -> list[int]:
        """The layers that the principles' own probes read."""
        return sorted({probe.layer for probe in self.settings.principles})

    @cached_property
    def _probe(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights (F,) and the bias, in float64."""
        return read_probe(self._folder)

    @cached_property
    def _own_probes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights (P, F) and the biases (P,) of the principles' own probes, in float64."""
        return read_own_probes(self._folder)


def write_probe(
    folder: Path,
    weight: torch.Tensor,
    bias: torch.Tensor,
    own: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> None:
    """Write a judge's weights as `probe.safetensors`.

    Args:
        folder: the judge's folder.
        weight: weights (F,) of the shared probe.
        bias: its bias, one number.
        own: weights (P, F) and biases (P,) of principles' own probes.
    """
    require("safetensors", _EXTRA)
    from safetensors.torch import save

    tensors = {"weight": weight, "bias": bias.reshape(1)}
    if own is not None:
        tensors |= {"principles.weight": own[0], "principles.bias": own[1]}
    write_atomic(folder / JUDGE_WEIGHTS, save(tensors))


def read_probe(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a probe's weights (F,) and its bias. Raises EngineError if the file cannot be read."""
    weight, bias = _read_weights(folder, "weight", "bias")
    return weight, bias[0]


def read_own_probes(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights (P, F) and biases (P,) of principles' probes. Raises EngineError if they are missing."""
    return _read_weights(folder, "principles.weight", "principles.bias")


def _read_weights(folder: Path, weight: str, bias: str) -> tuple[torch.Tensor, torch.Tensor]:
    require("safetensors", _EXTRA)
    from safetensors.torch import load_file

    with load_errors("judge", folder, f"a folder with {JUDGE_WEIGHTS}, written by `publius train judge`"):
        found = load_file(folder / JUDGE_WEIGHTS)
        return found[weight].double(), found[bias].double()
