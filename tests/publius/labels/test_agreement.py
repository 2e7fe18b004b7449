"""`publius agreement` and `publius select`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.records import Comparison, Judgment
from publius.labels.beside_votes import rules_beside_votes
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.people import pair, person, write_people
from tests.publius.projects import RUN, Recorder, write_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve comparisons without people."""
    project = tmp_path_factory.mktemp("project")
    return execute(RunRequest(write_project(project, 12)), Recorder()).folder


@pytest.fixture(scope="module")
def own(folder: Path) -> list[Comparison]:
    lines = (folder / "comparisons.jsonl").read_text().splitlines()
    return sorted((Comparison.model_validate_json(line) for line in lines), key=lambda one: one.id)


@pytest.fixture
def people(tmp_path: Path, own: list[Comparison]) -> Path:
    """Two people on all comparisons, who differ on the first three, and one lone skip."""
    said = [
        person(one.id, "ab"[n % 2], "anna", shown_first="a", dimension="tone") for n, one in enumerate(own)
    ]
    said += [person(one.id, "ab"[(n % 2) ^ (n < 3)], "ben") for n, one in enumerate(own)]
    return write_people(tmp_path / "people", [*said, person(own[0].id, "skip", "cleo")])


def test_agreement_prints_kappas_pairs_and_annotators(people: Path):
    done = here("agreement", people)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "all 12 2 75.0%" in words
    assert "anna ben 12 75.0%" in words
    assert "Krippendorff's" in words
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "25 judgments, 0 taken back, 1 skip" in done.stderr
    assert done.stdout.startswith("People agree with each other in 75% of 12 cases that both judged.\n")


def test_kappa_that_cannot_be_estimated_is_told_with_the_reason(tmp_path: Path):
    said = [person(f"c{n}", verdict, who) for n in range(6) for who, verdict in (("anna", "a"), ("ben", "b"))]
    few = here("agreement", write_people(tmp_path / "few", said)).stdout
    assert "too few" in few
    assert "not estimated from fewer than 10 judgments in common" in few
    said += [person(f"d{n}", "ab"[n % 2], who) for n in range(6) for who in ("anna",)]
    said += [person(f"d{n}", "b", "ben") for n in range(6)]
    same = here("agreement", write_people(tmp_path / "same", said)).stdout
    assert "Undefined: one of the two chose the same throughout" in same


def test_voters_with_little_in_common_get_no_row_each(tmp_path: Path):
    said = [person(f"c{n}", "ab"[voter % 2], f"v{n}-{voter}") for n in range(8) for voter in range(4)]
    crowd = here("agreement", write_people(tmp_path / "crowd", said))
    pairs = crowd.stdout.split("Agreement of each pair", 1)[1].split("Comparisons on which", 1)[0]
    assert "v0-1" not in pairs
    assert "not estimated from fewer than 10 judgments in common" in pairs
    assert "48 more pairs of annotators; --json has all" in crowd.stderr
    said += [person(f"c{n}", "ab"[n % 2], who) for n in range(12) for who in ("anna", "ben")]
    beside = here("agreement", write_people(tmp_path / "beside", said))
    pairs = beside.stdout.split("Agreement of each pair", 1)[1].split("Comparisons on which", 1)[0]
    assert ("anna" in pairs, "v0-1" in pairs) == (True, False)


def test_two_shares_of_equal_choices_are_told_apart_where_they_stand(tmp_path: Path):
    said = [person(f"c{n}", "a", who) for n in range(4) for who in ("anna", "ben")]
    said += [person("c0", "b", "cleo")]
    done = here("agreement", write_people(tmp_path / "people", said)).stdout
    assert "in 67% of 6 cases" in done
    assert "83.3%" in done
    assert (
        "Each comparison counts once here; in the first line"
        in done.split("83.3%")[1].split("Agreement of each pair")[0]
    )
    even = here("agreement", write_people(tmp_path / "even", said[:-1])).stdout
    assert "counts once" not in even


