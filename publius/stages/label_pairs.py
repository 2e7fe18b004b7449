"""`publius label --pairs`: import existing answer pairs, of a file or of a run, as a run, and label them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunStateError, shell_command
from core.notices import counted, note, warn
from core.records import PromptColumns
from core.store.files import is_there
from core.store.seen_ids import SeenIds
from engines.cached import RequestCounts
from engines.embedded import EMBEDDED_NAME
from publius.config.run_file import PromptsConfig, RunConfig, build_run_config, load_run_config
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.folder import Run
from publius.runs.inputs import digest_lines, recorded_config
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import STAND_INS, scripted_roles
from publius.runs.project import DEFAULT_PRESET
from publius.runs.reader import RecordsReader
from publius.sources.column_names import top_column
from publius.sources.pairs import PairSurvey, read_pair_rows, survey_pairs
from publius.sources.prompt_survey import carried_values, described_detail, described_row
from publius.sources.splits.mapping import unread_splits
from publius.sources.texts.reading import IN_OVERRIDES, TextReading
from publius.sources.texts.tools import tools_in_words
from publius.stages.outcome import RunOutcome
from publius.stages.prompts import PROMPTS_SUMMARY, described_columns
from publius.stages.runner import StagePlan, run_plan

_DUPLICATE = "duplicate pair"
_COLUMNS_FILE, _COMPARISONS = "prompt_columns.jsonl", "comparisons.jsonl"
_COMPARE = "compare"
_TEST = "split.test"
"""The setting of the share that is held out."""


@dataclass(frozen=True)
class PairsRequest:
    """Answer pairs to judge under a constitution."""

    pairs: Path
    """A file, a data set folder or a Hugging Face id; or a run folder, whose pairs are judged again."""
    constitution: str | None = None
    """None for the default preset, or that of the run folder as its file is now."""
    model: str | None = None
    """None for the embedded model, or the labeler of the run folder."""
    project: Path | None = None
    """None for the current folder, or the project of the run folder."""
    overrides: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """The user's column for each of ours."""
    run_file: Path | None = None
    """The run file whose constitution, models and settings are used, but for its prompts; None for none."""


