from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.errors import ConfigError, EngineError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.authoring.preview import PreviewRequest, preview_run
from publius.stages.runner import RunRequest, execute
from publius.views.costs.estimate import CUT_FOR_DPO, print_estimate
from publius.views.costs.preview import print_preview
from tests.engines.http.test_decisions import CountingDecider
from tests.publius.invoking import here
from tests.publius.projects import Recorder, record_lines, write_project
from tests.publius.serving.running import TOKEN, served
from tests.publius.trainable import roomy, write_trainable

SAMPLED = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
sample: {draws: 2, attempts: 1}
sft: {from: samples}
compare: {from: samples}
"""


def test_first_prompts_go_through_every_stage_and_the_run_asks_none_of_it_again(tmp_path: Path):
    run_file, recorder = write_project(tmp_path / "one", prompts=8), Recorder()
    preview = preview_run(PreviewRequest(run_file, 3), recorder)
    assert [p.prompt.messages[0].content for p in preview.prompts] == [
        f"Question number {i}: what is {i} times {i}?" for i in range(3)
    ]
    for previewed in preview.prompts:
        assert previewed.trace is not None
        assert len(previewed.trace.revisions) == 2
        (judged,) = previewed.comparisons
        assert {judgment.labeler for judgment in judged.judgments} == {"ai", "check"}
        assert judged.preference is not None
    assert preview.stages == ("critique", "compare", "label")
    assert len(recorder.requests) == preview.counts.asked.total() == 3 * (1 + 4 + 4)
    assert not (tmp_path / "one" / "runs").exists()

    after = Recorder()
    outcome = execute(RunRequest(run_file), after)
    assert len(after.requests) == 8 * 9 - 3 * 9
    other = execute(RunRequest(write_project(tmp_path / "other", prompts=8)), Recorder())
    assert {name: sorted(lines) for name, lines in record_lines(outcome.folder).items()} == {
        name: sorted(lines) for name, lines in record_lines(other.folder).items()
    }
    again = Recorder()
    preview_run(PreviewRequest(run_file, 8), again)
    assert again.requests == []


def test_scored_samples_are_shown_with_their_scores(tmp_path: Path):
    preview = preview_run(PreviewRequest(write_project(tmp_path, 4, SAMPLED), 2), Recorder())
    found = preview.as_json()
    assert found["stages"] == ["sample", "compare", "label"]
    assert len(found["prompts"]) == 2
    assert all(len(prompt["samples"]) >= 2 for prompt in found["prompts"])
    assert all("draft" not in prompt for prompt in found["prompts"])


def test_rounds_are_shown_with_all_that_decided_about_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = "critique={rounds: 2, principles: all, candidates: 2, early_stop: critique, begin: none}"

    def answer(request: GenerationRequest) -> str:
        if request.purpose != "critique":
            return "Yes." if request.purpose == "draft" else f"{'word ' * 20}{request.seed}"
        return (
            "Nothing in it breaks the principle."
            if "times 0" in request.turns[0].text
            else "The reply is unkind."
        )

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return ScriptedEngine(answerer=answer, model=model.id)

    request = PreviewRequest(write_project(tmp_path), 2, [settings], until="critique")
    preview = preview_run(request, make)
    one, other = (prompt["rounds"] for prompt in preview.as_json()["prompts"])
    assert (one[0]["revision"], one[0]["flags"]) == (None, ["no_fault"])
    first = other[0]
    assert first["principles"] == ["plain", "honest", "kind", "short"]
    assert len(first["other_candidates"]) == 1
    assert (first["kept"], first["dropped"], first["broken"]) == (False, "guard", ["short"])
    print_preview(preview)
    text = capsys.readouterr().out
    assert "not revised: the critique finds nothing wrong" in text
    assert "Round 1, plain, honest, kind, short. Critique:" in text
    assert "Revision, best of 2, not kept: breaks short, words removed and added:" in text


BUDGETED = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models:
  policy: some-model
  labeler: {id: judge, engine: {kind: http, url: URL, dialect: systemone, api_key_env: DECISIONS_KEY}}
engine: {kind: scripted, concurrency: 1, budget: {tokens: 1500}}
critique: {rounds: 1}
label: {principles: 3}
"""


def test_previews_and_the_run_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DECISIONS_KEY", TOKEN)
    with served({}, {"judge": CountingDecider()}) as client:
        run_file = write_project(tmp_path, 4, BUDGETED.replace("URL", client.url))
        preview_run(PreviewRequest(run_file, 1))
        (budget,) = estimate_run(EstimateRequest(run_file)).as_json()["budgets"]
        assert 0 < budget["spent"] < 1500
        with pytest.raises(
            EngineError, match=r"the budget of 1,500 tokens is spent \(([\d,]+) used\)"
        ) as raised:
            preview_run(PreviewRequest(run_file, 4))
        before = int(re.search(r"\(([\d,]+) used", str(raised.value))[1].replace(",", ""))
        # All of it is counted: the run and a further preview have nothing left.
        for again in (
            lambda: execute(RunRequest(run_file)),
            lambda: preview_run(PreviewRequest(run_file, 4)),
        ):
            with pytest.raises(EngineError, match="the budget of 1,500 tokens is spent"):
                again()
        (kept,) = (tmp_path / ".publius" / "previews").iterdir()
        (record,) = json.loads(kept.read_text())
        assert record["prompt_tokens"] + record["completion_tokens"] >= before
        assert record["tries"] > 2


