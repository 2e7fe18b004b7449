"""Names of the measures of quality: what a training costs, beside what it gains."""

from __future__ import annotations

NEUTRAL_LOSS = "neutral_loss"
"""Loss on the neutral passages that ship with the package, as plain text, in nats per token."""
REFERENCE_LOSS = "reference_loss"
"""Loss on the reference answers, after their questions in the chat template, in nats per token."""
BASE_LOSS = "base_loss"
"""Loss of `base` on the variant's own answers, in nats per token: how fluent they are to it."""
TEXT_MEASURES = (NEUTRAL_LOSS, REFERENCE_LOSS)
"""Measures over the texts that ship with the package, and not over prompts."""
