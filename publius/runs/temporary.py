"""A run in a temporary folder: what a run would do, without a trace in its own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from publius.config.run_file import RunConfig
from publius.runs.folder import Run
from publius.runs.manifest import MANIFEST, usable_manifest
from publius.runs.opening.identity import RunIdentity
from publius.runs.parts.trained import trained_adapter
from training.methods import POLICY_METHODS

_PROMPTS = "prompts"
"""Name in the manifest of the import of the prompts, which is repeated."""


class TemporaryRun(Run):
    """A run in a temporary folder, with the finished stages and trainings of its own folder.

    Args:
        folder: the temporary folder.
        own: folder of the run itself; it need not exist.
        config: configuration of the run.
        constitution: its constitution.
        identity: its identity.
        planned: names of trainings that count as finished although they are not.
    """

    def __init__(
        self,
        folder: Path,
        own: Path,
        config: RunConfig,
        constitution: Constitution,
        identity: RunIdentity,
        planned: tuple[str, ...] = (),
    ) -> None:
        super().__init__(folder, config, constitution, identity)
        self._own, self._planned = own, planned
        manifest = usable_manifest(own / MANIFEST)
        if manifest is not None:  # what older versions decided for the run is in it, and stays
            stages = {name: _unspent(entry) for name, entry in manifest["stages"].items() if name != _PROMPTS}
            kept = {name: value for name, value in manifest.items() if name not in (_PROMPTS, "estimate")}
            self.manifest = {**kept, "stages": stages}

    def adapter(self, method: str) -> Path | None:
        """Return the folder of a training that is finished or planned, or None."""
        finished = trained_adapter(self._own, method)
        return finished or (self.folder / method if method in self._planned else None)

    def checkpoints(self) -> Mapping[str, Path]:
        """Return the folders of all policies that are trained, or planned to be, in the order of training."""
        found: dict[str, Path] = {}
        for method in POLICY_METHODS:
            folder = self.adapter(method)
            if folder is None:
                continue
            if method == "dpo" and self.config.dpo.rounds > 1:
                found |= {f"dpo.{n}": self.model_of_round(n) for n in range(1, self.config.dpo.rounds + 1)}
            else:
                found[method] = folder
        return found

    def model_of_round(self, number: int) -> Path:
        """Return the folder of the model of a round of DPO, from 1."""
        place = self.round_folder(number).relative_to(self.folder)
        return trained_adapter(self._own / place, "dpo") or self.folder / place / "dpo"


def _unspent(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest's entry of a stage that has run elsewhere, with nothing spent."""
    advice = {name: entry[name] for name in ("advice",) if name in entry}
    return {"requests": {}, "seconds": 0.0, "left_out": {}, **advice}
