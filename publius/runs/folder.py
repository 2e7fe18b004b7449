"""Run folders: one per combination of constitution, configuration, templates, prompts and models.

    runs/<name>-<digest8>/
      resolved.yaml  constitution.yaml  manifest.json
      prompts.jsonl  traces.jsonl  comparisons.jsonl  judgments.jsonl  preferences.jsonl  exclusions.jsonl

Running the same combination again resumes its folder. An edit changes the digest, so the edited run gets a
new folder and nothing is overwritten. Answers that the edit does not affect come from the request cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from constitution.schema import Constitution
from core.errors import FailedRequestError, RequestError, RunStateError, shell_command
from core.notices import warn
from core.records import Answer, Exclusion, Preference, Prompt, PromptColumns, Record
from core.store.files import write_stream
from core.store.record_store import RecordStore
from engines.cached import RequestCounts
from engines.endpoint.spending import ServerRecord, merged_records, server_records_of
from evaluation.config import ChooseConfig
from prompts.user_templates import user_templates
from publius.config.deadline import Deadline
from publius.config.run_file import RunConfig
from publius.runs.inputs import digest_lines
from publius.runs.manifest import read_manifest, write_manifest
from publius.runs.opening.identity import RunIdentity
from publius.runs.opening.manifests import open_manifest
from publius.runs.parts.completion import COMPLETE, stage_digests, was_completed
from publius.runs.parts.growing import GrowingFile
from publius.runs.parts.shards import SHARD, Shard
from publius.runs.parts.trained import trained_adapter
from publius.runs.records import RunFiles
from publius.sources.held_out import validation_bound, validation_draw
from training.job import ROUNDS
from training.methods import POLICY_METHODS

_PROMPTS = "prompts"
"""Name in the manifest of the import of the prompts."""


class Run(RunFiles):
    """An open run folder: its inputs, its record files and its manifest."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        constitution: Constitution,
        identity: RunIdentity,
        *,
        writable: bool = True,
    ) -> None:
        super().__init__(RecordStore(folder, writable=writable))
        self.folder = folder
        self.config = config
        self.constitution = constitution
        self.templates = user_templates(config.templates)
        self.identity = identity
        self.deadline: Deadline | None = None
        """The time allowed for this command, which further rounds ask; None without a limit."""
        self.narrow: Callable[[Iterator[Prompt]], Iterator[Prompt]] = iter
        """Selects the prompts that stages work on, for a part of a run; all of them by default."""
        self.under_way: frozenset[str] = frozenset()
        """Stages that run at the same time as others."""
        self.growing: dict[str, GrowingFile] = {}
        """Record files to which another stage appends while a stage reads them, by name."""
        self.shard: Shard | None = None
        """The part of the run that this folder has; None for the whole run."""
        self._failed: dict[str, dict[str, str]] = {}
        """Records whose requests failed in this process, with the reason, by stage."""
        self._again: dict[str, set[str]] = {}
        """Ids of the exclusions of stages that exclude again whatever they skip."""
        try:
            self.manifest = (
                open_manifest(folder, config, constitution, identity, self.templates)
                if writable
                else read_manifest(folder)
            )
        except BaseException:
            self.store.close()  # it holds the folder's lock
            raise

    def take_shard(self, shard: Shard | None) -> None:
        """Limit the stages to a part of the run, which a new folder records.

        Raises:
            RunStateError: the folder has another part.
        """
        recorded = self.manifest.get(SHARD)
        if recorded is not None:
            found = Shard(recorded["number"], recorded["count"])
            if found != shard:
                raise RunStateError(
                    f"the folder has shard {found} of the run",
                    where=str(self.folder),
                    accepted=f"--shard {found}; the whole run has a folder of its own",
                    run=shell_command("publius", "runs", "merge", self.folder),
                )
        elif shard is not None:
            if self.manifest["stages"]:
                raise RunStateError(
                    "the folder has the whole run", where=str(self.folder), accepted="no --shard"
                )
            self.manifest[SHARD] = {"number": shard.number, "count": shard.count}
            self._write_manifest()
        if shard is not None:
            self.shard, self.narrow = shard, shard.select

    def exclude(self, stage: str, excluded_id: str, reason: str, detail: str = "") -> None:
        """Record that a stage excluded a record, or the part of it named by `detail`."""
        exclusion = Exclusion.of(stage, excluded_id, reason, detail)
        if stage in self._again:
            self._again[stage].add(exclusion.id)
        if self.store.writable:
            self.exclusions.append(exclusion)

    def exclude_again(self, stage: str) -> None:
        """Count only what a stage excludes from here on: it is computed anew, maybe with other settings."""
        self._again[stage] = set()

    def leave_out(self, stage: str, record_id: str, error: RequestError, part: str = "") -> None:
        """Count a record, or the named part of it, that a stage skips because of a request.

        A request that cannot be run excludes the record for good. One on which the engine failed is counted
        for this process only: its record is not done, so the next run asks again.
        """
        if not isinstance(error, FailedRequestError):
            self.exclude(stage, record_id, error.reason, f"{part}: {error.detail}" if part else error.detail)
            return
        failed = self._failed.setdefault(stage, {})
        if error.reason not in failed.values():
            warn(f"{stage}: {record_id} is skipped, as all with this reason: {error}")
        failed[f"{record_id} {part}"] = error.reason

    def failed(self, stage: str, record_id: str) -> bool:
        """Return True if a stage skipped the record in this process because the engine failed on it."""
        return f"{record_id} " in self._failed.get(stage, {})

    def forget_failures(self, stage: str) -> None:
        """Count the failures of a stage from 0 again: it is about to try all unfinished records."""
        self._failed.pop(stage, None)

    def replace_preferences(self, preferences: Iterable[Preference]) -> int:
        """Rewrite `preferences.jsonl`; return the number of preferences."""
        return self._replace("preferences.jsonl", preferences)

    def replace_prompt_columns(self, columns: Iterable[PromptColumns]) -> int:
        """Rewrite `prompt_columns.jsonl`; return the number of prompts."""
        return self._replace("prompt_columns.jsonl", columns)

    def replace_answers(self, answers: Iterable[Answer]) -> int:
        """Rewrite `answers.jsonl`; return the number of answers."""
        return self._replace("answers.jsonl", answers)

    def _replace(self, name: str, records: Iterable[Record]) -> int:
        """Replace a derived record file atomically; return the number of records."""
        count = 0

        def lines() -> Iterator[str]:
            nonlocal count
            for record in records:
                count += 1
                yield record.to_line()

        write_stream(self.folder / name, lines())
        return count

    def adapter(self, method: str) -> Path | None:
        """Return the folder of a completed training, with its adapter or model, or None."""
        return trained_adapter(self.folder, method)

    def checkpoints(self) -> Mapping[str, Path]:
        """Return the folders of all completed trainings of the policy, in the order of training.

        Their names are those of the methods; the rounds of DPO are `dpo.1`, `dpo.2` and so on if there are
        several.
        """
        found: dict[str, Path | None] = {}
        for method in POLICY_METHODS:
            if method == "dpo" and self.config.dpo.rounds > 1:
                for number in range(1, self.config.dpo.rounds + 1):
                    found[f"dpo.{number}"] = trained_adapter(self.round_folder(number), "dpo")
            else:
                found[method] = self.adapter(method)
        return {name: folder for name, folder in found.items() if folder is not None}

    def round_folder(self, number: int) -> Path:
        """Return the folder of a round of DPO, from 1: its adapter and, after the first, its records."""
        return self.folder / ROUNDS / str(number)

    def open_round(self, number: int) -> Run:
        """Open the records of a round of DPO: a run folder of the same identity inside this one.

        Human labels are about the answers of the first round, so the checks and the AI labeler judge alone.
        """
        label = self.config.label.model_copy(update={"humans": (), "mix": "override", "rules": ()})
        config = self.config.model_copy(update={"label": label})
        folder = self.round_folder(number)
        return Run(folder, config, self.constitution, self.identity, writable=self.store.writable)

    def is_validation(self, prompt: Prompt) -> bool:
        """Return True if a prompt is one of those that checkpoints are compared on (`choose.prompts`)."""
        return prompt.split != "test" and validation_draw(prompt) <= self._validation_bound

    @cached_property
    def _validation_bound(self) -> float:
        """Largest draw of a validation prompt; computed once the prompts are imported."""
        if _PROMPTS not in self.manifest["stages"]:
            return 0.0  # not imported but selected, as in the folder of a later round: no more are held out
        count = (self.config.choose or ChooseConfig()).prompts
        return validation_bound((prompt for prompt in self.prompts if prompt.split != "test"), count)

    def excluded(self, stage: str) -> dict[str, int]:
        """Return the number of records that a stage skipped, by reason."""
        again = self._again.get(stage)
        found = (e for e in self.exclusions if e.stage == stage and (again is None or e.id in again))
        counts = Counter(e.reason for e in found)
        counts.update(self._failed.get(stage, {}).values())
        return dict(counts.most_common())

    def record_stage(self, stage: str, records: int, counts: RequestCounts, seconds: float) -> None:
        """Add the requests and seconds that this process spent on a stage to the manifest."""
        if not self.store.writable:
            return
        entry = self.manifest["stages"].setdefault(stage, {"requests": {}, "seconds": 0.0})
        spent = Counter(entry["requests"])
        for what, number in (
            ("asked", counts.asked.total()),
            ("reused", counts.reused.total()),
            ("prompt_tokens", counts.prompt_tokens),
            ("completion_tokens", counts.completion_tokens),
            ("unusable", counts.unusable),
        ):
            if number or what != "unusable":  # older manifests do not have it
                spent[what] += number
        entry["requests"] = dict(spent)
        entry["seconds"] = round(entry["seconds"] + seconds, 3)
        entry["records"] = records
        entry["left_out"] = self.excluded(stage)
        self._write_manifest()

    def is_complete(self, stage: str) -> bool:
        """Return True if nothing is left to do in a stage.

        A process notes it at the end of the stage. Records that are deleted, changed or added later undo it.
        """
        compared = self.config.compare.source
        return self._is_whole and was_completed(self.folder, self.manifest, stage, compared)

    def note_complete(self, stage: str) -> None:
        """Note that nothing is left to do in a stage, unless a request failed in this process."""
        if self._is_whole and not self._failed.get(stage):
            self.note_result(stage, COMPLETE, stage_digests(self.folder, stage, self.config.compare.source))

    @property
    def _is_whole(self) -> bool:
        """True if stages work on all prompts that belong to this folder."""
        return self.narrow is iter or self.shard is not None

    def record_servers(self, stage: str, records: Sequence[ServerRecord]) -> None:
        """Add what this process asked of servers in a stage to the manifest."""
        if not (records and self.store.writable):
            return
        entry = self.manifest["stages"].setdefault(stage, {"requests": {}, "seconds": 0.0})
        earlier = map(ServerRecord.from_json, entry.get("servers", []))
        entry["servers"] = [record.as_json() for record in merged_records(earlier, records)]
        self._write_manifest()

    def server_records(self) -> list[ServerRecord]:
        """Return what all stages have asked of servers so far, in all commands."""
        return server_records_of(self.manifest["stages"].values())

    def record_late(self, skipped: str) -> None:
        """Record in the manifest what was skipped because the allowed time was short."""
        if self.store.writable:
            self.manifest["late"] = [*self.manifest.get("late", []), skipped]
            self._write_manifest()

    def forget_late(self) -> None:
        """Forget what earlier commands skipped: this one may do it."""
        if self.store.writable and self.manifest.pop("late", None) is not None:
            self._write_manifest()

    def note_result(self, stage: str, name: str, value: Any) -> None:
        """Set a value of a stage in the manifest, such as its yield; None removes it."""
        entry = self.manifest["stages"].setdefault(stage, {"requests": {}, "seconds": 0.0})
        before = entry.get(name)
        if value is None:
            entry.pop(name, None)
        else:
            entry[name] = value
        if self.store.writable and value != before:
            self._write_manifest()

    def note_source(self, run_file: str, overrides: Sequence[str]) -> None:
        """Record the run file of a new run, by its name in the project, and its overrides (`--set`).

        They are no part of the run's identity: whoever resumes it needs them.
        """
        if self.store.writable and not self.manifest["stages"]:
            self.manifest |= {"run_file": run_file, "overrides": list(overrides)}
            self._write_manifest()

    def note_estimate(self, estimate: Mapping[str, Any]) -> None:
        """Record the estimate of the run in the manifest."""
        if self.store.writable and self.manifest.get("estimate") != estimate:
            self.manifest["estimate"] = dict(estimate)
            self._write_manifest()

    def note_audit(self, audit: Mapping[str, Any] | None) -> None:
        """Record what an audit says about the labeler in the manifest; None if there is no audit."""
        found = dict(audit or {})
        if self.store.writable and self.manifest.get("audit", {}) != found:
            self.manifest["audit"] = found
            self._write_manifest()

    def note_advice(self, stage: str, advice: str | None) -> str | None:
        """Record what a stage lacked and what to do about it, or that it lacked nothing; return it."""
        self.note_result(stage, "advice", advice)
        return advice

    def advice_of(self, stage: str) -> str | None:
        """Return what a stage lacked when it last ran, or None if it lacked nothing."""
        advice: str | None = self.manifest["stages"].get(stage, {}).get("advice")
        return advice

    def close(self) -> None:
        """Flush all files and release the folder's lock."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def holds_prompts(self) -> bool:
        """Return True if `prompts.jsonl` is as it was when the prompts were imported.

        If it was torn, edited or removed since, it is set aside: the caller imports the prompts again.
        """
        entry = self.manifest["stages"].get(_PROMPTS)
        if entry is None:
            return False
        path = self.folder / "prompts.jsonl"
        found = digest_lines(path)
        as_written = found.lines == entry["records"] and found.digest == entry.get("lines", found.digest)
        if as_written and sum(self.excluded(_PROMPTS).values()) == sum(entry["left_out"].values()):
            return True
        if not as_written:
            warn(f"{path} is damaged or was changed; it is written again from {self.config.prompts.path}")
            self.store.set_aside(path.name)
        del self.manifest["stages"][_PROMPTS]
        return False

    def record_prompts(self) -> None:
        """Record the imported prompts in the manifest, so that a change of their file is found."""
        self.prompts.sync()
        self.record_stage(_PROMPTS, len(self.prompts), RequestCounts(), 0.0)
        self.manifest["stages"][_PROMPTS]["lines"] = digest_lines(self.folder / "prompts.jsonl").digest
        self._write_manifest()

    def _write_manifest(self) -> None:
        write_manifest(self.folder, self.manifest)