def test_comparisons_on_which_people_differ_are_listed_with_who_said_what(tmp_path: Path):
    pairs = [pair(f"Question {n}?") for n in range(12)]
    said = [person(one.id, "a", who) for one in pairs for who in ("Anna", "Ben")]
    said += [person(one.id, "b" if n else "a", "Cleo") for n, one in enumerate(pairs)]
    said += [person(pairs[5].id, "tie", "Dora"), person(pairs[5].id, "both_bad", "Eli")]
    folder = write_people(tmp_path / "p", said, pairs)
    found = json.loads(here("agreement", folder, "--json").stdout)["disagreements"]
    assert len(found) == 11
    assert (found[0]["comparison_id"], found[0]["agreement"]) == (pairs[5].id, 0.1)
    assert found[0]["said"]["a"] == ["crowd/anna", "crowd/ben"]
    assert found[0]["prompt"] == "Question 5?"
    told = here("agreement", folder)
    lines = told.stdout.splitlines()
    at = lines.index(f"{pairs[5].id}  Question 5?")
    origins = {"a": pairs[5].origin_a, "b": pairs[5].origin_b}
    assert lines[at + 1 : at + 5] == [
        f"    {origins['a']}: Anna, Ben",
        f"    {origins['b']}: Cleo",
        "    tie: Dora",
        "    both bad: Eli",
    ]
    assert sum("  Question " in line for line in lines) == 10
    assert "1 more comparison; --json has all" in told.stderr


def test_a_folder_of_labels_that_is_shown_as_a_run_names_what_reads_it(people: Path):
    done = here("show", people)
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert "a folder of labels, not a run folder" in words
    assert f"publius agreement {people}" in words


def test_the_accuracy_of_two_annotators_is_not_shown(people: Path, folder: Path):
    said = "Accuracy needs three annotators"
    two, three = here("agreement", people).stdout, here("agreement", people, folder).stdout
    assert said in two
    assert said not in three
    of_ben = [[line for line in told.splitlines() if line.startswith("ben ")][-1] for told in (two, three)]
    assert ["%" in line for line in of_ben] == [False, True]


def test_agreement_of_people_and_run_together_has_the_labeler_in_it(people: Path, folder: Path):
    done = here("agreement", people, folder, "--json")
    report = json.loads(done.stdout)
    assert report["overall"]["comparisons"] == 12
    people, machine = report["in_words"]
    assert people == "People agree with each other in 75% of 12 cases that both judged."
    assert machine.startswith("The AI labeler agrees with people in ")
    pairs = {(pair["first"], pair["second"]) for pair in report["pairs"]}
    assert pairs == {("ai", "crowd/anna"), ("ai", "crowd/ben"), ("crowd/anna", "crowd/ben")}
    assert "short" not in report["by_principle"]  # the check alone judged it
    assert report["pairs"][0].keys() == {"first", "second", "comparisons", "observed", "cohen"}
    (first,) = report["positions"]
    assert (first["annotator"], first["choices"], first["first"]["value"]) == ("crowd/anna", 12, 0.5)
    accuracies = {one["annotator"]: one["accuracy"] for one in report["annotators"]}
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values() if accuracy is not None)


def test_checks_and_labeler_are_compared_with_votes_by_rule():
    votes = [person(f"c{n}", "a", who) for n in range(3) for who in ("anna", "ben")]
    votes += [person("c3", "a"), person("c3", "b", "ben")]
    checks = [
        Judgment(
            id=f"{name}{n}",
            comparison_id=f"c{n}",
            labeler="check",
            verdict="tie" if p_a == 0.5 else "a" if p_a > 0.5 else "b",
            p_a=p_a,
            principle_id=name,
        )
        for name, found in (("short", (0.95, 0.05, 0.5, 0.95, 0.95)), ("links", (0.5,) * 5))
        for n, p_a in enumerate(found)
    ]
    links, short = sorted(rules_beside_votes([*votes, *checks]), key=lambda one: one.principle)
    # The fifth comparison has no votes, those on the fourth are even.
    assert (short.judged, short.decided, short.agrees, short.against) == (4, 3, 1, 1)
    assert (links.judged, links.decided, links.agreement) == (4, 0, None)
    assert short.agreement is not None
    assert short.agreement.value == 0.5


def test_what_checks_decided_is_printed_beside_the_votes(people: Path, folder: Path):
    words = " ".join(here("agreement", people, folder).stdout.split())
    assert "under each rule, beside people's votes as a whole" in words
    assert " short check 12 " in words


