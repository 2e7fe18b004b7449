"""Who won, in the names of the file: at the import, in agreement, of a run, in its report and on a page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.publius.invoking import here
from tests.publius.test_cli import mistakes

COLUMNS = (
    "prompt=Question,response_a=Reply old bot,response_b=Reply new bot,"
    "rating_a=Stars old (1-5),rating_b=Stars new (1-5),annotator=Reviewer"
)
RULES = """\
name: house
principles:
  - {id: no-unfortunately, text: No such word., check: {kind: contains_none, value: [unfortunately]}}
  - {id: short, text: At most 40 words., check: {kind: max_words, value: 40}}
"""
WON = "Reply new bot preferred in 12, Reply old bot in 1, 1 tie"


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """A table as a spreadsheet of a country with decimal commas writes it; its first rating is empty."""
    lines = ["No;Question;Reply old bot;Stars old (1-5);Reply new bot;Stars new (1-5);Reviewer"]
    lines.append("0;Is anybody there today?;Unfortunately nobody at all.;2;Yes, until six o'clock.;;Marta")
    for number in range(7):
        texts = f"{number};May I pay bill {number} in cash?;Unfortunately not the bill {number}."
        for who in ("Marta", "Piet"):
            old, new = ("5", "2,5") if (number, who) == (3, "Piet") else ("3", "4")
            old = "4" if (number, who) == (5, "Piet") else old
            lines.append(f"{texts};{old};You may pay bill {number} at the desk.;{new};{who}")
    path = tmp_path / "bot review.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    (tmp_path / "rules.yaml").write_text(RULES)
    return path


@pytest.fixture
def people(review: Path) -> Path:
    to = review.parent / "people"
    done = here("import", "labels", review, "--to", to, "--columns", COLUMNS)
    assert done.returncode == 0, done.stderr
    assert f"verdicts    {WON}" in done.stdout
    assert "decimal commas in rating_b (row 9)" in done.stdout
    return to


def test_agreement_says_who_won(people: Path):
    text = here("agreement", people).stdout
    assert "Who won, by all votes of people" in text
    assert WON in text
    assert "response_a" not in text
    found = json.loads(here("agreement", people, "--json").stdout)["who_won"]
    assert found["in_words"] == WON
    new = found["answers"][0]
    assert (new["name"], new["preferred"], new["votes"]) == ("Reply new bot", 12, 14)
    assert new["share"]["low"] < new["share"]["value"] == 12.5 / 14 < new["share"]["high"]
    by = found["by_annotator"]["bot-review/piet"]
    assert by == {"Reply new bot": 5, "Reply old bot": 1, "tie": 1}


def test_a_second_import_and_one_without_names_say_no_a_and_b(review: Path, people: Path):
    again = here("import", "labels", review, "--to", people, "--columns", COLUMNS).stdout
    assert "already holds this import" in again
    assert WON in again
    plain = review.parent / "plain.jsonl"
    rows = [
        {"prompt": f"Q{n}?", "response_a": f"One {n}.", "response_b": f"Two {n}.", "verdict": "b"}
        for n in range(8)
    ]
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = here("import", "labels", plain, "--to", review.parent / "plain")
    assert "the file's second answer preferred in 8, the file's first answer in 0, 0 ties" in done.stdout


def test_gold_has_the_answers_in_the_order_of_the_file(people: Path):
    to = people.parent / "gold.csv"
    here("agreement", people, "--to", to)
    with to.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["origin_a"], row["origin_b"]) for row in rows} == {("Reply old bot", "Reply new bot")}


def test_a_thousand_is_not_one(review: Path):
    text = review.read_text(encoding="utf-8-sig").replace(";2,5;", ";1,000;")
    review.write_text(text)
    done = here("import", "labels", review, "--to", review.parent / "d", "--columns", COLUMNS, "--json")
    (reason, *_) = [one for one in json.loads(done.stdout)["dropped_for"] if "thousands" in one["reason"]]
    assert reason["reason"] == "rating_b may be in thousands or have a decimal comma"
    assert reason["rows"] == [9]


def test_advice_leads_to_the_end(review: Path):
    rules = review.parent / "rules.yaml"
    (line,) = mistakes(here("agreement", review, "--constitution", rules))
    assert f"--to DIR --columns '{COLUMNS}'; then publius label --pairs DIR" in line
    assert "--set label.principles=0; then publius agreement DIR RUN" in line
    (line,) = mistakes(here("import", "labels", review, "--to", review.parent / "d"))
    assert line.endswith(f"; or --columns '{COLUMNS}'")
    (line,) = mistakes(here("agreement", review.parent, "--constitution", rules))
    assert "publius label RUN.yaml --pairs FOLDER --set label.principles=0" in line


def test_run_report_and_page_begin_with_who_won(people: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(people.parent)
    options = ("--constitution", "rules.yaml", "--set", "label.principles=0")
    done = here("label", "--pairs", people, *options, "--set", f"label.humans=[{people}]")
    assert done.returncode == 0, done.stderr
    (run,) = (people.parent / "runs").iterdir()
    shown = here("show", run).stdout
    assert WON in shown
    assert "Reply new bot over Reply old bot" in shown
    assert json.loads(here("show", run, "--json").stdout)["who_won"]["in_words"] == WON
    report = people.parent / "report.html"
    assert here("report", run, "--to", report).returncode == 0
    html = report.read_text()
    assert html.index("People preferred Reply new bot in ") < html.index("preferences were collected")
    page = people.parent / "page.md"
    assert here("agreement", people, run, "--to", page).returncode == 0
    text = page.read_text()
    assert f"**{WON}.**" in text
    assert "People agree with each other in 71% of 7 cases" in text
    assert "| No such word. | 7 of 7 |" in text
    assert (
        text.index("## Who won") < text.index("## How far people agree") < text.index("## People and rules")
    )
    here("agreement", people, run, "--to", people.parent / "page.html")
    assert "<h2>People and rules</h2>" in (people.parent / "page.html").read_text()
    (line,) = mistakes(here("agreement", people, "--to", page))
    assert "path already exists" in line
    anna = json.loads(here("agreement", people, "--json").stdout)["annotators"][0]["annotator"].partition(
        "/"
    )[2]
    said = here("agreement", people, "--without", anna, "--to", people.parent / "fewer.md").stderr
    assert f"votes of {anna}" in (people.parent / "fewer.md").read_text()
    assert "and the rules" not in said
