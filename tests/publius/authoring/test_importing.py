"""`publius import constitution` and `publius export --constitution`: what they write and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.importers.registry import FORMS
from constitution.loader import LoadedConstitution, load_constitution, read_constitution
from core.errors import RunStateError
from publius.authoring import importing as constitution_import
from publius.authoring.importing import ConstitutionRequest
from tests.constitution.importers.reading import EXAMPLES
from tests.publius.invoking import here

FILES = ["anthropic", "llm-swarm.json", "langchain.json", "nemo-aligner.txt"]
FILES += ["rules.txt", "rules.csv", "rules.json", "charter.md"]


def imported(source: Path, to: Path, *options: str) -> dict[str, object]:
    done = here("import", "constitution", source, "--to", to, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FILES)
def test_the_written_file_is_a_constitution(name: str, tmp_path: Path):
    summary = imported(EXAMPLES / name, tmp_path / "c.yaml")
    constitution = load_constitution(tmp_path / "c.yaml")
    assert summary["principles"] == len(constitution.principles) > 0
    assert summary["digest"] == constitution.digest
    assert here("check", tmp_path / "c.yaml").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_the_summary_counts_what_was_taken_and_what_was_not(tmp_path: Path):
    summary = imported(EXAMPLES / "anthropic", tmp_path / "c.yaml")
    told = ("format", "name", "principles", "with_critique", "with_revision", "with_comparison", "examples")
    assert [summary[key] for key in told] == ["anthropic", "anthropic", 5, 3, 3, 2, 5]
    assert sum(entry["count"] for entry in summary["left_out"]) == 4
    assert all(entry["places"] for entry in summary["left_out"])


def test_the_file_says_where_it_came_from_and_what_it_lacks(tmp_path: Path):
    imported(EXAMPLES / "rules.txt", tmp_path / "c.yaml")
    assert (tmp_path / "c.yaml").read_text() == (
        "# Imported by publius import constitution from rules.txt, in the format text.\n"
        "# Stripped: 'bullets and numbers' 4 times.\n"
        "# Skipped: a line that begins with #, once (rules.txt:1).\n"
        "# Skipped: the same words as an earlier principle, once (rules.txt:6).\n"
        "# Skipped: a line without a bullet or number, where most lines have one, once (rules.txt:7).\n"
        '# rules.txt:7 "and so on"\n'
        "\n"
        "name: rules\n"
        "\n"
        "principles:\n"
        "  - id: names-its-sources\n"
        "    text: The reply names its sources.\n"
        "\n"
        "  - id: at-most-as-long-as\n"
        "    text: The reply is at most as long as a postcard.\n"
        "\n"
        "  - id: says-so-when-does-not\n"
        "    text: The reply says so when it does not know.\n"
    )


RULES = """[{"text": "The reply is kind.", "weight": 2, "hard": true, "tier": 1},
{"text": "The reply is short.", "weight": 0.5, "tier": 2, "check": {"kind": "max_words", "value": 60}},
{"text": "The reply is calm.", "weight": "high", "applies_to": ["refunds"], "check": "by hand",
"owner": "Ada"}]"""


def test_weights_scopes_and_checks_are_read_and_what_is_not_is_named_with_its_values(tmp_path: Path):
    (tmp_path / "rules.json").write_text(RULES)
    summary = imported(tmp_path / "rules.json", tmp_path / "c.yaml")
    kind, short, calm = load_constitution(tmp_path / "c.yaml").principles
    assert [(p.weight, p.hard) for p in (kind, short, calm)] == [(2, True), (0.5, False), (1, False)]
    assert short.check is not None
    assert calm.applies_to is not None
    assert calm.applies_to.tags == ("refunds",)
    assert summary["with_weight"] == 2
    assert summary["passed_over"] == ["tier", "weight", "check", "owner"]
    assert summary["ignored_values"] == {"tier": ["1", "2"], "weight": ["high"], "check": ["by hand"]}
    comment = "# Ignored: tier (1, 2), weight (high), check (by hand), owner."
    assert comment in (tmp_path / "c.yaml").read_text()


def test_weights_of_a_table_and_mapped_columns(tmp_path: Path):
    table = tmp_path / "t.csv"
    table.write_text(
        'rule,Weight,must,for\nThe reply is kind.,2,yes,"refunds, fees"\nThe reply is short.,,,\n'
    )
    imported(table, tmp_path / "c.yaml", "--columns", "hard=must,applies_to=for")
    kind, short = load_constitution(tmp_path / "c.yaml").principles
    assert (kind.weight, kind.hard, kind.applies_to and kind.applies_to.tags) == (
        2,
        True,
        ("refunds", "fees"),
    )
    assert (short.weight, short.hard, short.applies_to) == (1, False, None)
    done = here("import", "constitution", table, "--to", tmp_path / "d.yaml", "--columns", "weight=must")
    assert "weight is 'yes'; accepted: a number of 0 or more" in done.stderr


TRICKY = [
    "no",
    "1e5",
    "-.5",
    "1_000",
    "2024-01-01",
    "0x1F",
    "~",
    "null",
    "key: value",
    "# no comment",
    "- no entry",
    "'quoted' \"twice\"",
    "two  spaces and a tab\there",
    "ends in a colon:",
    "line\n\n  indented\nlast",
    "next\u2028line\x85and\x07bell",
    "{braces} [brackets] &anchor *alias !tag %percent @at `tick`",
    "long " * 60 + "text",
    "Ünïcödé 漢字 🙂",
    "mark\ufeffwithin",
    "...",
    "---",
    "\\n is no line end",
    "=",
    "<<",
]


def test_texts_of_any_kind_come_through_unchanged(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([{"text": text, "critique": text} for text in TRICKY]))
    imported(tmp_path / "a.json", tmp_path / "c.yaml", "--name", "1e5")
    constitution = load_constitution(tmp_path / "c.yaml")
    assert constitution.name == "1e5"
    expected = [text.replace("\u2028", "\n").replace("\x85", "\n") for text in TRICKY]
    assert [principle.text for principle in constitution.principles] == expected
    assert [p.critique for p in constitution.principles] == [p.text for p in constitution.principles]


def test_keys_and_places_cannot_end_a_comment(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([{"text": "Be kind.", "x\nname: y\u2028z": 1}]))
    imported(tmp_path / "a.json", tmp_path / "c.yaml")
    assert load_constitution(tmp_path / "c.yaml").name == "a"


def test_an_existing_file_is_never_touched(tmp_path: Path):
    to = tmp_path / "c.yaml"
    to.write_text("mine")
    done = here("import", "constitution", EXAMPLES / "rules.txt", "--to", to)
    assert (done.returncode, to.read_text()) == (2, "mine")
    assert done.stderr == f"error: {to}: path already exists; accepted: a new file for --to\n"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("c.txt", "error: --to: found 'c.txt'; accepted: the path of a new .yaml file\n"),
        ("none/c.yaml", "error: {folder}/none: no such folder; run: mkdir -p {folder}/none\n"),
    ],
)
def test_a_place_that_will_not_do_is_refused(to: str, expected: str, tmp_path: Path):
    done = here("import", "constitution", EXAMPLES / "rules.txt", "--to", tmp_path / to)
    assert (done.returncode, done.stderr) == (2, expected.format(folder=tmp_path))


def test_a_refused_import_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "a.json").write_text("[3]")
    done = here("import", "constitution", tmp_path / "a.json", "--to", tmp_path / "c.yaml")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_makes_no_constitution_is_refused_in_the_words_of_the_loader(tmp_path: Path):
    done = here("import", "constitution", EXAMPLES / "rules.txt", "--to", tmp_path / "c.yaml", "--name", " ")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {EXAMPLES / 'rules.txt'}: the imported constitution is invalid: name is empty; "
        "accepted: text that is not empty\n"
    )


def test_text_that_is_left_out_is_quoted_and_said_before_what_to_do_next(tmp_path: Path):
    (tmp_path / "a.md").write_text(
        "# A\n\n- Be kind.\n\nBrakes need care, and so do wheels, chains, lamps and bells.\n\nYes.\n\n"
        + "Not at all. " * 40
    )
    done = here("import", "constitution", tmp_path / "a.md", "--to", tmp_path / "c.yaml")
    words = "Brakes need care, and so do wheels, chains, lamps ..."
    assert (
        "         3  prose beside a list (a.md:5, a.md:7, a.md:9)\n"
        f'            a.md:5 "{words}"\n            a.md:7 "Yes."\n'
    ) in done.stdout
    assert done.stderr.splitlines()[0] == (
        f"first: add what is a rule of the skipped text to {tmp_path / 'c.yaml'}: "
        f'a.md:5 "{words}", and 2 more above'
    )
    whole = "Brakes need care, and so do wheels, chains, lamps and bells."
    assert f'# a.md:5 "{whole}"\n# a.md:7 "Yes."\n' in (tmp_path / "c.yaml").read_text()
    quotes = imported(tmp_path / "a.md", tmp_path / "d.yaml")["left_out"][0]["quotes"]
    assert [quote["words"] for quote in quotes] == [whole, "Yes.", ("Not at all. " * 25).strip() + " ..."]


HOUSE_RULES = """\
A house: rules of the desk (v7)

