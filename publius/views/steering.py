"""Output of `publius steer`: what the adapter does better, where it is, and how to use it."""

from __future__ import annotations

from core.errors import shell_command
from core.notices import note, warn
from core.records import Metric
from evaluation.report import summary_table
from publius.authoring.steering.steer import SteerOutcome
from publius.console import heading, out


def print_steering(steered: SteerOutcome) -> None:
    """Print the result of steering."""
    if steered.outcome is None:
        out.print(shell_command("publius", "run", steered.run_file))
        return
    found = steered.as_json()
    evaluation = found["outcome"]["evaluation"]
    if evaluation:
        heading(f"Before and after steering, {evaluation['prompts']} held-out prompts")
        out.print(summary_table(Metric.model_validate(metric) for metric in evaluation["metrics"]))
    heading("Result")
    for late in found["outcome"].get("late", ()):
        warn(f"{late} was skipped: the time was short")
    if steered.adapter is None:
        out.print("no adapter was chosen: the base model stays")
    else:
        out.print(f"adapter  {found['adapter']}")
        out.print(f"chosen   {steered.choice.get('chosen', 'steered')}")
    out.print(f"report   {found['report']}")
    out.print(f"minutes  {steered.minutes:.1f} of {steered.allowed:g}")
    folder = steered.outcome.folder
    note("\n" + shell_command("publius", "chat", folder))
    if steered.adapter is not None:
        note(shell_command("publius", "export", folder, "--model", "steered", "--to", "DIR"))
        note(f"peft: PeftModel.from_pretrained(model, {found['adapter']!r})")
    note(f"the plan: {steered.run_file}; the same command resumes")
