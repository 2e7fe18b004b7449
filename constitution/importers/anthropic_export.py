"""A constitution as the files of the Constitutional AI paper, for tools that read those.

A principle is written as far as it has requests of its own: one for a critique and one for a revision make
an entry of the one file, one for a comparison makes an entry of the other. Requests that Publius would derive
from the text are not written, as nobody worded them. What an import took off is put back, so that the paper's
files come out as they went in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from constitution.importers.anthropic import (
    COMPARISON,
    COMPARISONS,
    CRITIQUE,
    PAIRS,
    PROMPT,
    REQUESTS,
    REVISION,
)
from constitution.schema import Constitution, Example, Principle

_KEPT = frozenset({"id", "text", "critique", "revision", "comparison", "examples"})
"""What the files can say of a principle."""


@dataclass
class AnthropicExport:
    """Files by name, and what they cannot say."""

    files: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    comparisons: int = 0
    few_shots: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Ids of principles, by the reason why something of them is not in the files."""

    def leave_out(self, reason: str, principle_id: str) -> None:
        """Note what the files do not say."""
        self.left_out.setdefault(reason, []).append(principle_id)


def to_anthropic(constitution: Constitution) -> AnthropicExport:
    """Return the files that say what a constitution asks for."""
    export = AnthropicExport()
    requests: dict[str, object] = {}
    comparisons: list[str] = []
    for principle in constitution.principles:
        if principle.critique and principle.revision:
            requests[principle.id] = {
                "prompt": [CRITIQUE.around(principle.critique)],
                "edit_request": REVISION.around(principle.revision),
            }
        if principle.comparison:
            comparisons.append(COMPARISON.around(principle.comparison))
        _note_losses(principle, export)
    few_shots = _few_shots(constitution, export)
    export.requests, export.comparisons, export.few_shots = len(requests), len(comparisons), len(few_shots)
    contents: dict[str, object] = {REQUESTS: requests, COMPARISONS: comparisons, PAIRS: few_shots}
    export.files = {name: json.dumps(content) for name, content in contents.items() if content}
    return export


def _note_losses(principle: Principle, export: AnthropicExport) -> None:
    pair = (principle.critique, principle.revision)
    if not any((*pair, principle.comparison)):
        export.leave_out("no requests of its own", principle.id)
        return
    if any(pair) and not all(pair):
        export.leave_out("only one of critique and revision", principle.id)
    if principle.text not in (*pair, principle.comparison):
        export.leave_out("a text beside the requests", principle.id)
    for key in sorted(principle.model_fields_set - _KEPT):
        export.leave_out(f"the key {key}", principle.id)


def _few_shots(constitution: Constitution, export: AnthropicExport) -> list[dict[str, object]]:
    """Return the few-shots of principles that compare, each once: the paper's belong to no principle."""
    shown: dict[Example, None] = {}
    for principle in constitution.principles:
        for example in principle.examples:
            if example.use != "few_shot":
                export.leave_out("an example of use test", principle.id)
            elif not principle.comparison:
                export.leave_out("a few-shot of a principle that does not compare", principle.id)
            elif example.why:
                export.leave_out("a few-shot with a reason, which the files have no place for", principle.id)
            else:
                shown[example] = None
    return [
        {
            "prompt": PROMPT.around(example.prompt),
            "corrects": [example.good],
            "incorrects": [example.bad],
        }
        for example in shown
    ]
