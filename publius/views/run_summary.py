"""Output at the end of a run: stages, label metrics, exclusions with reasons; and that of `publius steer`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from core.errors import shell_command
from core.notices import counted, note, warn
from core.records import Metric
from core.store.files import is_there
from core.terminal.breaking import BreakableName
from critique.statistics import ATTRIBUTION, attribution_rows, loop_lines
from evaluation.gates.recorded import gate_results
from evaluation.presentation import variants_in_words
from evaluation.report import summary_table
from publius.authoring.steering.steer import SteerOutcome
from publius.console import heading, out
from publius.runs.pairs.caveats import reason_in_words
from publius.runs.parts.shards import Shard
from publius.stages.compare import FEW_COMPARED
from publius.stages.outcome import RunOutcome
from publius.stages.prompts import splits_in_words
from publius.stages.training.few import FEW_LEARNED
from publius.views.costs.estimate import print_beside_estimate
from publius.views.training import print_reward

_CHOSEN = "*"
WITHOUT_TRAINING = "what rules do to answers without any pair: docs/guides/rules-without-training.md"
_MEASURES = {
    "compliance": "complies",
    "graded": "score",
    "neutral_loss": "neutral loss",
    "sameness": "nearly same",
    "finished": "finished",
    "words": "words",
}
"""Measures of a checkpoint with their titles."""
_LEGEND = {
    "judgments.check.decided": "one answer passes alone, or fails by less",
    "preferences.ties": "p is 0.5",
    "ai.unparsed": "answers without a verdict",
    "ai.abstained": "not asked, by its own figures",
    "ai.same_slot_in_both_orders": "share that position decided",
    "ai.slot_bias_nats": "log-odds for what is shown first",
    "ai.answer_mass": "probability of A and B together",
    "preferences.mean_p_chosen": "0.5 is a guess, 1 is certain",
    "preferences.answers_cut_off": "at the token limit, of two a pair",
}
"""Meanings of the metrics of labels whose names do not say it."""
_SHARES = ("compliance", "sameness", "finished")


def print_summary(outcome: RunOutcome) -> None:
    """Print the summary of a run."""
    summary = outcome.as_json()
    _print_caveats(summary["caveats"])
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "records", "asked", "reused", "seconds"):
        table.add_column(title, justify="left" if title == "stage" else "right")
    for name, stage in summary["stages"].items():
        asked, reused = sum(stage["asked"].values()), sum(stage["reused"].values())
        cells = (stage["records"], asked, reused, stage["seconds"])
        table.add_row(name, *(f"{cell:,}" for cell in cells))
    heading("Stages")
    out.print(table)
    _print_results(summary)
    _print_prompts(summary["prompts"])
    _print_shard(summary.get("shard"), Path(summary["run"]))
    if summary["figures"]:
        heading("Labels")
        _print_judged(summary.get("judged", {}))
        for name, value in summary["figures"].items():
            if name == "preferences.revision_chosen" and not value and not _has_rounds(summary):
                continue
            meaning = f"  {_LEGEND[name]}" if name in _LEGEND else ""
            out.print(Text.assemble(f"{name:<32}{value:>10,}", (meaning, "dim")))
    if summary["people"]:
        human = summary["people"]
        heading("Human labels")
        out.print(
            f"{counted(human['judgments'], 'judgment')} by {counted(human['annotators'], 'annotator')}, on "
            f"{counted(human['matched'], 'comparison')} of the run and {human['added']:,} added from the "
            "label folders"
        )
    _print_servers(summary.get("servers", ()))
    if summary["left_out"]:
        heading("Excluded")
        _print_excluded(summary["left_out"])
    print_reward(Path(summary["run"]) / "reward", summary["reward"], "held-out pair")
    _print_choice(summary["choice"])
    if summary["evaluation"]:
        _print_evaluation(summary, Path(summary["run"]))
    print_beside_estimate(summary.get("estimated", ()))
    print_next(Path(summary["run"]), commands_after(summary))


def _print_shard(shard: Mapping[str, int] | None, folder: Path) -> None:
    """Print which part of a run its folder has, and what unites the parts."""
    if shard is None:
        return
    out.print(f"{counted(shard['prompts'], 'prompt')} in shard {shard['number']}/{shard['count']}")
    name = folder.name.rpartition(".shard-")[0]
    shards = shell_command(_near(folder.parent) / name) + ".shard-*"
    count = shard["count"]
    note(f"when all {count:,} shards are done: publius runs merge {shards}")
    folders = (folder.with_name(name + Shard(number, count).suffix) for number in range(1, count + 1))
    there = sum(map(is_there, folders))
    if there < count:
        note(
            f"in {_near(folder.parent)} are {there:,} of {count:,} so far; name the folders of shards made "
            "elsewhere, too, or copy them there"
        )


def commands_after(summary: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Return the commands to go on with after a run, without its folder, each with what it does."""
    found: list[tuple[tuple[str, ...], str]] = []
    if summary["figures"] or summary["critique"]:
        found.append((("show",), "ten rows, figures, and where to look further"))
    if summary["evaluation"]:
        found.append((("report",), "one page with everything, to open in a browser"))
        what = f"{_compared_in(summary['evaluation'])}, side by side, on questions of yours"
        found.append((("chat",), what[0].lower() + what[1:]))
    elif summary["figures"].get("preferences"):
        found.append((("report",), "one page with the answers and labels, to open in a browser"))
    if summary["figures"].get("preferences"):
        found.append((("export", "--to", "DIR"), "the data set, for training"))
    return found or [(("show",), "what the run has so far")]