def label_pairs(request: PairsRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Judge the pairs of a file in a new run folder, or resume it; return the outcome.

    Raises:
        PubliusError: for any error that the user can fix. Completed work is saved.
    """
    if is_there(request.pairs / MANIFEST):
        if request.run_file is not None:
            what = "the pairs of a run are judged with the settings of that run"
            accepted = "no RUN.yaml, and --set, --constitution or --model for what is to differ"
            raise ConfigError(what, where=f"--pairs {request.pairs}", accepted=accepted)
        return _relabel(request, make)
    path = str(request.pairs.resolve()) if request.pairs.expanduser().exists() else str(request.pairs)
    prompts = {"path": path, "columns": dict(request.columns)} if request.columns else path
    if request.run_file is not None:
        return _under_run_file(request, request.run_file, prompts, make)
    settings = {
        "name": "pairs",
        "constitution": request.constitution or DEFAULT_PRESET,
        "prompts": prompts,
        "models": {"policy": request.model or EMBEDDED_NAME},
        **_split(request.overrides),
    }
    config = build_run_config(settings, request.overrides)
    ingestion = PairIngestion(config.prompts)
    ingestion.check()  # before a model is looked for
    return _labelled(config, request.project or Path(), ingestion, make)


def _under_run_file(
    request: PairsRequest, run_file: Path, prompts: str | dict[str, Any], make: EngineMaker
) -> RunOutcome:
    """Judge the pairs of a file with the constitution, the models and the settings of a run file."""
    own = load_run_config(run_file, request.overrides)
    wanted = own.prompts.keep  # what its author lets out of the project, of these rows too
    values = own.model_dump(mode="json", by_alias=True)
    values["name"] = f"{values['name']}-pairs"
    values["prompts"] = prompts  # the rest of what the run file says of its prompts is not about these rows
    if request.constitution is not None:
        values["constitution"] = request.constitution
    if request.model is not None:
        values["models"]["labeler"] = {"id": request.model}
    values |= _split(request.overrides)
    of_rows = [one for one in request.overrides if one.strip().startswith("prompts.")]
    config = build_run_config(values, of_rows)
    ingestion = PairIngestion(config.prompts)
    ingestion.check()
    if wanted is not None and config.prompts.keep is None:
        held = ingestion.columns
        kept = tuple(name for name in wanted if top_column(name, held) in held)
        config = config.model_copy(update={"prompts": config.prompts.model_copy(update={"keep": kept})})
        ingestion = PairIngestion(config.prompts)
    return _labelled(config, request.project or run_file.resolve().parent, ingestion, make)


def _relabel(request: PairsRequest, make: EngineMaker) -> RunOutcome:
    """Judge the pairs of a run again, with its settings and the constitution as it is now, as another run."""
    if request.columns:
        raise ConfigError("a run's pairs have no columns to map", where="--columns", accepted="no --columns")
    folder = request.pairs.resolve()
    ingestion = RunPairIngestion(folder)
    ingestion.check()
    values = recorded_config(folder).model_dump(mode="json", by_alias=True)
    values["name"] = f"{values['name']}-relabelled"
    values["prompts"] = str(folder / _COMPARISONS)
    if request.constitution is not None:
        values["constitution"] = request.constitution
    if request.model is not None:
        values["models"]["labeler"] = {"id": request.model}
    values |= _split(request.overrides)
    config = build_run_config(values, request.overrides)
    project = folder.parent.parent if folder.parent.name == "runs" else Path()
    return _labelled(config, request.project or project, ingestion, make)


def _split(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the shares of the splits if only that of `test` is set: all other pairs are for preferences.

    The share of `train` is of prompts whose answers are made, and given pairs have theirs.
    """
    given = [override.partition("=") for override in overrides]
    if {key.strip() for key, _, _ in given if key.strip().partition(".")[0] == "split"} != {_TEST}:
        return {}
    try:
        share = float([text for key, _, text in given if key.strip() == _TEST][-1])
    except ValueError:
        return {}  # reported where the override is applied
    return {"split": {"train": 0.0, "preference": 1 - share}} if 0 <= share <= 1 else {}


def _labelled(
    config: RunConfig, project: Path, ingestion: PairIngestion | RunPairIngestion, make: EngineMaker
) -> RunOutcome:
    plan = StagePlan(config, project, ("label",), ingestion, check=ingestion.check, pairs_only=True)
    return run_plan(plan, make)


class RunPairIngestion:
    """The import of another run's pairs, which are the same records with the same ids."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Raise RunStateError if the other run has no pairs."""
        with RecordsReader(self._folder) as files:
            if not len(files.comparisons):
                what, run = "the run has no pairs yet", "publius compare RUN.yaml"
                raise RunStateError(what, where=str(self._folder), run=run)

    def __call__(self, run: Run) -> None:
        """Copy the pairs and the user's own columns of each."""
        recorded = run.manifest["stages"].get(_COMPARE)
        if recorded is not None and recorded["records"] == len(run.comparisons):
            return
        manifest = read_manifest(self._folder)
        carried: dict[str, str] = manifest["prompts"]["carried"]
        with RecordsReader(self._folder) as files:
            for comparison in files.comparisons.sorted():
                run.comparisons.append(comparison)
            if carried:
                run.replace_prompt_columns(self._column_records(files))
        columns = digest_lines(run.folder / _COLUMNS_FILE).digest
        run.manifest[PROMPTS_SUMMARY] = {"carried": carried, "lines": columns}
        if scripted := scripted_roles(self._folder, manifest):
            run.manifest[STAND_INS] = [role for role in scripted if role != "labeler"]
        run.record_stage(_COMPARE, len(run.comparisons), RequestCounts(), 0.0)
        note(f"pairs: {counted(len(run.comparisons), 'pair')} of {self._folder}")

    def _column_records(self, files: RecordsReader) -> Iterator[PromptColumns]:
        for comparison in files.comparisons.sorted():
            found = files.columns_record(comparison.id, comparison.prompt.id)
            if found is not None:
                yield found.model_copy(update={"id": comparison.id})


class PairIngestion:
    """The import of a run's pairs: `check` before the run folder exists, then a call with the open run."""

    def __init__(self, source: PromptsConfig) -> None:
        self._source = source

    @cached_property
    def _survey(self) -> PairSurvey:
        return survey_pairs(self._source)

    def check(self) -> None:
        """Read the whole file. Raises DataError or ConfigError if a run cannot use it."""
        _ = self._survey

    @property
    def columns(self) -> Collection[str]:
        """The columns of the file."""
        return self._survey.columns

    def __call__(self, run: Run) -> None:
        """Write the pairs to the run as the compare stage does; exclude rows and repeats with the reason."""
        recorded = run.manifest["stages"].get(_COMPARE)
        if recorded is None or recorded["records"] != len(run.comparisons):
            self._copy(run)
        elif not self._has_carried(run):
            run.manifest[PROMPTS_SUMMARY] = (run.manifest.get(PROMPTS_SUMMARY) or {}) | self._carry(run)
            run.record_stage(_COMPARE, len(run.comparisons), RequestCounts(), 0.0)

    def _copy(self, run: Run) -> None:
        """Write the pairs to the run; exclude rows without one, and pairs that repeat an earlier one."""
        carried = self._survey.carried(self._source.keep)
        with SeenIds() as seen:
            for row in read_pair_rows(self._source):
                described = described_row(row.place, row.values, carried)
                for part in row.skipped if row.pairs else row.skipped[:1]:
                    detail = described_detail(part.detail, row.values, carried)
                    run.exclude(_COMPARE, row.place, part.reason, detail)
                for pair in row.pairs:
                    own = pair.comparison.id
                    if not seen.add(own, described) and (first := seen.place_of(own)) != described:
                        # a row may have a pair once for each aspect that it is rated in
                        run.exclude(_COMPARE, own, _DUPLICATE, f"{described} repeats {first}")
                    run.comparisons.append(pair.comparison)
        run.manifest[PROMPTS_SUMMARY] = {"rows": self._survey.rows, **self._tools(), **self._carry(run)}
        run.record_stage(_COMPARE, len(run.comparisons), RequestCounts(), 0.0)
        self._report(run.manifest[PROMPTS_SUMMARY], run.excluded(_COMPARE))

    def _tools(self) -> dict[str, Any]:
        return {"tools": tools_in_words(self._survey.tools)} if self._survey.tools else {}

    def _carry(self, run: Run) -> dict[str, Any]:
        """Write the carried columns of the pairs, if there are any; return what the manifest holds."""
        carried = self._survey.carried(self._source.keep)
        if carried or (run.folder / _COLUMNS_FILE).exists():
            run.replace_prompt_columns(self._column_records(carried))
        return {
            "keep": self._keep,
            "carried": carried,
            "ignored": [*self._survey.unread(carried), *self._survey.unused],
            "lines": digest_lines(run.folder / _COLUMNS_FILE).digest,
        }

    def _has_carried(self, run: Run) -> bool:
        """Return True if the run has the columns that were asked for, as they were written."""
        found = run.manifest.get(PROMPTS_SUMMARY)
        if found is None:  # imported by a version that carried none
            return False
        return (found.get("keep"), found.get("lines")) == (
            self._keep,
            digest_lines(run.folder / _COLUMNS_FILE).digest,
        )

    def _column_records(self, carried: dict[str, str]) -> Iterator[PromptColumns]:
        with SeenIds() as seen:
            for row in read_pair_rows(self._source) if carried else ():
                for pair in row.pairs:
                    if seen.add(pair.comparison.id):  # of duplicates, the run has the first
                        cells = carried_values(row.values, carried)
                        yield PromptColumns(id=pair.comparison.id, row=row.place, columns=cells)

    @property
    def _keep(self) -> list[str] | None:
        return None if self._source.keep is None else list(self._source.keep)

    def _report(self, summary: dict[str, Any], excluded: Mapping[str, int]) -> None:
        """Log what the user should know about the import: skipped rows, columns and verdicts."""
        if excluded:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in excluded.items())
            note(f"pairs: {counted(self._survey.rows, 'row')}, {sum(excluded.values()):,} skipped: {reasons}")
        source = self._source
        if unread := unread_splits(source.path, source.subset, source.split, in_run_file=False):
            note(f"pairs: {unread}")
        for line in described_columns(summary):
            note(f"pairs: {line}")
        if self._survey.tools:
            note(f"pairs: {tools_in_words(self._survey.tools)}")
        self._survey.texts.tell(TextReading(source.html, source.quotes), "pairs", IN_OVERRIDES)
        if repeated := self._survey.repeated.line():
            warn(f"pairs: {repeated}")
        if self._survey.judged:
            run = shell_command("publius", "import", "labels", str(self._source.path), "--to", "DIR")
            judged = counted(self._survey.judged, "pair")
            note(f"pairs: {judged} with a verdict, which is not used; to use it: {run}, and label.humans")
