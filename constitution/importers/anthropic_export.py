"""Export of a constitution to the files of the Constitutional AI paper.

Only the explicit requests of principles are written. A critique and a revision request together make an entry
of one file, and a comparison request makes an entry of another. Requests that Publius derives from the text
are not written. The affixes stripped by an import are added again, so exporting the imported paper's files
reproduces them.
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

_EXPORTED_KEYS = frozenset({"id", "text", "critique", "revision", "comparison", "examples"})
"""Keys of a principle that the files can represent."""


@dataclass
class AnthropicExport:
    """The exported files, and the parts of the constitution that the files cannot represent."""

    files: dict[str, str] = field(default_factory=dict)
    """Content of each file, by name."""
    requests: int = 0
    comparisons: int = 0
    few_shots: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the principles that are not fully exported, by reason."""

    def skip(self, reason: str, principle_id: str) -> None:
        """Record a part of a principle that the files cannot represent."""
        self.skipped.setdefault(reason, []).append(principle_id)


def to_anthropic(constitution: Constitution) -> AnthropicExport:
    """Return a constitution in the file format of the paper."""
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
        export.skip("no requests of its own", principle.id)
        return
    if any(pair) and not all(pair):
        export.skip("only one of critique and revision", principle.id)
    if principle.text not in (*pair, principle.comparison):
        export.skip("a text that differs from the requests", principle.id)
    for key in sorted(principle.model_fields_set - _EXPORTED_KEYS):
        export.skip(f"the key {key}", principle.id)


def _few_shots(constitution: Constitution, export: AnthropicExport) -> list[dict[str, object]]:
    """Return the distinct few-shots of comparison principles: the paper's few-shots have no principle."""
    shown: dict[Example, None] = {}
    for principle in constitution.principles:
        for example in principle.examples:
            if example.use != "few_shot":
                export.skip("an example with use: test", principle.id)
            elif not principle.comparison:
                export.skip("a few-shot of a principle without a comparison", principle.id)
            elif example.why:
                export.skip("a few-shot with a reason (why), which the files have no field for", principle.id)
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