def print_next(folder: Path, commands: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Print commands to go on with, each with what it does below it."""
    near = _near(folder)
    note("\nNext")
    for (name, *options), what in commands:
        note(shell_command("publius", name, near, *options), plain=True)
        note(f"    {what}")


def _near(folder: Path) -> Path:
    """Return the folder as it is called from the current one, if it is below it."""
    try:
        return folder.resolve().relative_to(Path.cwd())
    except ValueError:
        return folder


def _print_caveats(caveats: Sequence[str]) -> None:
    """Print what speaks against the numbers, before them."""
    if caveats:
        heading("Read this first")
        for line in caveats:
            out.print(Text(line))


def _print_excluded(left_out: Mapping[str, Mapping[str, int]]) -> None:
    """Print how many records each stage excluded, and why; a long reason wraps in its column."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify)
    for stage, reasons in left_out.items():
        for reason, count in reasons.items():
            table.add_row(f"{stage:<10}", f"{count:>6,}", reason_in_words(reason))
    out.print(table)


def _has_rounds(summary: Mapping[str, Any]) -> bool:
    """Return True if the run has rounds of critique and revision."""
    return bool(summary["critique"].get("rounds"))


def _print_results(summary: dict[str, Any]) -> None:
    """Print the yield of the samples, the rounds of DPO, and the stages that had nothing to work on."""
    if _has_rounds(summary):
        _print_loop(summary["critique"])
    if summary["samples"]:
        heading("Samples")
        out.print(summary["samples"]["line"])
    if summary["rounds"]:
        heading("Rounds of DPO")
        for entry in summary["rounds"]:
            out.print(f"round {entry['round']}: {counted(entry['pairs'], 'pair')}")
    if summary["advice"]:
        heading("Nothing to work on")
        for stage, advice in summary["advice"].items():
            out.print(f"{stage:<12}{advice}")
    few = [f"{stage}: {said}" for stage, said in summary.get(FEW_LEARNED, {}).items()]
    if FEW_COMPARED in summary or few:
        heading("Few pairs")
        for line in few or [summary[FEW_COMPARED]]:
            out.print(line, markup=False)
        note(WITHOUT_TRAINING)
    for late in summary.get("late", ()):
        warn(f"{late} was skipped, as too little of the allowed time was left (time.minutes)")


def _print_servers(servers: Sequence[Mapping[str, Any]]) -> None:
    """Print what was asked of each model of a server in all commands of the run, and what went wrong."""
    if not servers:
        return
    heading("Servers")
    for server in servers:
        tokens = server.get("prompt_tokens", 0) + server.get("completion_tokens", 0)
        price = f", ${server['usd']:,.4f}" if "usd" in server else ""
        role = f" ({server['role']})" if "role" in server else ""
        tries = "1 try" if server["tries"] == 1 else f"{server['tries']:,} tries"
        out.print(f"{server['model']}{role} at {server['url']}: {tries}, {counted(tokens, 'token')}{price}")
        for title in ("retries", "failures", "changed"):
            for reason, count in server.get(title, {}).items():
                out.print(f"  {title:<10}{count:>6,}  {reason}")


def _print_loop(loop: dict[str, Any]) -> None:
    """Print what the rounds of critique and revision did, and the part that each principle had in it."""
    heading("Critique and revision")
    for line in loop_lines(loop):
        out.print(line)
    table = Table(box=None, pad_edge=False)
    table.add_column("principle", overflow="fold")
    for title in ATTRIBUTION.values():  # wrapped at its words, which leaves room for the principle
        table.add_column(title, justify="right", width=max(map(len, title.split())))
    for name, *counts in attribution_rows(loop):
        table.add_row(BreakableName(name), *counts)
    out.print(table)


def _print_judged(judged: Mapping[str, int]) -> None:
    """Print how many principles each pair is judged under, and how to judge it under more."""
    if not judged.get("of"):
        return
    asked, count = judged["asked"], judged["of"]
    more = "" if asked == count else " (drawn by weight; label.principles: N or all)"
    least = judged.get("least", asked)
    if "least" in judged:  # some are for some prompts only
        more = " (as many as are for its prompt, at most label.principles)"
    number = f"{asked}" if least == asked else f"{least} to {asked}"
    out.print(f"{number} of {counted(count, 'principle')} judged per pair{more}")
    if judged["checks"]:
        where = "the pairs that they are for" if judged["scoped_checks"] else "every pair"
        out.print(f"{counted(judged['checks'], 'machine check')} evaluated on {where}")


def _print_prompts(prompts: Mapping[str, Any]) -> None:
    """Print how many prompts are in each split, and how many near-duplicates there are."""
    splits, near = prompts.get("splits"), prompts.get("near_duplicates", 0)
    if splits or near:
        heading("Prompts")
    if splits:
        out.print(splits_in_words(splits))
    if near:
        out.print(f"{counted(near, 'near-duplicate')} used, in the split of the prompts that they resemble")


def _compared_in(evaluation: Mapping[str, Any]) -> str:
    return variants_in_words(metric["name"].partition(".")[0] for metric in evaluation["metrics"])


def print_unmeasured(names: Sequence[str], out_of_scope: Sequence[str] = ()) -> None:
    """Print which principles are in no row of a table of measures, and what would measure them.

    Args:
        names: those without a check, where there is no judge.
        out_of_scope: those with a check that no prompt is in the scope of.
    """
    if out_of_scope:
        its = "its" if len(out_of_scope) == 1 else "their"
        line = f"{counted(len(out_of_scope), 'rule')} not measured, as no prompt is in {its} scope"
        out.print(f"{line}: {', '.join(out_of_scope)}", markup=False)
    if names:
        line = f"{counted(len(names), 'rule')} not measured, without a check and without a judge"
        out.print(f"{line} (set models.judge): {', '.join(names)}", markup=False)


def _print_evaluation(summary: dict[str, Any], folder: Path) -> None:
    evaluation = summary["evaluation"]
    metrics = [Metric.model_validate(metric) for metric in evaluation["metrics"]]
    learned = {name: same for name, same in evaluation.get("prompts_trained_on", {}).items() if same}
    known = "; ".join(f"{name} was trained on {same} of them" for name, same in learned.items())
    count = evaluation["prompts"]
    asked = f"{counted(count, 'prompt')}: {known}" if known else counted(count, "held-out prompt")
    heading(f"{_compared_in(evaluation)}, {asked}")
    out.print(summary_table(metrics, out.width))
    print_unmeasured(summary.get("unmeasured", ()), summary.get("out_of_scope", ()))
    if gates := gate_results(evaluation):
        counts = Counter(result.outcome for result in gates)
        kind = "gates" if any(not one.is_default for one in gates) else "gates (default limits; none are set)"
        out.print(f"{kind}: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
        if counts["inconclusive"]:
            none = "" if counts["fail"] else "none failed; "
            out.print(f"{none}inconclusive: too few prompts to tell; the report says how many more would")
    _print_best_of(evaluation.get("drift", {}).get("best_of_n_by_reward"))
    note(f"report: {folder / 'eval' / 'report.md'}")


def _print_best_of(curve: Mapping[str, Any] | None) -> None:
    """Print what the reward model's choice among n answers gains in reward and in machine checks."""
    if curve is None:
        return
    samples, variant = counted(curve["samples"], "answer"), curve["variant"]
    heading(f"Best of n by the reward model, {counted(curve['prompts'], 'prompt')}, {samples} of {variant}")
    table = Table(box=None, pad_edge=False)
    for title in ("n", "sqrt(KL)", "reward", "checks, %"):
        table.add_column(title, justify="right")
    for point in curve["points"]:
        reward, checks = point["proxy"]["value"], 100 * point["gold"]["value"]
        table.add_row(f"{point['n']}", f"{point['sqrt_kl']:.2f}", f"{reward:.2f}", f"{checks:.1f}")
    out.print(table)
    for reason, count in curve["left_out"].items():
        out.print(f"{counted(count, 'prompt')} left out: {reason}")


def _print_choice(choice: dict[str, Any] | None) -> None:
    """Print the measures of all checkpoints, which one was chosen, and the limits that the others exceed.

    Args:
        choice: the content of `choice.json`; None if the run has chosen nothing.
    """
    if choice is None:
        return
    held_out = "held-out " if choice["held_out"] else ""
    heading(f"Choice of a checkpoint, {counted(choice['prompts'], f'{held_out}validation prompt')}")
    table = Table(box=None, pad_edge=False)
    for title in ("checkpoint", *_MEASURES.values(), "exceeds"):
        table.add_column(title, justify="left" if title in ("checkpoint", "exceeds") else "right")
    base, *_ = choice["checkpoints"]
    for checkpoint in choice["checkpoints"]:
        name = checkpoint["name"]
        cells = (_choice_cell(checkpoint, base, measure) for measure in _MEASURES)
        limits = ", ".join(limit["limit"] for limit in checkpoint["exceeds"])
        table.add_row(name + _CHOSEN * (name == (choice["chosen"] or base["name"])), *cells, limits)
    out.print(table)
    out.print(f"{_CHOSEN} chosen; `exceeds` names the limits of the section `choose` that are not met")


def _choice_cell(checkpoint: dict[str, Any], base: dict[str, Any], measure: str) -> str:
    value = checkpoint[measure]
    if value is None:
        return ""
    if measure in _SHARES:
        return f"{100 * value:.1f} %"
    if measure == "neutral_loss":
        rise = "" if checkpoint is base else f" ({value - base[measure]:+.3f})"
        return f"{value:.3f}{rise}"
    return f"{value:.1f}" if measure == "words" else f"{value:.2f}"


def print_steering(steered: SteerOutcome) -> None:
    """Print the result of steering."""
    if steered.outcome is None:
        out.print(shell_command("publius", "run", steered.run_file))
        return
    found = steered.as_json()
    summary = found["outcome"]
    _print_results(summary)
    _print_choice(summary["choice"])
    if evaluation := summary["evaluation"]:
        heading(f"Before and after steering, {counted(evaluation['prompts'], 'held-out prompt')}")
        out.print(summary_table(map(Metric.model_validate, evaluation["metrics"]), out.width))
        print_unmeasured(summary.get("unmeasured", ()), summary.get("out_of_scope", ()))
    heading("Result")
    if steered.chosen is None:
        out.print("no checkpoint was chosen: the base model stays")
    for limit in steered.choice.get("bound", ()):
        value = "not a number" if limit["value"] is None else f"{limit['value']:.3f}"
        out.print(f"bound    choose.{limit['limit']}: {value}, limit {limit['bound']:.3f}")
    for name, value in (("adapter", found["adapter"]), ("report", found["report"])):
        if value is not None:
            out.print(f"{name:<9}{value}")
    out.print(f"minutes  {steered.minutes:.1f} of {steered.allowed:g}")
    folder = steered.outcome.folder
    note("\n" + shell_command("publius", "chat", folder), plain=True)
    if steered.chosen is not None:
        note(shell_command("publius", "export", folder, "--model", "steered", "--to", "DIR"), plain=True)
        note(f"peft: PeftModel.from_pretrained(model, {found['adapter']!r})")
    note(f"the plan: {steered.run_file}; the same command resumes")
