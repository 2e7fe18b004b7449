"""A run in each mode of the labeler: labels, resume, templates, and what the summary counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from labelers.config import MODE_TEMPLATES
from prompts.environment import PromptTemplates
from prompts.user_templates import write_templates
from publius.config.run_file import load_run_config
from publius.runs.opening.identity import templates_digest
from publius.runs.pairs.label_metrics import label_metrics
from publius.runs.reader import RunReader
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, Recorder, record_lines, write_project

pytestmark = pytest.mark.usefixtures("own_cache")
MODES = tuple(MODE_TEMPLATES)
STAGES = ("critique", "compare", "label")
SHIPPED = PromptTemplates().judging.sources


def in_mode(mode: str, more: str = "") -> str:
    return RUN.replace("{principles: 2}", f"{{principles: all, mode: {mode}}}") + more


@pytest.mark.parametrize("mode", [*MODES, "pointwise, polarity: both"])
def test_every_pair_is_judged_under_every_principle_and_resuming_asks_nothing(mode: str, tmp_path: Path):
    request = RunRequest(write_project(tmp_path, 6, in_mode(mode)), stages=STAGES)
    folder = execute(request, Recorder()).folder
    with RunReader(folder) as run:
        judged = [judgment for judgment in run.judgments if judgment.labeler == "ai"]
        compared = len(list(run.comparisons))
    assert len(judged) == 3 * compared > 0
    metrics = label_metrics(folder)
    assert metrics["judgments.ai"] == len(judged)
    if mode == "rubric":  # the scripted judge writes words, and no grade
        assert metrics["ai.unparsed.unreadable"] == metrics["ai.unparsed"] == len(judged)
    else:
        assert all(judgment.p_a is not None for judgment in judged)
    before, again = record_lines(folder), Recorder()
    assert execute(request, again).folder == folder
    assert again.requests == []
    assert record_lines(folder) == before


@pytest.mark.parametrize("mode", MODES)
def test_the_templates_of_a_mode_are_part_of_its_runs_alone(mode: str, tmp_path: Path):
    digests = []
    for text in (in_mode(mode), RUN):
        for own in ({}, dict.fromkeys(MODE_TEMPLATES[mode], " ")):  # type: ignore[index]
            project = write_project(tmp_path, 1, text + ("templates: mine\n" if own else ""))
            changed = {name: SHIPPED[name] + "{#- mine #}" for name in own}
            if changed:
                write_templates(tmp_path / "mine", changed)
            digests.append(templates_digest(load_run_config(project)))
    assert digests[0] != digests[1]
    assert digests[2] == digests[3]


def test_the_templates_of_the_other_polarity_are_part_of_the_runs_that_ask_it(tmp_path: Path):
    digests: dict[tuple[str, str], str] = {}
    for mode in ("pointwise", "pointwise, polarity: both"):
        for changed in ("", "pointwise_breaks", "decision_breaks"):
            own = {"comparison": PromptTemplates().sources["comparison"]}
            own |= {changed: SHIPPED[changed] + "{#- mine #}"} if changed else {}
            write_templates(tmp_path / f"mine{changed}", own)
            project = write_project(tmp_path, 1, in_mode(mode, f"templates: mine{changed}\n"))
            digests[mode, changed] = templates_digest(load_run_config(project))
    one, both = (
        [digests[mode, name] for name in ("", "pointwise_breaks", "decision_breaks")]
        for mode in ("pointwise", "pointwise, polarity: both")
    )
    assert len({*one}) == 1
    assert both[0] not in one
    assert both[1] != both[0]
    assert both[2] == both[0]  # the labeler is asked in conversations


def test_templates_of_another_mode_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_templates(tmp_path / "mine", {"rating": SHIPPED["rating"].replace("Rate the", "Grade the")})
    run_file = write_project(tmp_path, 2, RUN + "templates: mine\n")
    execute(RunRequest(run_file, stages=STAGES), Recorder())
    assert "rating.j2 in the templates folder has no effect on models.labeler" in caplog.text


def test_settings_of_another_mode_are_refused_with_their_place(tmp_path: Path):
    run_file = write_project(tmp_path, 1, RUN.replace("principles: 2", "rating_scale: 2.0"))
    with pytest.raises(ConfigError, match=r"label\.rating_scale is set, but label\.mode is not rating"):
        load_run_config(run_file)


def test_a_margin_that_excludes_every_reasoned_label_is_refused(tmp_path: Path):
    strict = in_mode("reasoned", "train: [sft, dpo]\ndpo: {min_margin: 0.2}\n").replace(
        "kind: scripted, ", ""
    )
    with pytest.raises(ConfigError, match=r"dpo\.min_margin is 0\.2, which excludes every label"):
        load_run_config(write_project(tmp_path, 1, strict))
    loose = strict.replace("mode: reasoned", "mode: reasoned, reasoned_clamp: 0.9")
    assert load_run_config(write_project(tmp_path, 1, loose)).dpo.min_margin == 0.2