def test_agreement_by_dimension_takes_the_judgments_of_that_dimension(tmp_path: Path):
    said = [person(f"c{n}", "ab"[n % 2], who, dimension="tone") for n in range(6) for who in ("1", "2")]
    said += [person(f"c{n}", "a", "3", dimension="truth") for n in range(6)]
    report = json.loads(here("agreement", write_people(tmp_path / "p", said), "--json").stdout)
    assert report["by_dimension"].keys() == {"tone"}
    assert report["by_dimension"]["tone"]["alpha"]["value"] == 1.0


def test_judges_of_different_principles_are_not_compared(folder: Path):
    done = here("agreement", folder)  # the AI labeler, and a check of another principle
    assert done.returncode == 0
    assert "No comparison was judged by two annotators" in done.stdout
    assert "Judgments under different principles are not compared." in done.stdout


def test_people_asked_about_a_principle_are_compared_with_the_labeler_under_it(folder: Path, tmp_path: Path):
    judged = [json.loads(line) for line in (folder / "judgments.jsonl").read_text().splitlines()]
    kind = {j["comparison_id"]: j["verdict"] for j in judged if j.get("principle_id") == "kind"}
    said = [person(one, verdict, "anna", principle_id="kind") for one, verdict in kind.items()]
    report = json.loads(here("agreement", folder, write_people(tmp_path / "p", said), "--json").stdout)
    (pair,) = report["pairs"]
    assert (pair["first"], pair["second"]) == ("ai", "crowd/anna")
    assert (pair["comparisons"], pair["observed"]) == (len(kind), 1.0)  # whatever it said under the others


def test_agreement_of_one_annotator_says_that_there_is_none(tmp_path: Path):
    people = write_people(tmp_path / "p", [person("c", "a")])
    done = here("agreement", people)
    assert done.returncode == 0
    assert "No comparison was judged by two annotators" in done.stdout
    for step in (
        "annotate RUN --annotators-per 2",
        "--set label.mix=pooled",
        "audit labeler RUN.yaml --gold",
    ):
        assert f"publius {step}" in done.stdout.replace("publius run RUN.yaml", "publius")
    assert len(json.loads(here("agreement", people, "--json").stdout)["next"]) == 3