Tone
• No more than 120 words.
• Be kind.

Legal
Replies must not say that a claim is accepted or rejected; only the legal team decides. Avoid the words
“guarantee” and “liable”. They sound like a promise.
No emojis.
Close with “Kind regards”.

Version 7 of May.

Content
1) Every reply has the number.
2) Never blame the post.
3) Dates are written out.
4) Say one way to reach us.
5) Name no prices.
"""


def test_a_section_of_prose_in_a_file_of_bullets_is_read_sentence_by_sentence(tmp_path: Path):
    (tmp_path / "a.txt").write_text(HOUSE_RULES)
    done = here("import", "constitution", tmp_path / "a.txt", "--to", tmp_path / "c.yaml")
    texts = [principle.text for principle in load_constitution(tmp_path / "c.yaml").principles]
    assert texts[:6] == [
        "No more than 120 words.",
        "Be kind.",
        "Replies must not say that a claim is accepted or rejected; only the legal team decides.",
        "Avoid the words “guarantee” and “liable”. They sound like a promise.",
        "No emojis.",
        "Close with “Kind regards”.",
    ]
    assert len(texts) == 11
    assert "4  a heading (a.txt:1, a.txt:3, a.txt:7, a.txt:15)" in done.stdout
    assert 'a.txt:13 "Version 7 of May."' in done.stderr.splitlines()[0]


def test_headings_alone_are_not_said_to_hold_rules(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Tone\n\n- Be kind.\n- Be brief.\n")
    done = here("import", "constitution", tmp_path / "a.txt", "--to", tmp_path / "c.yaml")
    assert "1  a heading (a.txt:1)" in done.stdout
    assert done.stderr.startswith("next: ")


def test_of_many_texts_twenty_are_quoted_and_the_others_counted(tmp_path: Path):
    prose = "\n\n".join(f"Part {n}." for n in range(23))
    (tmp_path / "a.md").write_text(f"- Be kind.\n\n{prose}\n")
    done = here("import", "constitution", tmp_path / "a.md", "--to", tmp_path / "c.yaml")
    assert '            a.md:41 "Part 19."\n            and 3 more\n' in done.stdout
    summary = imported(tmp_path / "a.md", tmp_path / "d.yaml")
    skipped = summary["left_out"][0]
    assert (skipped["count"], skipped["texts"], len(skipped["quotes"])) == (23, 23, 20)
    assert skipped["quotes"][0] == {"where": f"{tmp_path / 'a.md'}:3", "words": "Part 0."}


def test_nothing_is_said_of_skipped_text_where_there_is_none(tmp_path: Path):
    (tmp_path / "a.md").write_text("- Be kind.\n- Be kind.\n")
    done = here("import", "constitution", tmp_path / "a.md", "--to", tmp_path / "c.yaml")
    assert "the same words as an earlier principle" in done.stdout
    assert done.stderr.startswith("next: ")


def test_few_shots_can_be_left_out(tmp_path: Path):
    summary = imported(EXAMPLES / "anthropic", tmp_path / "c.yaml", "--no-examples")
    assert summary["examples"] == 0
    left_out = {entry["reason"]: entry["count"] for entry in summary["left_out"]}
    assert left_out["an example (--no-examples)"] == 5


def test_the_editor_is_told_of_a_schema_that_is_there(tmp_path: Path):
    (tmp_path / "constitution.schema.json").write_text("{}")
    imported(EXAMPLES / "rules.txt", tmp_path / "c.yaml")
    first = (tmp_path / "c.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./constitution.schema.json"


def test_an_export_gives_the_imported_files_back(tmp_path: Path):
    imported(EXAMPLES / "anthropic", tmp_path / "c.yaml")
    done = here(
        "export", tmp_path / "c.yaml", "--constitution", "anthropic", "--to", tmp_path / "out", "--json"
    )
    summary = json.loads(done.stdout)
    assert (summary["requests"], summary["comparisons"], summary["few_shots"]) == (3, 2, 2)
    assert len(summary["files"]) == 3
    for name in summary["files"]:
        assert (tmp_path / "out" / name).read_bytes() == (EXAMPLES / "anthropic" / name).read_bytes()


def test_a_run_folder_is_exported_by_its_constitution(tmp_path: Path):
    imported(EXAMPLES / "langchain.json", tmp_path / "constitution.yaml")
    done = here("export", tmp_path, "--constitution", "anthropic", "--to", tmp_path / "out")
    assert done.returncode == 0
    assert "2 critique and revision requests" in done.stdout


def test_an_export_without_requests_is_refused(tmp_path: Path):
    done = here("export", "plain-and-brief", "--constitution", "anthropic", "--to", tmp_path / "out")
    assert done.returncode == 2
    message = "plain-and-brief: nothing to export: no principle has its own requests"
    assert done.stderr.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_an_export_goes_into_an_empty_folder_only(tmp_path: Path):
    done = here("export", EXAMPLES / "rules.txt", "--constitution", "antropic", "--to", tmp_path)
    assert done.stderr.endswith("accepted: one of: anthropic (did you mean 'anthropic'?)\n")
    imported(EXAMPLES / "langchain.json", tmp_path / "c.yaml")
    done = here("export", tmp_path / "c.yaml", "--constitution", "anthropic", "--to", tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {tmp_path}: the folder is not empty; accepted: a new or empty folder\n",
    )
    done = here("export", tmp_path, "--constitution", "anthropic", "--labels", "icai", "--to", tmp_path)
    assert done.returncode == 2


def test_the_help_names_every_form():
    text = " ".join(here("import", "constitution", "--help").stdout.split())
    assert [form.name for form in FORMS if form.name not in text] == []


def test_a_file_that_came_there_meanwhile_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    to = tmp_path / "c.yaml"

    def read_while_another_writes(source: Path) -> LoadedConstitution:
        to.write_text("mine")
        return read_constitution(source)

    monkeypatch.setattr(constitution_import, "read_constitution", read_while_another_writes)
    monkeypatch.setattr(constitution_import, "_refuse_if_there", lambda to: None)
    with pytest.raises(RunStateError, match="path already exists"):
        constitution_import.import_constitution(ConstitutionRequest(EXAMPLES / "rules.txt", to))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("c.yaml", "mine")]


def test_an_import_says_what_to_do_next_and_how_many_checks_are_offered(tmp_path: Path):
    (tmp_path / "rules.txt").write_text("- Answer in at most 60 words.\n- Be kind.\n- No emojis.\n")
    done = here("import", "constitution", tmp_path / "rules.txt", "--to", tmp_path / "c.yaml")
    said = " ".join(done.stderr.split())
    assert f"next: publius check {tmp_path / 'c.yaml'}: 2 of 3 rules could have a machine check" in said
    assert "then: publius try" in said
