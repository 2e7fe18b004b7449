"""The mode that compares how likely each reply is under a principle and under its antithesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.chat import Piece, Turn, Untrusted, turns_of
from engines.protocols import ChoiceRequest, ChoiceScores, WholeAnswer
from labelers.modes.asking import Asking, Case, Request
from labelers.modes.reading import JudgeReading
from labelers.modes.tokens import choose_all
from prompts.environment import PromptTemplates

_NAMES = ("a", "b")


@dataclass(frozen=True)
class ContrastiveMode:
    """How much more likely each reply is under the principle than under its antithesis.

    With s(y) = log P(y | principle, x) - log P(y | antithesis, x), the log-odds are s(a) - s(b) (the
    self-rewarding score of DLMA, Liu et al. 2024, arXiv 2402.11907, without its clipping). What a model finds
    likely of a reply in either case, such as its length or its language, cancels in s. `label.contrast: mean`
    divides s by the number of the reply's tokens.
    """

    asking: Asking
    templates: PromptTemplates

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the request under the principle and the one under its antithesis."""
        return tuple(self._request(case, opposed=opposed) for opposed in (False, True))

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the difference of both replies' log-likelihood ratios, in nats."""
        under, against = await choose_all(self.asking, requests)
        a, b = (self._ratio(under, against, place) for place in range(len(_NAMES)))
        return JudgeReading(model=under.model, log_odds=a - b, margin=a - b)

    def _ratio(self, under: ChoiceScores, against: ChoiceScores, place: int) -> float:
        ratio = under.logprobs[place] - against.logprobs[place]
        if self.asking.config.contrast == "sum":
            return ratio
        assert under.lengths is not None, "engines give the lengths of whole answers"
        return ratio / max(1, under.lengths[place])

    def _request(self, case: Case, *, opposed: bool) -> ChoiceRequest:
        comparison = case.comparison
        rendered = self.templates.judging.render("contrastive", principle=case.principle, opposed=opposed)
        pieces: tuple[Piece, ...] = rendered.pieces
        turns = turns_of(comparison.prompt.messages)
        if turns[0].role == "system":
            pieces = (*pieces, "\n\n", Untrusted(comparison.prompt.messages[0].content))
            turns = turns[1:]
        answers = (
            WholeAnswer(comparison.response_a, comparison.finished_a),
            WholeAnswer(comparison.response_b, comparison.finished_b),
        )
        return ChoiceRequest((Turn("system", pieces), *turns), _NAMES, "label", answers=answers)
