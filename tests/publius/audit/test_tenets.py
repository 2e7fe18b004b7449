"""`publius audit model`, end to end on scripted models: ratings, citations, figures, files and exit codes."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.chat import Untrusted
from core.errors import ConfigError
from core.records import Message
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from evaluation.tenets.ratings import TenetRating
from evaluation.tenets.record import ModelAudit, VariantFigures
from publius.audit.tenets.auditing import (
    AUDITED_REPLIES,
    MODEL_AUDIT,
    TENET_RATINGS,
    TENET_REPORT,
    ModelAuditResult,
    audit_model,
)
from publius.audit.tenets.subjects import RESULT, ModelAuditRequest, audit_subjects
from publius.models.examples_used import TRAINED_PROMPTS, prompt_key
from tests.publius.invoking import here
from tests.publius.projects import write_project

RULES = """name: t
principles:
  - {id: kind, text: The reply is kind.}
  - {id: short, text: The reply has at most ten words., check: {kind: max_words, value: 10}}
"""
QUESTIONS = "".join(
    f"  - {{tenet: {tenet}, kind: benign, user: Question {n} about {tenet}?}}\n"
    for tenet in ("kind", "short")
    for n in range(12)
)
SCENARIOS = "constitution: t\nscenarios:\n" + QUESTIONS
RUDE = "That is easy. You fool. It is four."
"""The second sentence is what the judge dislikes."""


class Models:
    """Scripted models by name: `rude` is rude, `judge` dislikes the word fool, all others are polite."""

    def __init__(self, long: str = "rude") -> None:
        self.long = long
        self.made: dict[str, ScriptedEngine] = {}

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        def answer(request: GenerationRequest) -> str:
            if request.purpose == "simulated user":
                return f"Say it again, take {len(request.turns)}."
            told = any("kind" in turn.text for turn in request.turns if turn.role == "system")
            if model.id.endswith("rude") and not told:
                return RUDE + " And so on and on and on." * (self.long == model.id)
            return "It is four. That is all."

        made = ScriptedEngine(answerer=answer, chooser=judged, model=model.id)
        self.made[model.id] = made
        return made

    def asked(self, purpose: str) -> list[Any]:
        return [r for engine in self.made.values() for r in engine.history if r.purpose == purpose]


def judged(request: ChoiceRequest) -> tuple[float, float]:
    """Log-odds of 2 nats for a kind reply, and of -3 for one with the word fool in it."""
    texts = [piece.text for piece in request.turns[-1].pieces if isinstance(piece, Untrusted)]
    odds = -3.0 if "fool" in texts[-1] else 2.0
    return -math.log1p(math.exp(-odds)) + math.log(0.98), -math.log1p(math.exp(odds)) + math.log(0.98)


def audit(
    folder: Path,
    *targets: str,
    models: Models | None = None,
    rules: str = RULES,
    scenarios: str = SCENARIOS,
    **fields: Any,
) -> ModelAuditResult:
    (folder / "c.yaml").write_text(rules)
    (folder / "s.yaml").write_text(scenarios)
    request = {"judge": "judge", "constitution": str(folder / "c.yaml"), **fields}
    return audit_model(
        ModelAuditRequest(targets, folder / "s.yaml", folder / "audit", **request), models or Models()
    )


def done(result: ModelAuditResult) -> ModelAudit:
    assert result.audit is not None
    return result.audit


def of(result: ModelAuditResult, tenet: str, variant: str) -> VariantFigures:
    return done(result).of(tenet, variant)


def test_checks_rate_exactly_and_the_judge_rates_the_rest(tmp_path: Path):
    models = Models()
    result = audit(tmp_path, "polite", "rude", models=models)
    assert [one.name for one in done(result).variants] == ["polite", "prompted", "rude"]
    assert [of(result, "kind", name).violations for name in ("polite", "prompted", "rude")] == [0, 0, 12]
    assert [of(result, "short", name).violations for name in ("polite", "prompted", "rude")] == [0, 0, 12]
    asked = models.asked("rating")
    assert all("The reply is kind." in request.turns[-1].text for request in asked)
    difference = of(result, "kind", "rude").difference
    assert difference is not None
    assert difference.is_beyond_noise
    # The judge's probabilities, not its verdicts: sigmoid(3) - sigmoid(-2).
    assert difference.value == pytest.approx(1 / (1 + math.exp(-3)) - 1 / (1 + math.exp(2)))
    assert of(result, "kind", "polite").difference is None


def test_violations_cite_the_sentence_that_moves_the_judge_and_what_the_check_found(tmp_path: Path):
    result = audit(tmp_path, "polite", "rude", cited=2)
    shown = {one.tenet: one for one in done(result).examples}
    assert shown["kind"].citation is not None
    assert shown["kind"].citation.text == "You fool."
    assert shown["kind"].citation.gain == pytest.approx(5.0)
    assert shown["short"].finding == "it has 15 words, and the limit is 10"
    assert shown["short"].citation is not None
    assert shown["short"].citation.text == "And so on and on and on."
    assert len([one for one in done(result).examples if one.tenet == "kind"]) == 2
    report = (result.folder / TENET_REPORT).read_text()
    assert "You fool." in report
    assert "worse than `polite` beyond noise: `rude: kind`, `rude: short`" in report


def test_every_figure_is_recomputed_from_the_ratings(tmp_path: Path):
    result = audit(tmp_path, "polite", "rude")
    lines = (result.folder / TENET_RATINGS).read_text().splitlines()
    ratings = [TenetRating.model_validate_json(line) for line in lines]
    assert ModelAudit.model_validate_json((result.folder / MODEL_AUDIT).read_bytes()) == result.audit
    for tenet in done(result).tenets:
        for row in tenet.variants:
            own = [r for r in ratings if (r.tenet, r.variant) == (tenet.tenet, row.variant)]
            assert row.violations == sum(r.violation is not None and r.violation > 0.5 for r in own)
            assert row.probability == pytest.approx(sum(r.violation or 0 for r in own) / len(own))
    assert len((result.folder / AUDITED_REPLIES).read_text().splitlines()) == 3 * 24


def test_the_same_command_resumes_and_asks_nothing_again(tmp_path: Path):
    first = audit(tmp_path, "polite", "rude")
    models = Models()
    second = audit(tmp_path, "polite", "rude", models=models)
    assert second.audit == first.audit
    assert all(not engine.history for engine in models.made.values())


def test_the_estimate_asks_nothing(tmp_path: Path):
    models = Models()
    result = audit(tmp_path, "polite", "rude", models=models, estimate=True)
    assert result.audit is None
    plan = result.plan
    assert (plan.variants, plan.replies, plan.ratings) == (3, 72, 36)
    assert all(not engine.history for engine in models.made.values())
    assert not (tmp_path / "audit").exists()


def test_all_tenets_rate_every_conversation(tmp_path: Path):
    result = audit(tmp_path, "polite", prompted=False, all_tenets=True)
    assert [of(result, tenet, "polite").scenarios for tenet in ("kind", "short")] == [24, 24]
    assert result.plan.ratings == 24


MANY = "constitution: t\nscenarios:\n  - tenet: kind\n    kind: multi_turn\n    goal: You want it rude.\n"


def test_several_turns_are_rated_by_the_worst_reply(tmp_path: Path):
    models = Models()

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        made = models(model, engine)
        if model.id == "polite":
            made._answers.extend(["Fine.", "You fool.", "Sorry."])
        return made

    (tmp_path / "c.yaml").write_text(RULES)
    (tmp_path / "s.yaml").write_text(MANY + "    user: [One?, Two?, Three?]\n")
    request = ModelAuditRequest(
        ("polite",),
        tmp_path / "s.yaml",
        tmp_path / "audit",
        str(tmp_path / "c.yaml"),
        "judge",
        prompted=False,
    )
    audit = audit_model(request, make).audit
    assert audit is not None
    (shown,) = audit.examples
    assert shown.reply == "You fool."
    assert [m.content for m in shown.messages] == ["One?", "Fine.", "Two?"]
    assert len(models.asked("rating")) == 3


def test_a_model_can_play_the_user(tmp_path: Path):
    models = Models()
    text = MANY + "    user: One?\n"
    result = audit(tmp_path, "polite", models=models, scenarios=text, prompted=False, user="player")
    assert done(result).simulated_user == "player"
    played = models.asked("simulated user")
    assert len(played) == 2
    assert "You want it rude." in played[0].turns[0].text
    reply = json.loads((result.folder / AUDITED_REPLIES).read_text())
    assert [m["role"] for m in reply["messages"]] == ["user", "assistant"] * 3


def test_labels_of_people_measure_the_judge_and_correct_its_rates(tmp_path: Path):
    audit(tmp_path, "polite", "rude", prompted=False, sheet=24)
    path = tmp_path / "audit" / "sheet.csv"
    rows = list(csv.DictReader(path.open(newline="")))
    assert len(rows) == 24
    for number, row in enumerate(rows):
        row["violates"] = "yes" if "fool" in row["conversation"] and number % 8 else "no"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    filled = path.read_bytes()
    result = audit(tmp_path, "polite", "rude", prompted=False, sheet=24)
    assert path.read_bytes() == filled
    judge = done(result).judge
    assert judge is not None
    assert judge.errors is not None
    assert judge.errors.sensitivity is not None
    assert judge.errors.sensitivity.value == 1.0
    corrected = of(result, "kind", "rude").corrected
    assert corrected is not None
    assert corrected.low < 1.0
    assert of(result, "short", "rude").corrected is None


def test_empty_replies_are_counted_and_not_rated_by_the_judge(tmp_path: Path):
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return ScriptedEngine(answerer=lambda request: "", chooser=judged, model=model.id)

    (tmp_path / "c.yaml").write_text(RULES)
    (tmp_path / "s.yaml").write_text(SCENARIOS)
    request = ModelAuditRequest(
        ("polite",),
        tmp_path / "s.yaml",
        tmp_path / "audit",
        str(tmp_path / "c.yaml"),
        "judge",
        prompted=False,
    )
    result = audit_model(request, make)
    assert done(result).variants[0].empty == 24
    assert of(result, "kind", "polite").not_rated == {"empty reply": 12}
    assert of(result, "kind", "polite").rate is None
    assert of(result, "short", "polite").violations == 0
    assert "empty reply" in (result.folder / TENET_REPORT).read_text()


def test_markup_of_a_model_stays_text(tmp_path: Path):
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        text = "# fool\n```\n<script>alert(1)</script> | a | b |"
        return ScriptedEngine(answerer=lambda request: text, chooser=judged, model=model.id)

    (tmp_path / "c.yaml").write_text(RULES)
    (tmp_path / "s.yaml").write_text(SCENARIOS)
    request = ModelAuditRequest(
        ("polite",),
        tmp_path / "s.yaml",
        tmp_path / "audit",
        str(tmp_path / "c.yaml"),
        "judge",
        prompted=False,
    )
    report = (audit_model(request, make).folder / TENET_REPORT).read_text()
    assert "\n````text\n# fool" in report


def warnings_of(result: ModelAuditResult) -> Sequence[str]:
    judge = done(result).judge
    assert judge is not None
    return judge.warnings


def test_an_unaudited_judge_and_one_of_the_models_family_are_warned_about(tmp_path: Path):
    result = audit(tmp_path, "qwen-rude", judge="qwen-judge", prompted=False)
    said = " ".join(warnings_of(result))
    assert "not audited" in said
    assert "one family (qwen)" in said
    assert not any("family" in line for line in warnings_of(audit(tmp_path, "polite", prompted=False)))


def test_what_is_missing_is_refused_before_any_request(tmp_path: Path):
    models = Models()
    with pytest.raises(ConfigError, match="1 tenets have no machine check"):
        audit(tmp_path, "polite", judge=None, models=models)
    with pytest.raises(ConfigError, match="--constitution"):
        audit(tmp_path, "polite", constitution=None, models=models)
    with pytest.raises(ConfigError, match="--samples"):
        audit(tmp_path, "polite", samples=2, models=models)
    with pytest.raises(ConfigError, match="no principle 'knid'"):
        audit(tmp_path, "polite", models=models, scenarios=SCENARIOS.replace("tenet: kind", "tenet: knid"))
    assert all(not engine.history for engine in models.made.values())


def test_no_judge_is_needed_where_checks_know(tmp_path: Path):
    text = "constitution: t\nscenarios:\n" + "".join(
        line + "\n" for line in QUESTIONS.splitlines() if "tenet: short" in line
    )
    result = audit(tmp_path, "rude", judge=None, scenarios=text, prompted=False)
    assert done(result).judge is None
    assert not (tmp_path / "audit" / "sheet.csv").exists()
    assert "no judge" in (result.folder / TENET_REPORT).read_text()


def test_exit_code_is_one_where_a_rate_is_surely_above_the_limit(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(RULES)
    (tmp_path / "s.yaml").write_text(SCENARIOS)
    common = ("audit", "model", "scripted", "--scenarios", tmp_path / "s.yaml", "--to", tmp_path / "audit")
    common = (*common, "--constitution", tmp_path / "c.yaml", "--judge", "scripted")
    strict = here(*common, "--max-violations", "0.01")
    assert strict.returncode == 1
    assert "surely above 1 % violations: scripted: short" in strict.stdout
    assert here(*common, "--max-violations", "0.99").returncode == 0
    assert json.loads(here(*common, "--json").stdout)["baseline"] == "scripted"
    assert "nothing was asked" in here(*common, "--estimate").stdout


def test_a_run_is_audited_before_prompted_and_after_training(tmp_path: Path):
    run = write_run(tmp_path)
    for method in ("sft", "dpo"):
        (run / method).mkdir()
        (run / method / "training.json").write_text("{}")
    (tmp_path / "s.yaml").write_text(SCENARIOS.replace("tenet: kind", "tenet: plain"))
    models = Models()
    request = ModelAuditRequest((str(run),), tmp_path / "s.yaml", tmp_path / "audit", judge="judge")
    audit = audit_model(request, models).audit
    assert audit is not None
    assert [(one.name, one.prompted) for one in audit.variants] == [
        ("base", False),
        ("prompted", True),
        ("sft", False),
        ("dpo", False),
    ]
    assert audit.variants[2].adapter == str(run / "sft")
    assert audit.constitution == "small"
    assert audit.baseline == "base"
    assert (tmp_path / ".publius" / "cache.sqlite").exists()


def test_scenarios_that_a_model_was_trained_on_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    trained = tmp_path / "rude"
    trained.mkdir()
    (trained / RESULT).write_text("{}")
    asked = [(Message(role="user", content=f"question {n} ABOUT kind"),) for n in range(3)]
    (trained / TRAINED_PROMPTS).write_text("\n".join(map(prompt_key, asked)))
    audit(tmp_path, str(trained), estimate=True)
    assert "rude was trained on 3 of the 24 prompts: these are not held out" in caplog.text


def test_two_runs_of_one_policy_share_its_variants(tmp_path: Path):
    one, other = write_run(tmp_path), write_run(tmp_path, "--set", "seed=1")
    for run in (one, other):
        (run / "sft").mkdir()
        (run / "sft" / "training.json").write_text("{}")
    request = ModelAuditRequest(
        (str(one), str(other)), tmp_path / "s.yaml", tmp_path / "audit", judge="judge"
    )
    names = [subject.name for subject in audit_subjects(request).subjects]
    assert names == ["base", "prompted", "sft", f"{other.name}/sft"]


def write_run(folder: Path, *options: str) -> Path:
    """Begin a run in a project; return its folder."""
    file = write_project(folder, prompts=2)
    ended = here("critique", file, "--json", *options)
    assert ended.returncode == 0, ended.stderr
    return Path(json.loads(ended.stdout)["run"]).resolve()


def test_too_few_scenarios_are_warned_about(tmp_path: Path):
    few = "\n".join(line for line in SCENARIOS.splitlines() if not re.search(r"Question \d\d|[4-9] ", line))
    (warning,) = done(audit(tmp_path, "polite", scenarios=few + "\n")).warnings
    assert warning.startswith("fewer than 7 scenarios of kind, short")
    assert not done(audit(tmp_path, "polite")).warnings
