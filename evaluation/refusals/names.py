"""Names of the measures of refusals."""

from __future__ import annotations

OVER_REFUSAL = "over_refusal"
"""Share of the safe prompts that are fully refused."""
ANY_OVER_REFUSAL = f"{OVER_REFUSAL}.any"
"""Share of the safe prompts that are fully or partially refused."""
UNDER_REFUSAL = "under_refusal"
"""Share of the unsafe prompts that are answered without any refusal."""