def test_preview_of_one_stage_has_those_before_it(tmp_path: Path):
    preview = preview_run(PreviewRequest(write_project(tmp_path), 2, until="compare"), Recorder())
    assert preview.stages == ("critique", "compare")
    assert all(not judged.judgments for prompt in preview.prompts for judged in prompt.comparisons)


@pytest.mark.parametrize("prompts", [0, -1])
def test_preview_of_no_prompts_is_refused(tmp_path: Path, prompts: int):
    with pytest.raises(ConfigError, match=r"nothing to preview: found -?[01]; accepted: at least 1 prompt"):
        preview_run(PreviewRequest(write_project(tmp_path), prompts), Recorder())


def test_stage_that_cannot_be_previewed_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing to preview: found only eval; accepted: .* sample"):
        preview_run(PreviewRequest(write_project(tmp_path), 1, until="eval"), Recorder())


def test_command_prints_one_prompt_after_the_other_or_json(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=5)
    done = here("run", run_file, "--preview", "2")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    places = [
        text.index(part) for part in ("Prompt 1 of 2 (train)", "Draft:", "Critique:", "Revision", "label: ")
    ]
    assert places == sorted(places)
    assert "Prompt 2 of 2" in text
    assert "asked 18 of 18 requests" in text
    found = json.loads(here("run", run_file, "--preview", "2", "--json").stdout)
    assert found["requests"]["reused"] == 18
    first = found["prompts"][0]
    assert set(first) == {"id", "split", "messages", "draft", "rounds", "samples", "comparisons"}
    assert 0.5 <= first["comparisons"][0]["preference"]["p_chosen"] <= 1
    for other in (["--estimate"], ["--resume", str(tmp_path)]):
        assert here("run", run_file, "--preview", "2", *other).returncode == 2


def test_rounds_are_shown_with_all_their_principles_and_why_a_revision_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def make(model: object, engine: object) -> ScriptedEngine:
        answers = iter(
            ["A good short answer.", "Be kinder.", "word " * 13, "Nothing in it breaks the principle."]
        )
        return ScriptedEngine(answerer=lambda request: next(answers, "A."), model="some-model")

    run_file = write_project(tmp_path, prompts=1)
    settings = ("critique.principles=all", "critique.early_stop=critique", "critique.begin=none")
    preview = preview_run(PreviewRequest(run_file, 1, settings, until="critique"), make)
    print_preview(preview)
    shown = " ".join(capsys.readouterr().out.split())
    assert "Round 1, plain, honest, kind, short. Critique:" in shown
    assert "not kept: breaks short, words removed and added:" in shown
    assert "not revised: the critique finds nothing wrong" in shown
    first, second = preview.as_json()["prompts"][0]["rounds"]
    assert (first["principles"], first["dropped"]) == (["plain", "honest", "kind", "short"], "guard")
    assert (first["broken"], second["revision"], second["flags"]) == (["short"], None, ["no_fault"])


def test_comparisons_of_an_sft_model_are_shown_by_the_untrained_policy_and_nothing_is_trained(
    tmp_path: Path, tiny_folder: Path, caplog: pytest.LogCaptureFixture
):
    model = roomy(tiny_folder, tmp_path / "model")
    run_file = write_trainable(tmp_path / "project", model, source="sft")
    preview = preview_run(PreviewRequest(run_file, 1))
    assert preview.stages == ("critique", "compare", "label")
    assert any("SFT is not trained yet" in record.getMessage() for record in caplog.records)
    (compared,) = (prompt for prompt in preview.prompts if prompt.comparisons)
    assert compared.prompt.split == "preference"
    assert sorted(path.name for path in run_file.parent.iterdir()) == [
        ".publius",
        "constitution.yaml",
        "prompts.jsonl",
        "run.yaml",
    ]


def test_a_preview_counts_the_pairs_that_dpo_can_use(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
):
    model = roomy(tiny_folder, tmp_path / "model")
    run_file = write_trainable(tmp_path / "project", model, source="base", train="[dpo]")
    cut = ("compare.sampling.max_new_tokens=3", "compare.sampling.stop=[]", "dpo.min_margin=0")
    preview = preview_run(PreviewRequest(run_file, 2, cut))
    assert preview.as_json()["dpo"] == {"pairs": 2, "near_tie": 0, "cut": 2, "both": 0, "usable": 0}
    print_preview(preview)
    shown = " ".join(capsys.readouterr().out.split())
    assert "DPO can train on 0 of 2 pairs: not on 2 with a chosen answer that is cut off" in shown
    assert "raise compare.sampling.max_new_tokens (now 3)" in shown
    assert "dpo" not in preview_run(PreviewRequest(run_file, 2, (*cut, "train=[]"))).as_json()
    estimate = estimate_run(EstimateRequest(run_file, cut))
    found = estimate.as_json()
    assert found["previewed_pairs"]["usable"] == 0
    (dpo,) = (row for row in found["training"] if row["method"] == "dpo")
    assert (dpo["examples"], dpo["steps"], dpo["tokens"]) == (0, 0, 0)
    print_estimate(estimate)
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "in the last preview of these settings: DPO can train on 0 of 2 pairs: not on 2 with a chosen" in told
    )
    assert CUT_FOR_DPO not in told
    other = estimate_run(EstimateRequest(run_file, cut[1:])).as_json()
    assert "previewed_pairs" not in other
    assert next(row for row in other["training"] if row["method"] == "dpo")["examples"] > 0
