"""The commands `export`, `push` and `report`: runs, models and labels for other tools and other people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from publius.commands.options import AsJson, MinP, PrincipleFilter, SourceFilter, TagFilter
from publius.console import emit

if TYPE_CHECKING:
    from publius.runs.pairs.filters import PreferenceFilter

BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        help="With a model: the Hugging Face id of its base model, which the card names in place of a local "
        "folder.",
        metavar="ID",
    ),
]

LicenseOption = Annotated[
    str | None,
    typer.Option(
        "--license",
        help="Licence that the card states: an identifier of the Hugging Face Hub, such as cc-by-4.0.",
        metavar="ID",
    ),
]
LanguageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--language",
        help="Language of the texts that the card states, as an ISO 639 code such as en; may be repeated.",
        metavar="CODE",
    ),
]


def export(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="A run folder; with --project, several. Also accepted: with --model, a folder made by "
            "`publius train`; with --labels, a folder of labels; with --constitution, a file or the name "
            "of a preset.",
            metavar="RUN...",
        ),
    ],
    to: Annotated[
        Path, typer.Option(help="A new or empty folder; with --labels, a new file.", metavar="DIR")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Write the merged model of this method: sft, dpo, ppo, rloo, grpo, distill or reward; or "
            "steered, the chosen checkpoint.",
            metavar="METHOD",
        ),
    ] = None,
    gguf: Annotated[
        str | None,
        typer.Option(
            help="With --model: one file for llama.cpp and Ollama, with matrices of type q8_0 or f16.",
            metavar="TYPE",
        ),
    ] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="With --model: write the adapter alone, not merged.")
    ] = False,
    base: BaseOption = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Write comparisons and judgments for a tool: argilla, label-studio or icai.",
            metavar="FORMAT",
        ),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help="Write the constitution in another format: anthropic (the Constitutional AI paper's files).",
            metavar="FORMAT",
        ),
    ] = None,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            help="Write what the run was made with, so that others can repeat it: run file, constitution, "
            "prompts, labels of people, versions and commands. Several runs become one project.",
        ),
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="Form of a data set's files: jsonl or parquet; jsonl if not given.", metavar="FORM"
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            "--test-share",
            help="Share of a data set's prompts in the test split, such as 0.2, or 0 for none; if not given, "
            "0.1 on average, and none if the run holds out none.",
            metavar="SHARE",
        ),
    ] = None,
    test_similarity: Annotated[
        float | None,
        typer.Option(
            "--test-similarity",
            help="Keep prompts in one split whose letter 4-grams have this Jaccard similarity or more, such "
            "as 0.5 for those of one template.",
            metavar="S",
        ),
    ] = None,
    test_by: Annotated[
        str | None,
        typer.Option(
            "--test-by",
            help="Keep prompts in one split that have the same value in this carried column, or with tags, a "
            "tag in common.",
            metavar="COLUMN",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Export a run that failed a gate; its card says so.")
    ] = False,
    license: LicenseOption = None,
    language: LanguageOption = None,
    min_p: MinP = None,
    tag: TagFilter = None,
    principle: PrincipleFilter = None,
    source: SourceFilter = None,
    as_json: AsJson = False,
) -> None:
    """Export data, a model, labels, a constitution or a project.

    By default, write the run's training data as a data set for `datasets.load_dataset`.
    """
    from engines.gguf.writer import gguf_type
    from publius.authoring.exporting import export_constitution
    from publius.authoring.repeating.project import export_project
    from publius.authoring.repeating.study import export_study
    from publius.config.card_terms import CardTerms
    from publius.labels.exporting import export_labels
    from publius.models.export import ModelForm, export_model, is_training
    from publius.models.gguf import export_gguf
    from publius.runs.dataset import CONFIGURATIONS, export_run
    from publius.runs.exporting.splitting import StayTogether
    from publius.runs.pairs.caveats import made_up_in
    from publius.runs.pairs.data_files import data_form
    from publius.runs.pairs.filters import PreferenceFilter
    from publius.views import exports

    folder = _only(folders, project=project)
    conditions = PreferenceFilter.of(min_p, tag, principle, source)
    terms = CardTerms.of(license, language)
    _require_one_form(
        {"--labels": labels, "--model": model, "--constitution": constitution, "--project": project or None},
        {"--gguf": gguf, "--adapter": adapter or None, "--base": base},
        conditions,
    )
    of_data = {
        "--format": format,
        "--test-share": test_share,
        "--test-similarity": test_similarity,
        "--test-by": test_by,
    }
    if (model or labels or constitution or project) and any(value is not None for value in of_data.values()):
        given = " and ".join(option for option, value in of_data.items() if value is not None)
        raise typer.BadParameter(f"{given}: only for a data set")
    if terms.fields() and (labels or constitution or project):
        raise typer.BadParameter("--license and --language are for the card of a data set or a model")
    if project and len(folders) > 1:
        emit(export_study(folders, to), as_json, exports.print_exported_study)
    elif project:
        emit(export_project(folder, to), as_json, exports.print_exported_project)
    elif constitution is not None:
        emit(export_constitution(str(folder), constitution, to), as_json, exports.print_exported_constitution)
    elif labels is not None:
        written_labels = export_labels(folder, labels, to)
        emit(written_labels, as_json, exports.print_exported_labels, made_up=made_up_in(folder))
    elif model is not None and gguf is not None:
        written = export_gguf(folder, model, to, gguf_type(gguf), base=base, force=force, terms=terms)
        emit(written, as_json, exports.print_exported_gguf)
    elif model is not None:
        form: ModelForm = "adapter" if adapter else "merged"
        done = export_model(folder, model, to, form=form, base=base, force=force, terms=terms)
        emit(done, as_json, exports.print_exported_model)
    elif is_training(folder):
        raise typer.BadParameter(f"{folder} is a training folder, not a run folder; give --model METHOD")
    else:
        form_of_data = data_form(format or "jsonl", CONFIGURATIONS)
        written_rows = export_run(
            folder,
            to,
            force=force,
            conditions=conditions,
            terms=terms,
            form=form_of_data,
            test_share=test_share,
            together=StayTogether(test_similarity, test_by),
        )
        said = made_up_in(folder) if as_json else ""  # as text, the export itself warns of it
        emit(written_rows, as_json, exports.print_exported_run, made_up=said)


def _only(folders: list[Path], *, project: bool) -> Path:
    """Return the first folder; raise BadParameter if there are more and no project is written."""
    if len(folders) > 1 and not project:
        raise typer.BadParameter(f"{len(folders)} folders are given; only --project takes several")
    return folders[0]


def _require_one_form(
    forms: Mapping[str, str | bool | None],
    of_models: Mapping[str, str | bool | None],
    conditions: PreferenceFilter,
) -> None:
    """Reject options that contradict each other.

    Args:
        forms: what is exported instead of a data set, by its option.
        of_models: the options that only models have.
        conditions: conditions on the rows of a data set.

    Raises:
        typer.BadParameter: on the first contradiction.
    """
    given = [option for option, value in forms.items() if value is not None]
    further = [option for option, value in of_models.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"give only one of {', '.join(forms)}")
    if further and "--model" not in given:
        raise typer.BadParameter(f"{' and '.join(further)}: only with --model METHOD")
    if {"--gguf", "--adapter"} <= set(further):
        raise typer.BadParameter("give only one of --adapter and --gguf")
    if conditions and given:
        raise typer.BadParameter(f"{conditions} selects rows of a data set; drop it, or {given[0]}")


def push_(
    what: Annotated[
        Path,
        typer.Argument(
            help="A run folder or a project with one run; a folder made by `publius train`; or a folder made "
            "by `publius export`.",
            metavar="WHAT",
        ),
    ],
    repository: Annotated[
        str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub, or its address.", metavar="REPO")
    ],
    kind: Annotated[
        Literal["dataset", "model"] | None,
        typer.Option(
            "--type", help="What is pushed; if not given, what the folder holds, and the data set of a run."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Push a run's model of this method instead of its data set: its adapter, with its card.",
            metavar="METHOD",
        ),
    ] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Push the whole model with the adapter merged.")
    ] = False,
    base: BaseOption = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private; refuse one that is public.")
    ] = False,
    branch: Annotated[
        str | None, typer.Option(help="Branch, which is made if needed; main if not given.", metavar="NAME")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.", metavar="TEXT")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the files and check them; needs no token and sends nothing."),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="Send this line although it looks like a key or a path of this machine, or all paths of a "
            "file; may be repeated.",
            metavar="FILE[:LINE]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Push a run that failed a gate or has no model's texts; its card says so."
        ),
    ] = False,
    license: LicenseOption = None,
    language: LanguageOption = None,
    as_json: AsJson = False,
) -> None:
    """Upload a data set or a model to the Hugging Face Hub.

    Sends what `publius export` writes, in one commit, after a search for keys and paths of this machine.
    """
    from publius.config.card_terms import CardTerms
    from publius.models.hub.push import PushRequest, push_folder
    from publius.models.hub.source import ModelOptions
    from publius.views import exports

    request = PushRequest(
        what,
        repository,
        kind,
        ModelOptions(model, merged, base),
        private,
        branch,
        message,
        dry_run,
        tuple(allow or ()),
        force,
        CardTerms.of(license, language),
    )
    show = exports.print_nothing if as_json else exports.print_push_plan
    pushed = push_folder(request, show)
    emit(pushed, as_json, exports.print_pushed)
    if pushed.refused is not None:
        raise pushed.refused


def report_(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, and folders of `publius train`. Several runs are compared: those that differ "
            "only in their seed count as one.",
            metavar="RUN...",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; if not given, report.html in the folder, or in the current folder for "
            "several (with --json: none).",
            metavar="FILE",
        ),
    ] = None,
    prompts: Annotated[
        int, typer.Option(min=0, help="Number of prompts whose answers are on the page.", metavar="N")
    ] = 200,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="Folder for each plot as SVG and PDF, and measures and labels as Markdown and CSV.",
            metavar="DIR",
        ),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            help="With --figures: the measures in plots and tables, such as compliance,words; their "
            "differences are corrected over these alone.",
            metavar="NAME,...",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write what runs and trainings did as one HTML page."""
    from publius.views.report.printing import print_written_report
    from publius.views.report.writing import ReportRequest, write_report

    if measures and figures is None:
        raise typer.BadParameter("--measures requires --figures DIR")
    wanted = tuple(name.strip() for part in measures or () for name in part.split(",") if name.strip())
    request = ReportRequest(
        tuple(folders), to, prompts, asks_for_numbers=as_json, figures=figures, measures=wanted
    )
    emit(write_report(request), as_json, print_written_report)
