"""The labelers' section of the run file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelConfig(BaseModel):
    """How comparisons are judged and judgments become preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mode: Literal["choice"] = "choice"
    """`choice`: the log-probabilities of a one-letter answer, in both presentation orders."""
    principles: int = Field(default=4, ge=0, le=64)
    """Principles drawn per comparison for the AI labeler; 0 leaves labeling to the machine checks."""
    order_average: Literal["logit"] = "logit"
    """Both orders are averaged as log-odds, which cancels a constant position bias exactly."""
    min_answer_mass: float = Field(default=0.5, ge=0.0, le=1.0)
    """Less probability than this on the offered letters makes the judgment `unparsed`."""
    near_duplicate: float = Field(default=0.9, gt=0.0, le=1.0)
    """Answers that share at least this part of their words are not compared."""
    check_confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Probability for the answer that passes a machine check when the other fails it."""
