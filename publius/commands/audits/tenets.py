"""The commands that audit a model against its constitution: `audit scenarios` and `audit model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson, EngineOption
from publius.console import emit


def audit_scenarios(
    constitution: Annotated[
        str, typer.Option(help="A constitution, or the name of a preset.", metavar="CONSTITUTION")
    ],
    to: Annotated[
        Path, typer.Option(help="The file; scenarios are added to one that exists.", metavar="FILE.yaml")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The model that writes; without one, plain scenarios come from templates."),
    ] = None,
    per_tenet: Annotated[int, typer.Option(help="Scenarios of each tenet.", metavar="N")] = 12,
    principle: Annotated[
        list[str] | None,
        typer.Option(help="Only for this principle; may be repeated.", metavar="ID"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random draws.")] = 0,
    engine: EngineOption = "transformers",
    as_json: AsJson = False,
) -> None:
    """Write scenarios that test each principle of a constitution, for people to edit.

    Kinds are tempting, borderline, benign and multi-turn. Tenets that have scenarios in the file keep theirs.
    """
    from publius.authoring.scenarios import ScenariosRequest, write_scenarios
    from publius.views.audits.tenets import print_scenarios

    request = ScenariosRequest(constitution, to, model, per_tenet, seed, tuple(principle or ()), engine)
    emit(write_scenarios(request), as_json, print_scenarios)


def audit_model_(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Run folders (base, prompted and every trained model), adapters, or models.",
            metavar="RUN|MODEL...",
        ),
    ],
    scenarios: Annotated[Path, typer.Option(help="The file of scenarios.", metavar="FILE.yaml")],
    to: Annotated[Path, typer.Option(help="Folder for audit.json, audit.md and the records.", metavar="DIR")],
    constitution: Annotated[
        str | None,
        typer.Option(
            help="A constitution or preset; that of the first run if not given.", metavar="CONSTITUTION"
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Rates tenets without a machine check: a model, or the folder of a trained judge; the run's "
            "models.judge if not given."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="A model that plays the user after the first message of multi-turn scenarios."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="The model of an adapter; the one that the adapter names if not given."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine of the audited models: transformers, vllm, scripted (made up), or a server's "
            "address; the run's if not given.",
            metavar="KIND|URL",
        ),
    ] = None,
    judge_engine: Annotated[
        str | None,
        typer.Option(help="Engine of the judge and of the simulated user, likewise.", metavar="KIND|URL"),
    ] = None,
    prompted: Annotated[
        bool,
        typer.Option(
            "--prompted/--no-prompted",
            help="Also audit the first model with the constitution as its system prompt.",
        ),
    ] = True,
    samples: Annotated[
        int, typer.Option(min=1, help="Conversations of each variant on each scenario.", metavar="N")
    ] = 1,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Sampling temperature of the replies; 0 is greedy.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of tokens of a reply.", metavar="N")
    ] = None,
    all_tenets: Annotated[
        bool,
        typer.Option(
            "--all-tenets", help="Rate every conversation under all tenets, not only under its own."
        ),
    ] = False,
    cited: Annotated[
        int,
        typer.Option(min=0, help="Violations that are cited, of each tenet and variant.", metavar="N"),
    ] = 2,
    sheet: Annotated[
        int,
        typer.Option(
            min=0, help="Ratings of each judged tenet on the sheet for people to label.", metavar="N"
        ),
    ] = 20,
    max_violations: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Exit with 1 if a trained model's rate of a tenet is surely above this."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random draws.")] = 0,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print what would be asked, and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measure how often models violate each principle of a constitution: before, prompted and after training.

    A principle with a machine check is rated exactly, all others by the judge. The same command resumes. The
    exit code is 1 if a rate is surely above --max-violations.
    """
    from publius.audit.tenets.auditing import audit_model
    from publius.audit.tenets.subjects import ModelAuditRequest
    from publius.views.audits.tenets import print_model_audit

    request = ModelAuditRequest(
        targets=tuple(targets),
        scenarios=scenarios,
        to=to,
        constitution=constitution,
        judge=judge,
        base=base,
        engine=engine,
        judge_engine=judge_engine,
        user=user,
        samples=samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        all_tenets=all_tenets,
        prompted=prompted,
        cited=cited,
        sheet=sheet,
        max_violations=max_violations,
        estimate=estimate,
    )
    result = audit_model(request)
    emit(result, as_json, print_model_audit)
    return int(result.failed)
