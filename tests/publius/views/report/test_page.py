"""The page: complete in one file, nothing that runs or loads, and everything that an evaluation holds."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import MissingExtraError, RunStateError
from publius.views.report.figures import FigureBook
from publius.views.report.page import json_block
from publius.views.report.plots import style
from publius.views.report.reading.logs import MAX_POINTS, Curve, read_training, thinned
from publius.views.report.reading.sources import labels_of
from publius.views.report.writing import ReportRequest, write_report
from tests.publius.invoking import here
from tests.publius.test_cli import REPOSITORY
from tests.publius.views.report.projects import ReadPage, page_of

HOSTILE = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{7*7}}\u2028\u202e]]>"
_LOADING = {"src", "srcset", "action", "poster", "background", "formaction", "xlink:href"}


def changed(run: Path, to: Path, file: str, change: Any) -> Path:
    """Return a copy of a run with one of its files changed."""
    shutil.copytree(run, to)
    path = to / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(change(path.read_text() if path.exists() else ""))
    return to


def test_page_names_no_address_and_has_no_inline_style_or_handler(
    recorded_page: ReadPage, wordings_page: ReadPage
):
    for page in (recorded_page, wordings_page):
        for element, attribute, value in page.attributes:
            assert attribute not in _LOADING, (element, attribute)
            assert attribute != "style", element
            assert not attribute.startswith("on"), (element, attribute)
            if attribute == "href":
                assert value.startswith("#"), value
        outside = re.sub(r'<script type="application/json".*?</script>', "", page.text, flags=re.DOTALL)
        assert set(re.findall(r"https?://[^\"'\s<]+", outside)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"@import|url\((?!#)", outside)
        assert len(page.text.encode()) < 2_000_000


def test_policy_allows_the_pages_own_style_and_script_alone(recorded_page: ReadPage):
    (policy,) = (
        v for e, a, v in recorded_page.attributes if (e, a) == ("meta", "content") and "default-src" in v
    )
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == parts["base-uri"] == parts["form-action"] == "'none'"
    for element in ("style", "script"):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", recorded_page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert parts[f"{element}-src"] == f"'sha256-{digest}'"


def test_captions_of_curves_explain_first_zeros_and_name_no_line_that_is_not_drawn(recorded_page: ReadPage):
    text = " ".join(" ".join(recorded_page.prose).split())
    assert "so all pairs are ties and the share is 0" in text
    assert "thick line" not in text  # no log has as many steps as running means are drawn from


@pytest.mark.usefixtures("no_plots")
def test_a_run_without_an_evaluation_says_what_was_collected_and_who_decided(
    recorded_run: Path, tmp_path: Path
):
    run = tmp_path / "unmeasured"
    shutil.copytree(recorded_run, run)
    shutil.rmtree(run / "eval")
    page = page_of([run], tmp_path / "report.html")
    said = " ".join("".join(page.prose).split())
    first = [name for name, _, _ in page.shown][:2]
    assert first == ["unmeasured.labels.preferences", "unmeasured.labels.judgments.ai"]
    assert "preferences were collected" in said
    assert "judgments by the AI labeler" in said
    assert "Of the machine checks' judgments, prefer an answer." in said
    assert "judgments of people (" in said


def test_json_block_cannot_be_ended_and_reads_back():
    block = str(json_block({"text": HOSTILE}))
    assert not re.search("[<>&\u2028]", block)
    assert json.loads(block) == {"text": HOSTILE}


@pytest.mark.usefixtures("no_plots")
def test_hostile_text_of_a_run_stays_text(recorded_run: Path, tmp_path: Path):
    hostile = json.dumps(HOSTILE)[1:-1]

    def answers(lines: str) -> str:
        return re.sub(
            r'("generation":\{"schema_version":1,)"text":"[^"]*"',
            rf'\1"text":"{hostile}"'.replace("\\u", "\\\\u"),
            lines,
        )

    def training(text: str) -> str:
        return json.dumps(json.loads(text) | {"warnings": [HOSTILE]})

    run = changed(recorded_run, tmp_path / "first", "answers.jsonl", answers)
    run = changed(run, tmp_path / "second", "sft/training.json", training)
    page = page_of([run], tmp_path / "report.html")
    assert HOSTILE in page.blocks["data"]["texts"]
    assert sum(element == "img" for element, _, _ in page.attributes) == 0
    assert page.text.count("<script") == 3
    assert any("window.ran = 1" in text for text in page.prose)


@pytest.mark.usefixtures("no_plots")
def test_unknown_measures_and_files_of_an_evaluation_are_shown(recorded_run: Path, tmp_path: Path):
    def metrics(text: str) -> str:
        content = json.loads(text)
        content["metrics"] += [
            {
                "name": f"{variant}.refusal.over",
                "value": value,
                "n": 250,
                "low": 0.1,
                "high": 0.3,
                "unit": "share",
            }
            for variant, value in (("base", 0.2), ("ppo", 0.25))
        ]
        content["metrics"].append(
            {"name": "ppo.refusal.over.delta", "value": 0.05, "n": 250, "unit": "share", "newer": 1}
        )
        content["ranking"] = [{"name": "ppo", "strength": 1.25}, {"name": "base", "strength": -0.5}]
        return json.dumps(content)

    gates = {"passed": False, "gates": {"words.ratio": {"value": 1.4, "low": 1.2, "high": 1.6, "n": 2}}}
    run = changed(recorded_run, tmp_path / "first", "eval/metrics.json", metrics)
    run = changed(run, tmp_path / "second", "eval/gates.json", lambda _: json.dumps(gates))
    page = page_of([run], tmp_path / "report.html")
    shown = {name.removeprefix("second."): text for name, _, text in page.shown}
    assert shown["eval.ppo.refusal.over"] == "25.0 %"
    assert shown["eval.ppo.refusal.over.delta"] in ("+5.0", "+5.0 points")
    assert shown["eval.ranking.0.ppo.strength"] == "1.250"
    assert page.figures["second.eval.gates.gates.words.ratio"]["high"] == 1.6
    assert {"refusal.over", "ranking", "gates.json: gates", "strength"} <= {
        text.strip() for text in page.prose
    }


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(
    ("training", "is_given", "said"),
    [
        (["dpo"], False, "the labeler is the model that is trained: it labels its own answers"),
        ([], False, "the labeler is the model that answers: it labels its own answers"),
        ([], True, ""),
    ],
)
def test_a_labeler_of_its_own_answers_is_an_alarm_where_it_gives_any(
    recorded_run: Path, tmp_path: Path, training: list[str], is_given: bool, said: str
):
    def manifest(text: str) -> str:
        held = json.loads(text)
        held["models"]["labeler"] = held["models"]["policy"]
        held["identity"]["configuration"]["train"] = training
        if is_given:
            held["identity"]["models"].pop("policy", None)
            held["prompts"] = {"rows": 2}
        return json.dumps(held)

    run = changed(recorded_run, tmp_path / "run", "manifest.json", manifest)
    page = page_of([run], tmp_path / "report.html")
    found = [text for text in (" ".join(part.split()) for part in page.prose) if "its own answers" in text]
    assert found == ([said] if said else [])


@pytest.mark.usefixtures("no_plots")
def test_gates_are_shown_with_their_outcomes_and_are_alarms(recorded_run: Path, tmp_path: Path):
    def gate(name: str, outcome: str, **more: Any) -> dict[str, Any]:
        fields = {"gate": name, "limit": ">= 0.8", "outcome": outcome, "level": "error", "value": 0.75}
        return {
            **fields,
            "low": 0.5,
            "high": 1.0,
            "n": 2,
            "unit": "share",
            "blocks": outcome == "fail",
            **more,
        }

    def metrics(text: str) -> str:
        gates = [
            gate("base.compliance", "fail"),
            gate("dpo.compliance", "inconclusive", more_prompts=61, is_default=True),
            gate("ppo.compliance", "pass"),
        ]
        return json.dumps({**json.loads(text), "gates": gates, "gates_not_checked": ["ppo.speed: unknown"]})

    run = changed(recorded_run, tmp_path / "run", "eval/metrics.json", metrics)
    page = page_of([run], tmp_path / "report.html")
    prose = " ".join(" ".join(text.split()) for text in page.prose)
    assert "base.compliance is , the limit >= 0.8: it fails, and the run is not exported" in prose
    assert "not checked: ppo.speed: unknown" in prose
    shown = {name: text for name, _, text in page.shown}
    assert shown["run.eval.gates.dpo.compliance.more_prompts"] == "61"
    for variant in ("base", "dpo"):
        assert page.figures[f"run.eval.gates.{variant}.compliance"]["value"] == 0.75
        assert page.figures[f"run.eval.{variant}.compliance"]["value"] == 0.75


@pytest.mark.usefixtures("no_plots")
def test_calibration_by_the_gold_labels_of_an_audit_is_shown_and_an_alarm(recorded_run: Path, tmp_path: Path):
    bins = [
        {"predicted": 0.6, "label": 0.5, "n": 30, "share": 0.5, "noise": 0.01},
        {"predicted": 0.9, "label": 0.6, "n": 30, "share": 0.5, "noise": 0.03},
    ]

    def manifest(text: str) -> str:
        return json.dumps(json.loads(text) | {"audit": {"reliability": bins, "problems": []}})

    page = page_of(
        [changed(recorded_run, tmp_path / "run", "manifest.json", manifest)], tmp_path / "report.html"
    )
    prefix = "run.labels.calibration.gold"
    assert page.figures[f"{prefix}.ece"]["value"] == pytest.approx(0.2)
    assert page.figures[f"{prefix}.ece_by_chance"]["value"] == pytest.approx(0.02 * math.sqrt(2 / math.pi))
    assert page.series[f"{prefix}.label"] == [0.5, 0.6]
    prose = " ".join(" ".join(page.prose).split())
    assert "probabilities are off by on average, by the gold labels of its audit" in prose


@pytest.mark.usefixtures("no_plots")
def test_lines_are_those_of_the_users_file_unless_it_was_edited(recorded_run: Path, tmp_path: Path):
    project = tmp_path / "project"
    shutil.copytree(recorded_run.parents[1], project)
    run = project / "runs" / recorded_run.name
    file = project / "constitution.yaml"

    def line() -> str:
        page = page_of([run], tmp_path / "report.html")
        return next(text for text in page.prose if re.fullmatch(r"constitution\.yaml:\d+", text))

    file.write_text("# one more line\n" + file.read_text())  # the constitution is the same
    moved = line()
    file.write_text(file.read_text().replace("kind to", "kind, and to"))
    copy = line()
    lines = {name: int(text.partition(":")[2]) for name, text in (("moved", moved), ("copy", copy))}
    assert "kind" in file.read_text().splitlines()[lines["moved"] - 1]
    assert "kind" in (run / "constitution.yaml").read_text().splitlines()[lines["copy"] - 1]


def test_folder_of_a_training_is_a_report_of_its_own(recorded_run: Path, tmp_path: Path):
    page = page_of([recorded_run / "ppo", recorded_run / "reward"], tmp_path / "report.html")
    assert page.figures["reward.accuracy"]["value"] == pytest.approx(2 / 3)
    assert page.series["ppo.objective/kl"]
    assert "longer answers score higher (correlation 0.94)" in {text.strip() for text in page.prose}


def test_torn_log_of_an_unfinished_training_is_read_and_counted(recorded_run: Path, tmp_path: Path):
    folder = tmp_path / "dpo"
    shutil.copytree(recorded_run / "dpo", folder)
    (folder / "training.json").unlink()
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 9, "loss": NaN}\n{"step": 10, "los')
    log_of = read_training("dpo", "dpo", folder, FigureBook())
    assert not log_of.is_finished
    assert log_of.unreadable == 1
    assert max(log_of.curves[0].steps) < 9


def test_long_curve_is_thinned_by_means():
    count = 10 * MAX_POINTS
    curve = thinned(Curve("loss", tuple(map(float, range(count))), tuple(float(n % 2) for n in range(count))))
    assert len(curve.values) == MAX_POINTS
    assert set(curve.values) == {0.5}


@pytest.mark.usefixtures("no_plots")
def test_limit_of_prompts_is_counted_on_the_page(wordings: list[Path], tmp_path: Path):
    page = page_of(wordings[:1], tmp_path / "report.html", prompts=3)
    assert page.figures["prompts.answer"]["value"] == 16
    assert page.figures["prompts.answer.shown"]["value"] == 3
    shown = [p["id"] for p in page.blocks["data"]["prompts"] if "answer" in p["kinds"]]
    assert len(shown) == 3


def test_without_matplotlib_the_page_says_what_to_install(
    recorded_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(
            f"the package '{module}' is not installed", run="pip install 'publius[report]'"
        )

    monkeypatch.setattr(style, "require", missing)
    page = page_of([recorded_run], tmp_path / "report.html")
    assert "pip install 'publius[report]'" in {text.strip() for text in page.prose}
    assert not [value for _, attribute, value in page.attributes if attribute == "class" and value == "plot"]
    assert len(page.shown) > 200


def test_runs_are_grouped_by_everything_but_their_seed(wordings: list[Path], wordings_page: ReadPage):
    keys = wordings_page.blocks["data"]["keys"]
    assert keys == dict(zip([folder.name for folder in wordings], ("A1", "A2", "B1", "B2"), strict=True))
    prose = [text.strip() for text in wordings_page.prose]
    assert "short and" in prose
    assert wordings_page.blocks["data"]["pair"] == [
        [wordings[0].name, "prompted"],
        [wordings[2].name, "prompted"],
    ]


@pytest.mark.usefixtures("no_plots")
def test_file_that_is_not_a_report_is_not_replaced(recorded_run: Path, tmp_path: Path):
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>")
    with pytest.raises(RunStateError, match="the file exists and is not a report"):
        write_report(ReportRequest((recorded_run,), mine))
    assert mine.read_text() == "<p>mine</p>"
    fresh = tmp_path / "new" / "report.html"
    first = write_report(ReportRequest((recorded_run,), fresh))
    assert write_report(ReportRequest((recorded_run,), fresh)).size_bytes == first.size_bytes


@pytest.mark.usefixtures("no_plots")
def test_command_writes_into_the_run_folder_and_prints_the_path(wordings: list[Path]):
    done = here("report", wordings[0])
    assert done.returncode == 0, done.stderr
    assert str(wordings[0] / "report.html") in done.stdout
    listed = json.loads(here("report", wordings[0], "--json").stdout)
    assert listed["figures"]
    assert listed["size_bytes"] == (wordings[0] / "report.html").stat().st_size


@pytest.mark.parametrize("times", [1, 2])
def test_folder_that_is_no_run_or_is_given_twice_is_one_line(times: int, recorded_run: Path, tmp_path: Path):
    done = here("report", *[tmp_path if times == 1 else recorded_run] * times)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert (
        "neither a run folder nor a training folder" if times == 1 else "the folder is given twice"
    ) in line


def test_folders_of_one_name_are_told_apart(tmp_path: Path):
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    assert labels_of(folders) == ["a/run", "b/run"]


def test_colours_are_those_of_the_annotation_page():
    def tokens(path: str, theme: str) -> dict[str, str]:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        (block,) = re.findall(rf"^{re.escape(theme)} \{{(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
        return dict(re.findall(r"(--[\w-]+): (#\w+)", block))

    for theme in (":root", ':root[data-theme="dark"]'):
        own = tokens("publius/views/report/static/report.css", theme)
        assert own.items() >= tokens("labelers/page/static/page.css", theme).items()
    text = (REPOSITORY / "publius/views/report/static/report.css").read_text(encoding="utf-8")
    (system,) = re.findall(r"prefers-color-scheme: dark\) \{\n  :root.*?\{(.*?)\n  \}", text, re.DOTALL)
    assert dict(re.findall(r"(--[\w-]+): (#\w+)", system)) == tokens(
        "publius/views/report/static/report.css", ':root[data-theme="dark"]'
    )
