"""Pairs of answers in files of many forms become the comparisons of a run, with the user's own columns."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError, RunStateError
from core.records import Comparison, Message, Prompt
from publius.labels.sources import gold_questions
from publius.runs.dataset import OWN_COLUMNS, export_run
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import asked_models, scripted_roles
from publius.stages.label_pairs import PairsRequest, label_pairs
from publius.stages.outcome import principles_per_pair
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import files_of, here
from tests.publius.projects import CONSTITUTION, RUN, Recorder, record_lines, write_project

NAMES = {"prompt": "question", "response_a": "reply_old", "response_b": "reply_new"}
SIDES = (("chosen", "One"), ("rejected", "Two"))


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def ticket(number: int, **more: Any) -> dict[str, Any]:
    return {
        "ticket": f"T-{number}",
        "question": f"How do I reset number {number}?",
        "reply_old": f"You cannot reset number {number}, I am afraid.",
        "reply_new": f"Open Settings, then choose {number}.",
        **more,
    }


def labelled(pairs: Path, columns: dict[str, str] | None = None, *overrides: str) -> Path:
    constitution = pairs.parent / "constitution.yaml"
    constitution.write_text(CONSTITUTION)
    given = ("engine.kind=scripted", *overrides)
    request = PairsRequest(pairs, str(constitution), "m", pairs.parent, given, columns or {})
    return label_pairs(request, Recorder()).folder


def comparisons(folder: Path) -> list[Comparison]:
    found = record_lines(folder).get("comparisons.jsonl", [])
    return [Comparison.model_validate_json(line) for line in found]


def test_html_in_pairs_is_warned_of_and_read_as_text_if_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    html = {"reply_old": "<p>No,</p><p>sorry &amp; bye.</p>", "question": "How<br>now?"}
    pairs = lines(tmp_path / "two.jsonl", [ticket(0, **html), ticket(1)])
    (kept, _) = sorted(comparisons(labelled(pairs, NAMES)), key=lambda one: "now?" not in str(one.prompt))
    assert html["reply_old"] in (kept.response_a, kept.response_b)
    warned = "1 of 2 pairs has HTML (<br>, <p>, &amp;), which checks and models see as it is"
    assert warned in caplog.text
    caplog.clear()
    folder = labelled(pairs, NAMES, "prompts.html=text")
    assert "have HTML" not in caplog.text
    (read, _) = sorted(comparisons(folder), key=lambda one: "now?" not in str(one.prompt))
    assert "No,\n\nsorry & bye." in (read.response_a, read.response_b)
    assert read.prompt.messages[0].content == "How\nnow?"


def test_quoted_mail_in_pairs_is_warned_of_and_left_out_if_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    mail = {"reply_old": "No.\n\nOn 3 Nov 2026 at 10:12, Lee wrote:\n> Why?", "question": "So?\n\n-- \nLee"}
    pairs = lines(tmp_path / "two.jsonl", [ticket(0, **mail), ticket(1)])
    (kept, _) = sorted(comparisons(labelled(pairs, NAMES)), key=lambda one: "So?" not in str(one.prompt))
    assert mail["reply_old"] in (kept.response_a, kept.response_b)
    assert "1 of 2 pairs has quoted mail or a signature" in caplog.text
    assert "--set prompts.quotes=drop; keep leaves this warning out" in caplog.text
    caplog.clear()
    folder = labelled(pairs, NAMES, "prompts.quotes=drop")
    assert "quoted mail" not in caplog.text
    (read, _) = sorted(comparisons(folder), key=lambda one: "So?" not in str(one.prompt))
    assert "No." in (read.response_a, read.response_b)
    assert read.prompt.messages[0].content == "So?"


def test_pairs_that_do_not_meet_the_conditions_are_left_out_and_counted_on_the_card(tmp_path: Path):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n, consent=n % 3 > 0) for n in range(6)])
    folder = labelled(pairs, NAMES, "prompts.where={consent: true}")
    assert len(comparisons(folder)) == 4
    export_run(folder, tmp_path / "data")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "compare: 2 (left out by prompts.where consent = true)" in card
    with pytest.raises(ConfigError, match="no row has consent = maybe"):
        labelled(pairs, NAMES, "prompts.where={consent: maybe}")


def test_card_says_where_pairs_answers_and_votes_are_from(tmp_path: Path):
    same = ticket(9, reply_old="As before.", reply_new="As before.")
    models = {"origin_a": "bot-v1", "origin_b": "bot-v2"}
    pairs = lines(tmp_path / "p25.jsonl", [*(ticket(n, **models, best="b") for n in range(4)), same])
    mapped = ",".join(f"{ours}={theirs}" for ours, theirs in (NAMES | {"verdict": "best"}).items())
    done = here("import", "labels", pairs, "--to", tmp_path / "votes", "--columns", mapped)
    assert done.returncode == 0, done.stderr
    folder = labelled(pairs, NAMES, f"label.humans=[{tmp_path / 'votes'}]")
    export_run(folder, tmp_path / "data")
    card = " ".join((tmp_path / "data" / "README.md").read_text().split())
    digest = hashlib.sha256(pairs.read_bytes()).hexdigest()[:16]
    same_answers = "response_a and response_b are the same (1)"
    from_file = f"Pairs: `p25.jsonl`, digest `{digest}`, 5 rows, 4 pairs used; 1 left out: {same_answers}."
    assert from_file in unescaped(card)
    assert "Given answers, by origin: `bot-v1` (4), `bot-v2` (4)." in card
    votes = f"`p25.jsonl`, digest `{digest}`, 4 judgments; 1 dropped at the import: {same_answers}."
    assert votes in unescaped(card)


def gold_of_people(folder: Path) -> Path:
    """Votes of three people, as `publius agreement --to` writes them."""
    rows = [ticket(n, best="b" if who != "Cleo" else "a", who=who) for n in range(4) for who in PEOPLE]
    mapped = NAMES | {"verdict": "best", "annotator": "who"}
    named = ",".join(f"{ours}={theirs}" for ours, theirs in mapped.items())
    votes = lines(folder / "votes.jsonl", rows)
    for command in (
        ("import", "labels", votes, "--to", folder / "people", "--columns", named),
        ("agreement", folder / "people", "--to", folder / "gold.jsonl"),
    ):
        done = here(*command)
        assert done.returncode == 0, done.stderr
    return folder / "gold.jsonl"


PEOPLE = ("Anneliese", "Bartholomew", "Cleo")


def test_who_voted_what_in_our_own_gold_form_is_never_carried_to_a_data_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    gold = gold_of_people(tmp_path)
    assert "Anneliese" in gold.read_text()
    folder = labelled(gold)
    assert "columns carried" not in caplog.text
    export_run(folder, tmp_path / "data")
    for path in (path for path in (tmp_path / "data").rglob("*") if path.is_file()):
        assert not any(name in path.read_text() for name in PEOPLE), path
    card = (tmp_path / "data" / "README.md").read_text()
    assert "Names of annotators are not in the data set." in card
    with pytest.raises(ConfigError, match="voted holds people's votes"):
        labelled(gold, None, "prompts.keep=[voted]")
    manifest = json.loads((folder / "manifest.json").read_text())  # as an older version left it
    manifest["prompts"]["carried"] = {"id": "string", "p_a": "float64", "votes": "int64", "voted": "string"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert export_run(folder, tmp_path / "again").carried == ()


def test_the_columns_that_a_run_file_keeps_are_those_of_its_pairs_too(tmp_path: Path):
    run_file = write_project(tmp_path, 2, RUN.replace("prompts: prompts.jsonl", KEEPS))
    rows = [ticket(n, mail=f"ann{n}@example.org", annotator="Ann") for n in range(3)]
    pairs = lines(tmp_path / "pairs.jsonl", rows)
    request = PairsRequest(pairs, run_file=run_file, columns=NAMES)
    folder = label_pairs(request, Recorder()).folder
    assert list(read_manifest(folder)["prompts"]["carried"]) == ["ticket"]
    assert "example.org" not in (folder / "prompt_columns.jsonl").read_text()
    other = replace(request, overrides=("prompts.keep=[mail]",))
    assert list(read_manifest(label_pairs(other, Recorder()).folder)["prompts"]["carried"]) == ["mail"]
    run_file.write_text(RUN.replace("prompts: prompts.jsonl", KEEPS.replace("conversation", "meta.topic")))
    pairs.write_text("".join(json.dumps(row | {"meta": {"topic": "bills"}}) + "\n" for row in rows))
    carried = read_manifest(label_pairs(request, Recorder()).folder)["prompts"]["carried"]
    assert list(carried) == ["meta.topic", "ticket"]
    pairs = lines(tmp_path / "pairs.jsonl", rows)
    run_file.write_text(RUN)
    carried = read_manifest(label_pairs(request, Recorder()).folder)["prompts"]["carried"]
    assert list(carried) == ["ticket", "mail"]  # all but who judged


KEEPS = "prompts: {path: prompts.jsonl, keep: [conversation, ticket]}"


def test_texts_stay_made_up_in_a_run_that_is_resumed_without_its_manifest(tmp_path: Path):
    """Nothing is asked then, and the records say who wrote and judged."""
    run_file = write_project(tmp_path, 2)
    folder = execute(RunRequest(run_file, ("engine.kind=scripted", "train=[]"))).folder
    played = scripted_roles(folder, read_manifest(folder))
    assert set(played) == {"policy", "critic", "labeler"}
    assert asked_models(folder, read_manifest(folder)).keys() == set(played)
    (folder / MANIFEST).unlink()
    assert execute(RunRequest(run_file, ("engine.kind=scripted", "train=[]"))).folder == folder
    again = read_manifest(folder)
    assert again["stages"]["label"]["requests"]["asked"] == 0
    assert scripted_roles(folder, again) == played
    assert asked_models(folder, again).keys() == set(played)


def test_nothing_is_made_up_where_checks_alone_judge_given_pairs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    pairs = lines(tmp_path / "pairs.jsonl", [ticket(n) for n in range(4)])
    folder = labelled(pairs, NAMES, "label.principles=0")
    assert scripted_roles(folder, read_manifest(folder)) == ()
    export_run(folder, tmp_path / "data")
    shown = here("show", folder)
    assert shown.returncode == 0, shown.stderr
    card = (tmp_path / "data" / "README.md").read_text()
    assert "scripted" not in card + caplog.text + shown.stdout
    assert "Preferences between given answers" in card
    judged = labelled(pairs, NAMES)
    assert scripted_roles(judged, read_manifest(judged)) == ("labeler",)
    again = label_pairs(PairsRequest(judged, overrides=("label.principles=0",)), Recorder()).folder
    assert scripted_roles(again, read_manifest(again)) == ()


def test_models_that_wrote_and_judged_nothing_are_not_named(tmp_path: Path):
    rows = [ticket(n, bot_old="our-old-bot", bot_new="our-new-bot") for n in range(4)]
    pairs = lines(tmp_path / "pairs.jsonl", rows)
    named = NAMES | {"origin_a": "bot_old", "origin_b": "bot_new"}
    folder = labelled(pairs, named, "label.principles=0")
    assert read_manifest(folder)["models"]["policy"] == "m"
    assert asked_models(folder, read_manifest(folder)) == {}
    export_run(folder, tmp_path / "data")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "No model was asked in this run: the answers were given" in card
    assert "Models:" not in card
    assert "Check the licences" not in card
    assert "Given answers, by origin: `our-old-bot` (4), `our-new-bot` (4)." in card
    assert "no model was asked" in here("show", folder).stdout
    page = tmp_path / "page.html"
    assert here("report", folder, "--to", page).returncode == 0
    assert "Model <b>none was asked</b>" in page.read_text()
    assert "labeler model" not in page.read_text()


def test_of_given_pairs_that_a_model_judged_the_labeler_alone_is_named(tmp_path: Path):
    pairs = lines(tmp_path / "pairs.jsonl", [ticket(n) for n in range(4)])
    folder = labelled(pairs, NAMES)
    assert asked_models(folder, read_manifest(folder)) == {"labeler": "m"}
    export_run(folder, tmp_path / "data")
    assert "Models: labeler `m`." in (tmp_path / "data" / "README.md").read_text()
    page = tmp_path / "page.html"
    assert here("report", folder, "--to", page).returncode == 0
    assert "Labeler <b>m</b>" in page.read_text()


def test_of_a_run_the_roles_that_took_part_are_named(tmp_path: Path):
    settings = "compare: {from: base}\ntrain: []\n"
    run_file = write_project(tmp_path, 4, RUN.replace("rounds: 2", "rounds: 0") + settings)
    folder = execute(RunRequest(run_file), Recorder()).folder
    assert [*asked_models(folder, read_manifest(folder))] == ["policy", "labeler"]
    checked = execute(RunRequest(run_file, overrides=("label.principles=0",)), Recorder()).folder
    assert [*asked_models(checked, read_manifest(checked))] == ["policy"]
    again = label_pairs(PairsRequest(checked), Recorder()).folder
    assert "policy" in asked_models(again, read_manifest(again))


def test_only_the_roles_that_wrote_or_judged_something_are_said_to_be_scripted(tmp_path: Path):
    settings = "compare: {from: base}\ntrain: []\n"
    run_file = write_project(tmp_path, 4, RUN.replace("rounds: 2", "rounds: 0") + settings)
    folder = execute(RunRequest(run_file), Recorder()).folder
    assert scripted_roles(folder, read_manifest(folder)) == ("policy", "labeler")  # no critic: no critiques
    checked = execute(RunRequest(run_file, overrides=("label.principles=0",)), Recorder()).folder
    assert scripted_roles(checked, read_manifest(checked)) == ("policy",)
    again = label_pairs(PairsRequest(checked), Recorder()).folder
    assert scripted_roles(again, read_manifest(again)) == ("policy",)


def test_votes_that_a_hard_rule_turns_round_are_said_by_every_command(tmp_path: Path):
    refused = [ticket(n, reply_old=f"No. We refund number {n}.", best="old") for n in range(2)]
    pairs = lines(tmp_path / "two.jsonl", [*refused, ticket(2, best="new"), ticket(3, best="old")])
    mapped = ",".join(f"{ours}={theirs}" for ours, theirs in (NAMES | {"verdict": "best"}).items())
    named = ("--labeler", "Ruth", "--verdicts", "a=old,b=new", "--to", tmp_path / "votes")
    done = here("import", "labels", pairs, *named, "--columns", mapped)
    assert done.returncode == 0, done.stderr
    rules = tmp_path / "rules.yaml"
    hard = "{id: no-refund, text: No refunds., hard: true, check: {kind: contains_none, value: [refund]}}"
    rules.write_text(f"name: desk\nprinciples:\n  - {hard}\n")
    options = ("--to", tmp_path, "--set", "engine.kind=scripted", "--set", f"label.humans=[{tmp_path}/votes]")
    columns = ",".join(f"{ours}={theirs}" for ours, theirs in NAMES.items())
    shown = here("label", "--pairs", pairs, "--constitution", rules, "--columns", columns, *options)
    said = "`no-refund` is hard and chose against the votes of Ruth in 2 of 4 pairs"
    assert said in " ".join(shown.stdout.split()), shown.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert said in " ".join(here("show", folder).stdout.split())
    alarms = json.loads(here("report", folder, "--json", "--to", tmp_path / "page.html").stdout)["alarms"]
    assert any(said in alarm["text"] for alarm in alarms)
    exported = here("export", folder, "--source", "Ruth", "--to", tmp_path / "data")
    assert said in " ".join(exported.stderr.split())
    assert said.replace("`", "") in unescaped((tmp_path / "data" / "README.md").read_text()).replace("`", "")
    assert "chose against" not in here("export", folder, "--source", "check", "--to", tmp_path / "d").stderr


def unescaped(text: str) -> str:
    return text.replace("\\", "")


def test_columns_of_ones_own_are_mapped_and_the_others_are_carried_to_table_and_export(tmp_path: Path):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n, opened="2026-09-05") for n in range(6)])
    folder = labelled(pairs, NAMES)
    assert len(comparisons(folder)) == 6
    assert {c.prompt.source for c in comparisons(folder)} == {"two"}
    origins = {origin for c in comparisons(folder) for origin in (c.origin_a, c.origin_b)}
    assert origins == {"reply_old", "reply_new"}
    assert read_manifest(folder)["prompts"]["carried"] == {"ticket": "string", "opened": "string"}
    export_run(folder, tmp_path / "data")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "Preferences between given answers" in card
    assert "synthetic" not in card.casefold()
    assert "`sft`" not in card
    assert "Models: labeler `m`." in card
    for config in ("preference", "soft", "judgments"):
        paths = (tmp_path / "data" / config).glob("*.jsonl")
        rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        assert rows
        for row in rows:
            number = row["prompt"][0]["content"].removeprefix("How do I reset number ").removesuffix("?")
            assert row[OWN_COLUMNS] == {"ticket": f"T-{number}", "opened": "2026-09-05"}
    table = tmp_path / "pairs.csv"
    assert here("show", folder, "--to", table).returncode == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.DictReader(file))
    assert {row["ticket"] for row in cells} == {f"T-{n}" for n in range(6)}


def test_principles_of_some_prompts_are_counted_where_they_apply(tmp_path: Path):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n) for n in range(4)])
    folder = labelled(pairs, NAMES)
    rules = tmp_path / "constitution.yaml"
    rules.write_text(
        "name: scoped\nprinciples:\n  - The reply is kind.\n"
        "  - {text: The reply names a plan., applies_to: {pattern: 'number [01]'}}\n"
    )
    again = label_pairs(PairsRequest(folder, str(rules)), Recorder()).folder
    found = principles_per_pair(again)
    assert (found["least"], found["asked"], found["of"]) == (1, 2, 2)
    assert "least" not in principles_per_pair(folder)


def test_two_pairs_of_one_prompt_keep_their_own_columns(tmp_path: Path):
    rows = [ticket(1), ticket(1, reply_old="Ask your admin.", ticket="T-other")]
    folder = labelled(lines(tmp_path / "two.jsonl", rows), NAMES)
    own = {row["id"]: row["columns"] for row in map(json.loads, record_lines(folder)["prompt_columns.jsonl"])}
    assert {own[c.id]["ticket"] for c in comparisons(folder)} == {"T-1", "T-other"}


def test_mapped_columns_are_part_of_the_run_and_resume_it(tmp_path: Path):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n) for n in range(3)])
    folder = labelled(pairs, NAMES)
    before = record_lines(folder)
    assert labelled(pairs, NAMES) == folder
    assert record_lines(folder) == before
    swapped = NAMES | {"response_a": "reply_new", "response_b": "ticket"}
    assert labelled(pairs, swapped) != folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "prompt,response_a,response_b\nHi,One,Two\n"),
        ("a.tsv", "question\tchosen\trejected\nHi\tOne\tTwo\n"),
        ("a.json", json.dumps([{"instruction": "Hi", "chosen": "One", "rejected": "Two"}])),
        ("a.jsonl", json.dumps({"prompt": "Hi", "response_a": "One", "response_b": "Two", "verdict": "??"})),
        (
            "a.jsonl",
            json.dumps(
                {
                    "conversation_a": [
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": "One"},
                    ],
                    "conversation_b": [
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": "Two"},
                    ],
                    "model_a": "x",
                    "model_b": "y",
                    "winner": "model_a",
                }
            ),
        ),
        ("a.jsonl", json.dumps({side: f"\n\nHuman: Hi\n\nAssistant: {text}" for side, text in SIDES})),
    ],
)  # fmt: skip
def test_any_form_of_pairs_is_read(tmp_path: Path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content)
    (pair,) = comparisons(labelled(path))
    assert pair.prompt.messages == (Message(role="user", content="Hi"),)
    assert {pair.response_a, pair.response_b} == {"One", "Two"}


def test_ids_are_those_of_the_texts_as_they_are_written(tmp_path: Path):
    talk = (Message(role="user", content="x "), Message(role="assistant", content="y"))
    rows = [
        {"prompt": " Hi \n", "chosen": "  a\n", "rejected": "b  ", "tags": ["t"]},
        {
            "prompt": [m.model_dump() for m in (*talk, Message(role="user", content="z"))],
            "chosen": [{"role": "assistant", "content": " q "}],
            "rejected": [{"role": "assistant", "content": "r"}],
        },
    ]
    first = Comparison.of(Prompt.of(" Hi \n"), ("  a\n", "chosen"), ("b  ", "rejected"))
    asked = Prompt.of((*talk, Message(role="user", content="z")))
    second = Comparison.of(asked, (" q ", "chosen"), ("r", "rejected"))
    found = comparisons(labelled(lines(tmp_path / "pairs.jsonl", rows)))
    assert {c.id for c in found} == {first.id, second.id}
    assert {c.prompt.tags for c in found} == {("t",), ()}


def test_rows_that_cannot_be_used_are_excluded_with_their_place(tmp_path: Path):
    rows: list[Any] = [ticket(1), ticket(2, reply_old=" "), "{broken", ticket(1, ticket="T-9"), ticket(3)]
    folder = labelled(lines(tmp_path / "two.jsonl", rows), NAMES)
    assert len(comparisons(folder)) == 2
    excluded = list(map(json.loads, record_lines(folder)["exclusions.jsonl"]))
    details = {row["reason"]: row["detail"] for row in excluded}
    assert details["duplicate pair"] == "two.jsonl:4 (ticket T-9) repeats two.jsonl:1 (ticket T-1)"
    assert {row["record_id"] for row in excluded if row["reason"] != "duplicate pair"} == {
        "two.jsonl:2",
        "two.jsonl:3",
    }
    assert read_manifest(folder)["stages"]["compare"]["left_out"].keys() == details.keys()


def test_a_file_without_pairs_names_the_columns_that_would_read_it_and_leaves_no_folder(tmp_path: Path):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n) for n in range(3)])
    with pytest.raises(
        DataError, match="--columns prompt=question,response_a=reply_old,response_b=reply_new"
    ):
        labelled(pairs)
    with pytest.raises(ConfigError, match="no column 'reply'"):
        labelled(pairs, NAMES | {"response_a": "reply"})
    same = lines(tmp_path / "same.jsonl", [ticket(n, reply_new="x", reply_old="x") for n in range(60)])
    with pytest.raises(
        DataError, match=r"60 excluded: .*; first same\.jsonl:1: [^;]*; columns: ticket, question"
    ):
        labelled(same, NAMES)
    assert not (tmp_path / "runs").exists()


def test_answers_are_no_columns_of_prompts(tmp_path: Path):
    path = lines(tmp_path / "prompts.jsonl", [{"question": "Hi?"}])
    (tmp_path / "run.yaml").write_text(
        f"constitution: plain-and-brief\nprompts: {{path: {path.name}, columns: {{response_a: question}}}}\n"
        "models: {policy: m}\nengine: {kind: scripted}\n"
    )
    done = here("run", tmp_path / "run.yaml")
    assert done.returncode == 2
    assert "prompts.columns.response_a: a column of pairs, not of prompts" in done.stderr


def test_gold_questions_take_any_form_with_one_verdict(tmp_path: Path):
    row = {"prompt": "Hi", "response_a": "One", "response_b": "Two", "verdict": "b"}
    (gold,) = gold_questions(lines(tmp_path / "gold.jsonl", [row]))
    assert gold.task.id == Comparison.of(Prompt.of("Hi"), ("One", ""), ("Two", "")).id
    pair = Comparison.of(Prompt.of("Hi"), ("One", ""), ("Two", ""))
    assert {"a": pair.response_a, "b": pair.response_b}[gold.better] == "Two"
    with pytest.raises(DataError, match=r"gold\.jsonl:1: the pair does not say which answer is better"):
        gold_questions(lines(tmp_path / "gold.jsonl", [row | {"verdict": "tie"}]))


def test_finished_pairs_are_not_imported_again(tmp_path: Path):
    folder = labelled(lines(tmp_path / "two.jsonl", [ticket(n) for n in range(3)]), NAMES)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["prompts"]  # as versions that carried no columns left it
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "prompt_columns.jsonl").unlink()
    before = files_of(folder)["comparisons.jsonl"]
    assert labelled(tmp_path / "two.jsonl", NAMES) == folder
    assert files_of(folder)["comparisons.jsonl"] == before
    assert len(record_lines(folder)["prompt_columns.jsonl"]) == 3


def test_pairs_of_a_file_are_judged_under_a_run_file(tmp_path: Path):
    run = RUN.replace("name: small", "name: desk").replace("principles: 2", "principles: all")
    run_file = write_project(tmp_path / "project", run=run)
    pairs = lines(tmp_path / "two.jsonl", [ticket(n) for n in range(3)])
    mapped = ",".join(f"{ours}={theirs}" for ours, theirs in NAMES.items())
    keep = ("--set", "prompts.keep=[ticket]")
    done = here("label", run_file, "--pairs", pairs, "--columns", mapped, *keep, "--json")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "project" / "runs").glob("desk-pairs-*")
    config = (folder / "resolved.yaml").read_text()
    assert f"constitution: {tmp_path / 'project' / 'constitution.yaml'}" in config
    assert "principles: all" in config
    assert read_manifest(folder)["prompts"]["carried"] == {"ticket": "string"}
    neither = here("label")
    assert "--pairs FILE for those of a file, or both" in " ".join(neither.stderr.split())
    other = here("label", run_file, "--pairs", folder)
    assert "judged with the settings of that run" in " ".join(other.stderr.split())


# The pairs of a run, under an edited constitution


def made(tmp_path: Path) -> Path:
    run_file = write_project(tmp_path, run=RUN.replace("name: small", "name: tickets"))
    rows = [{"prompt": f"Question {n} of {n * 7}?", "split": "train", "ticket": f"T-{n}"} for n in range(6)]
    lines(tmp_path / "prompts.jsonl", rows)
    return execute(RunRequest(run_file), Recorder()).folder


def test_pairs_of_a_run_are_judged_again_under_the_edited_constitution(tmp_path: Path):
    folder = made(tmp_path)
    path = tmp_path / "constitution.yaml"
    path.write_text(path.read_text().replace("plain words", "plain and short words"))
    asked = Recorder()
    again = label_pairs(PairsRequest(folder), asked).folder
    assert again.parent == folder.parent
    assert again.name.startswith("tickets-relabelled-")
    assert {c.id for c in comparisons(again)} == {c.id for c in comparisons(folder)}
    texts = asked.texts("label")
    assert texts
    assert all("plain and short words" in text for text in texts)  # the other answers are in the cache
    rows = export_run(again, tmp_path / "data").rows
    assert rows["soft"] == len(comparisons(folder))
    exported = [
        json.loads(line)
        for found in (tmp_path / "data" / "soft").glob("*.jsonl")
        for line in found.read_text().splitlines()
    ]
    assert all(row[OWN_COLUMNS]["ticket"] for row in exported)
    before = record_lines(again)
    assert label_pairs(PairsRequest(folder), Recorder()).folder == again
    assert record_lines(again) == before


def test_pairs_of_a_run_take_another_constitution_and_no_columns(tmp_path: Path):
    folder = made(tmp_path)
    (tmp_path / "rules2.yaml").write_text("name: two\nprinciples: [The reply rhymes.]\n")
    done = here("label", "--pairs", folder, "--constitution", tmp_path / "rules2.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"]["preferences"] == len(comparisons(folder))
    refused = here("label", "--pairs", folder, "--columns", "prompt=question")
    assert "a run's pairs have no columns to map" in refused.stderr


def test_a_run_without_pairs_is_refused(tmp_path: Path):
    run_file = write_project(tmp_path)
    folder = execute(RunRequest(run_file, stages=("critique",)), Recorder()).folder
    with pytest.raises(RunStateError, match="the run has no pairs yet"):
        label_pairs(PairsRequest(folder), Recorder())


# Commands that fail at once


def test_label_before_compare_names_the_users_settings_and_leaves_no_folder(tmp_path: Path):
    run_file = write_project(tmp_path)
    done = here("label", run_file, "--set", "label.principles=3")
    assert done.returncode == 2
    assert "the stage compare has not run yet" in done.stderr
    assert f"publius compare {run_file} --set label.principles=3" in done.stderr
    assert not list((tmp_path / "runs").iterdir())


def test_a_folder_with_records_of_a_stage_stays(tmp_path: Path):
    run_file = write_project(tmp_path)
    folder = execute(RunRequest(run_file, stages=("critique",)), Recorder()).folder
    before = record_lines(folder)
    assert here("label", run_file).returncode == 2
    assert record_lines(folder) == before


def test_a_better_and_a_worse_answer_are_suggested_ready_to_paste(tmp_path: Path):
    path = tmp_path / "votes.csv"
    path.write_text("instruction,better,worse,margin\nWhy is it so?,It is so.,It is not so.,0.5\n")
    with pytest.raises(DataError) as caught:
        labelled(path)
    assert "or --columns prompt=instruction,chosen=better,rejected=worse" in str(caught.value)
    done = here("import", "labels", path, "--to", tmp_path / "labels")
    assert "--columns prompt=instruction,chosen=better,rejected=worse" in " ".join(done.stderr.split())
    folder = labelled(path, {"chosen": "better", "rejected": "worse"})
    assert read_manifest(folder)["prompts"]["ignored"] == ["margin"]
    (pair,) = comparisons(folder)
    assert {pair.response_a, pair.response_b} == {"It is so.", "It is not so."}


def test_the_only_two_texts_beside_the_prompt_are_suggested_as_answers(tmp_path: Path):
    path = tmp_path / "pairs.csv"
    path.write_text("visitor,Anna wrote,Ben wrote\nIs it open?,Yes it is.,No it is not.\n")
    with pytest.raises(DataError) as caught:
        labelled(path)
    assert "'prompt=visitor,response_a=Anna wrote,response_b=Ben wrote'" in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [("draft 1", "draft 2"), ("version A", "version B"), ("old", "new"), ("extra a", "extra b")],
)
def test_two_answers_beside_people_are_suggested_ready_to_paste(first: str, second: str, tmp_path: Path):
    path = tmp_path / "votes.csv"
    rows = [f"{n},Is hall {n} open?,It is open today.,We do not know it.,{first},{second}" for n in range(3)]
    path.write_text("\n".join([f"no,visitor,{first},{second},Tam prefers,Olu prefers", *rows]) + "\n")
    answers = f"prompt=visitor,response_a={first},response_b={second}"
    with pytest.raises(DataError) as caught:
        labelled(path)
    assert answers in str(caught.value)
    done = here("import", "labels", path, "--to", tmp_path / "labels")
    given = f"{answers},verdict=Tam prefers,verdict=Olu prefers"
    assert given in " ".join(done.stderr.split())
    assert here("import", "labels", path, "--to", tmp_path / "labels", "--columns", given).returncode == 0


@pytest.mark.parametrize("share", ["0", "0.2"])
def test_the_share_of_test_is_set_alone(tmp_path: Path, share: str):
    pairs = lines(tmp_path / "two.jsonl", [ticket(n) for n in range(3)])
    folder = labelled(pairs, NAMES, f"split.test={share}")
    recorded = read_manifest(folder)["identity"]["configuration"]["split"]
    assert recorded == {"train": 0.0, "preference": 1 - float(share), "test": float(share)}
    assert labelled(folder, None, f"split.test={share}").is_dir()
    with pytest.raises(ConfigError, match="must sum to 1"):
        labelled(pairs, NAMES, "split.test=0", "split.train=0.2")
    with pytest.raises(ConfigError, match=r"split\.test"):
        labelled(pairs, NAMES, "split.test=many")