@pytest.mark.parametrize("content", [None, ""])
def test_agreement_without_judgments_is_one_line(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "judgments.jsonl").write_text(content)
    done = here("agreement", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


def test_broken_line_of_judgments_is_told_with_its_place(tmp_path: Path):
    write_people(tmp_path / "p", [person("c", "a"), person("d", "a")])
    path = tmp_path / "p" / "judgments.jsonl"
    path.write_text(path.read_text().replace('"a"', '"perhaps"', 1))
    done = here("agreement", tmp_path / "p")
    assert done.returncode == 2
    assert "judgments.jsonl:1" in " ".join(done.stderr.split())


def test_select_writes_what_the_page_reads(folder: Path, tmp_path: Path, own: list[Comparison]):
    done = here("select", folder, "--budget", 6, "--control", 0.5, "--to", tmp_path / "questions.jsonl")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert all(row.keys() == {"comparison_id", "reason", "score", "control"} for row in rows)
    assert {row["comparison_id"] for row in rows} <= {one.id for one in own}
    assert sum(row["control"] for row in rows) == 3
    assert "6 comparisons, 3 of them drawn at random" in done.stderr


def test_select_prints_the_same_lines_every_time(folder: Path):
    first, second = here("select", folder, "--budget", 4), here("select", folder, "--budget", 4)
    assert first.stdout == second.stdout
    assert len([json.loads(line) for line in first.stdout.splitlines()]) == 4


def test_select_says_when_there_are_fewer_than_the_budget(folder: Path):
    done = here("select", folder, "--budget", 500)
    assert "all that are left; 500 were requested" in " ".join(done.stderr.split())


def test_select_passes_over_what_people_have_judged(tmp_path: Path):
    run_file = write_project(tmp_path, 8, run=RUN.replace("principles: 2", "principles: 2, humans: [people]"))
    without = execute(RunRequest(run_file, ("label.humans=[]",)), Recorder()).folder
    ids = [json.loads(line)["id"] for line in (without / "comparisons.jsonl").read_text().splitlines()]
    write_people(tmp_path / "people", [*(person(one, "a") for one in ids[:3]), person(ids[3], "skip")])
    folder = execute(RunRequest(run_file), Recorder()).folder
    lines = here("select", folder, "--budget", 20).stdout.splitlines()
    assert {json.loads(line)["comparison_id"] for line in lines} == set(ids[3:])


def test_select_refuses_what_is_no_labelled_run(tmp_path: Path):
    run_file = write_project(tmp_path, 3)
    done = here("select", tmp_path, "--budget", 3)
    assert (done.returncode, done.stderr.count("error: ")) == (2, 1)
    folder = execute(RunRequest(run_file, (), ("critique",)), Recorder()).folder
    done = here("select", folder, "--budget", 3)
    assert done.returncode == 2
    assert "the stage label has not run yet" in done.stderr
    assert here("select", folder, "--budget", 0).returncode == 2


def test_comparisons_that_a_rule_is_against_have_their_case_their_prompt_and_why_they_have_no_label(
    tmp_path: Path,
):
    hard = "{id: no-refund, text: No refunds., hard: true, check: {kind: contains_none, value: [refund]}}"
    short = "{id: short, text: It is short., check: {kind: max_words, value: 3}}"
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"name: desk\nprinciples:\n  - {hard}\n  - {short}\n")
    rows = [
        {"prompt": f"Where is bike {n}?", "response_a": first, "response_b": "We refund it.", "best": best}
        for n, (first, best) in enumerate((("We refund all of it.", "a"), ("Go.", "b")))
    ]
    table = tmp_path / "two.jsonl"
    table.write_text("".join(json.dumps(row | {"Ticket": f"T-{n}"}) + "\n" for n, row in enumerate(rows)))
    columns = ("--columns", "prompt=prompt,response_a=response_a,response_b=response_b,verdict=best")
    done = here("import", "labels", table, "--labeler", "Ruth", "--to", tmp_path / "votes", *columns)
    assert done.returncode == 0, done.stderr
    options = ("--set", "engine.kind=scripted", "--set", f"label.humans=[{tmp_path / 'votes'}]")
    done = here("label", "--pairs", table, "--constitution", rules, "--to", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    said = here("agreement", tmp_path / "votes", run).stdout
    one, other = said.split("is against the votes in\n")[1:]
    both = one + other
    assert "  T-1: Where is bike 1?\n" in both
    assert "  T-0: Where is bike 0?\n        left out: both answers break a hard principle" in both
    named = json.loads(here("agreement", tmp_path / "votes", run, "--json").stdout)["named"]
    assert sorted(one["case"] for one in named.values()) == ["T-0", "T-1"]
    assert max(map(len, both.splitlines())) <= 80


# Whose votes count, and in which order answers were shown


def crowd(**fields: object) -> list[Judgment]:
    """Votes of four people on fourteen comparisons, one of whom always takes the first answer."""
    said = [
        person(f"c{n}", "ab"[(n + number) % 2 if n % 3 else n % 2], who, shown_first="ab"[n % 2], **fields)
        for n in range(14)
        for number, who in enumerate(("ann", "ben", "cleo"))
    ]
    return [*said, *(person(f"c{n}", "ab"[n % 2], "Spam", shown_first="ab"[n % 2]) for n in range(14))]


def test_whoever_always_takes_the_answer_in_one_place_is_named(tmp_path: Path):
    said = here("agreement", write_people(tmp_path / "p", crowd(duration_s=30.0))).stdout
    assert "Spam chose the answer shown first in 14 of 14 choices; all others in " in said
    assert "--without NAME leaves an annotator out." in said
    assert "median\n" in said
    lines = said.split("Annotators: ")[1].split("Choices are")[0].splitlines()
    table = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert (table["ann"][-1], table["Spam"][-2:]) == ("30", ["to", "100%)"])
    assert max(map(len, lines)) <= 80
    other = [person(f"c{n}", "a", who, shown_first="b") for n in range(9) for who in ("ann", "ben")]
    said = here("agreement", write_people(tmp_path / "q", other)).stdout
    assert "ann chose the answer shown second in 9 of 9 choices; all others in 100% of 9." in said


def test_an_order_that_nobody_recorded_is_said_with_how_to_say_it(tmp_path: Path):
    said = [person(f"c{n}", "ab"[n % 2], who) for n in range(4) for who in ("anna", "ben")]
    done = here("agreement", write_people(tmp_path / "people", said)).stdout
    assert "first answer" not in done
    assert "Which answer people saw first is not recorded." in done
    assert "--shown-first a   (or b)" in done


def test_an_annotator_is_left_out_of_report_and_gold(tmp_path: Path):
    people = write_people(tmp_path / "people", crowd(), ())
    pairs = [pair(f"Question {n}?") for n in range(3)]
    votes = [person(one.id, "ab"[n % 2], who) for n, one in enumerate(pairs) for who in ("ann", "Ben Oh")]
    both = write_people(tmp_path / "both", votes, pairs)
    report = json.loads(
        here("agreement", people, "--without", "spam", "--without", "crowd/ann", "--json").stdout
    )
    assert {one["annotator"] for one in report["annotators"]} == {"crowd/ben", "crowd/cleo"}
    assert report["left_out"] == {"without": ["spam", "crowd/ann"]}
    done = here("agreement", both, "--without", "ben oh", "--to", tmp_path / "gold.jsonl")
    assert "left out by --without: ben oh" in done.stderr
    gold = list(map(json.loads, (tmp_path / "gold.jsonl").read_text().splitlines()))
    assert [row["voted"].keys() for row in gold] == [{"ann"}] * 3
    wrong = here("agreement", both, "--without", "Carl")
    assert "--without: no annotator 'Carl'; accepted: one of: Ben Oh, ann" in wrong.stderr
    none = here("agreement", both, "--without", "ann", "--without", "Ben Oh")
    assert "nobody's judgments are left" in none.stderr


def test_votes_on_one_aspect_stand_beside_rules(tmp_path: Path):
    said = [person(f"c{n}", "ab"[n % 2], who, dimension="tone") for n in range(4) for who in ("anna", "ben")]
    said += [person(f"c{n}", "a", "anna", dimension="honesty", id=f"h{n}") for n in range(4)]
    said += [
        person(f"c{n}", "a", labeler="check", annotator=None, principle_id="brief", id=f"k{n}", p_a=1.0)
        for n in range(4)
    ]
    people = write_people(tmp_path / "people", said)
    for aspect, agrees in (("honesty", 4), ("Tone", 2)):
        (rule,) = json.loads(here("agreement", people, "--aspect", aspect, "--json").stdout)["rules"]
        assert (rule["judged"], rule["agrees"]) == (4, agrees), aspect
    wrong = here("agreement", people, "--aspect", "brevity")
    assert "--aspect: no aspect 'brevity'; accepted: one of: honesty, tone" in wrong.stderr


def test_accuracies_without_agreement_are_told_from_guessing(tmp_path: Path):
    votes = ("aabbabab", "abbaabba", "abababba", "babbaaba")
    said = [
        person(f"c{n}", choice, who)
        for who, own in zip(("ann", "ben", "cleo", "dan"), votes, strict=True)
        for n, choice in enumerate(own)
    ]
    said = here("agreement", write_people(tmp_path / "p", said)).stdout
    assert "stay near" not in said
    assert "each accuracy is an estimate that begins at 84% and moves with the votes." in said
    lines = said.split("Annotators: ")[1].split("Choices are")[0].splitlines()[2:]
    unsure = said.split("No different from guessing (50% is in the interval): ")[1].split(".\n")[0]
    for name, _, _, low, _, high in map(str.split, filter(str.strip, lines)):
        is_guess = int(low.strip("(%")) <= 50 <= int(high.strip(")%"))
        assert is_guess == (name in unsure.split(", ")), name


def test_a_pair_that_counts_in_another_aspect_is_not_said_to_be_left_out(tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "name: desk\nprinciples:\n  - {id: short, text: Short., check: {kind: max_words, value: 3}}\n"
    )
    ratings = {"tone": {"Rating": "2"}, "honesty": {"Rating": "2"}}
    worse = {name: {"Rating": "1"} for name in ratings}
    listed = [
        {"model": "x", "response": "It is a long answer.", "annotations": ratings},
        {"model": "y", "response": "No.", "annotations": worse},
    ]
    file = tmp_path / "rated.jsonl"
    file.write_text(json.dumps({"instruction": "Name a bird.", "completions": listed}) + "\n")
    assert here("import", "labels", file, "--to", tmp_path / "votes").returncode == 0
    done = here(
        *(
            "label",
            "--pairs",
            file,
            "--constitution",
            rules,
            "--to",
            tmp_path,
            "--set",
            "engine.kind=scripted",
        )
    )
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "exclusions.jsonl").read_text() == ""
    said = here("agreement", tmp_path / "votes", run).stdout
    assert "short (check) is against the votes in" in said
    assert "left out" not in said
