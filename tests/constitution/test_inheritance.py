"""`extends`, `remove` and `document`: what comes of several files, and where their mistakes are told."""

from __future__ import annotations

import pytest

from constitution.loader import load_constitution, preset_names, read_constitution
from constitution.schema import Constitution
from constitution.sources import MAX_LEVELS
from core.errors import ConfigError
from core.text.encodings import SAVED_AS_UTF8
from tests.constitution.examples import BASE, CHILD, RULES, WELL_FORMED, write_all

PRESETS = ", ".join(preset_names())
HEAD = "name: x\nextends: base.yaml\n"
SMALL = "name: base\nprinciples:\n- {id: kind, text: It is kind.}\n- {id: brief, text: It is brief.}\n"


@pytest.fixture
def load(tmp_path):
    def _load(files) -> Constitution:
        return load_constitution(write_all(tmp_path, files))

    return _load


def told(folder, files) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_constitution(write_all(folder, files))
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_base_is_changed_by_id_added_to_and_removed_from(load):
    child = load(WELL_FORMED["extended"])
    kind, honest, plain, honest_again = child.principles
    assert (child.name, child.version, child.preamble) == ("child", "", "From the base.")
    assert (child.sections, child.lint_ignore) == (("safety", "manner"), ("L101",))
    assert (kind.text, kind.section, kind.hard) == ("The reply is kind.", "safety", True)
    assert (kind.weight, kind.antithesis) == (1.0, "The reply is unkind.")
    assert (honest.id, plain.id, honest_again.id) == ("honest-about-doubts", "plain", "honest-about-doubts-2")


def test_what_is_loaded_says_all_by_itself(load, tmp_path):
    child = load(WELL_FORMED["extended"])
    again = load({"resolved.yaml": child.to_yaml()})
    assert again == child
    assert again.digest == child.digest
    assert type(child) is Constitution


def test_only_passages_that_a_principle_names_are_kept(load):
    child = load(WELL_FORMED["extended"])
    assert dict(child.passages) == {
        "avoiding-harm": "## Avoiding harm\n\nNever hurt anybody.\n\n### In particular\n\nNot even a little.",
        "how": "## Manner\n\nSpeak plainly.",
    }
    twice = load(WELL_FORMED["extended twice"])
    assert list(twice.passages) == ["avoiding-harm"]  # source: null


def test_a_passage_that_nobody_names_costs_nothing(load):
    long = "\n".join(f"## Part {n}\n\n" + "Words that nobody points at. " * 100 for n in range(60))
    short = load({"a.yaml": BASE, "rules.md": RULES})
    assert len(long.split()) > 30_000
    assert load({"a.yaml": BASE, "rules.md": f"{long}\n{RULES}\n{long}"}) == short
    edited = load({"a.yaml": BASE, "rules.md": RULES.replace("Speak plainly.", "Say it in verse.")})
    assert (edited, edited.digest) == (short, short.digest)
    assert load({"a.yaml": BASE, "rules.md": RULES.replace("anybody", "a soul")}).digest != short.digest


def test_a_preset_is_extended_by_its_name(load):
    name = "harmless"
    preset = load_constitution(name)
    mine = load({"mine.yaml": f"name: mine\nextends: {name}\nprinciples: [The reply is mine.]\n"})
    assert mine.principles[:-1] == preset.principles
    assert mine.principles[-1].id == "mine"


def test_a_path_is_relative_to_the_file_that_says_it(load):
    files = {
        "mine/a.yaml": "name: a\nextends: ../bases/b.yaml\n",
        "bases/b.yaml": "name: b\nextends: c.yaml\ndocument: d/rules.md\n"
        "principles: [{id: kind, source: '#how'}]\n",
        "bases/c.yaml": "- {id: kind, text: The reply is kind.}\n",
        "bases/d/rules.md": RULES,
    }
    assert load(files).passages["how"].startswith("## Manner")


def test_a_passage_of_the_base_can_be_named_and_replaced(load):
    files = WELL_FORMED["document"] | {}
    base = {"base.yaml": files["a.yaml"], "rules.md": RULES}
    named = load({"a.yaml": HEAD + "principles: [{id: brief, source: '#how'}]\n"} | base)
    assert named.passages["how"] == "## Manner\n\nSpeak plainly."
    replaced = load({"a.yaml": HEAD + "passages: {avoiding-harm: Do no harm.}\n"} | base)
    assert dict(replaced.passages) == {"avoiding-harm": "Do no harm."}


def test_every_value_knows_its_own_file(tmp_path):
    loaded = read_constitution(write_all(tmp_path, WELL_FORMED["extended"]))
    places = {
        ("principles", 0, "text"): "base.yaml:8:22",
        ("principles", 0, "antithesis"): "child.yaml:7:17",
        ("principles", 0, "id"): "child.yaml:5:9",
        ("principles", 1): "base.yaml:10:5",
        ("principles", 2, "text"): "child.yaml:9:11",
        ("principles", 3): "child.yaml:11:5",
        ("preamble",): "base.yaml:3:11",
        ("name",): "child.yaml:1:7",
        ("passages", "how"): "rules.md:13:1",
    }
    assert {loc: loaded.where(*loc) for loc in places} == {
        loc: f"{tmp_path}/{place}" for loc, place in places.items()
    }
    assert [path.name for path in loaded.files] == ["child.yaml", "base.yaml", "rules.md"]


def chain(levels: int) -> dict[str, str]:
    files = {f"{n}.yaml": f"name: x\nextends: {n + 1}.yaml\n" for n in range(levels)}
    return files | {f"{levels}.yaml": "- The reply is kind.\n"}


def test_sixteen_levels_are_read_and_no_more(load, tmp_path):
    assert len(load(chain(MAX_LEVELS)).principles) == 1
    assert told(tmp_path, chain(MAX_LEVELS + 1)) == [
        "16.yaml:2:10: too many levels of extends; accepted: at most 16 levels"
    ]


# Each set of files with all the lines that report what is wrong with it.
# fmt: off
MISTAKES = {
    "missing base": (
        {"a.yaml": "name: x\nextends: bse.yaml\n", "base.yaml": SMALL},
        ["a.yaml:2:10: the file 'bse.yaml' does not exist; accepted: a path relative to this file (one of: "
         f"base.yaml (did you mean 'base.yaml'?)), or a preset, one of: {PRESETS}"]),
    "misspelt preset": (
        {"a.yaml": "name: x\nextends: harmles\nprinciples: [{id: kind, weight: null, hard: 3}]\n"},
        ["a.yaml:2:10: the file 'harmles' does not exist; accepted: a path relative to this file, or a "
         f"preset, one of: {PRESETS} (did you mean 'harmless'?)",
         "a.yaml:3:45: hard is 3; accepted: true or false"]),
    "folder": (
        {"a.yaml": "name: x\nextends: .\n"},
        ["a.yaml:2:10: the file '.' does not exist; accepted: a path relative to this file, or a preset, "
         f"one of: {PRESETS}"]),
    "itself": (
        {"a.yaml": "name: x\nextends: ./a.yaml\n"},
        ["a.yaml:2:10: circular extends: a.yaml -> a.yaml; "
         "accepted: a base that does not extend this file"]),
    "circle": (
        {"a.yaml": "name: x\nextends: b.yaml\n", "b.yaml": "name: y\nextends: c.yaml\n",
         "c.yaml": "name: z\nextends: b.yaml\nprinciples: [3]\n"},
        ["c.yaml:2:10: circular extends: b.yaml -> c.yaml -> b.yaml; "
         "accepted: a base that does not extend this file",
         "c.yaml:3:14: principle 1 is 3; accepted: ENTRY"]),
    "broken base": (
        {"a.yaml": HEAD + "principles: [{id: kind, weight: -1}]\n", "base.yaml": "name: [\n"},
        ["base.yaml:2:1: not valid YAML: while parsing a flow node, did not find expected node content; "
         "accepted: ADVICE", "a.yaml:3:33: weight is -1; accepted: a number of at least 0"]),
    "wrong base": (
        {"a.yaml": HEAD + "principles: [{id: kind, weight: -1}]\n",
         "base.yaml": SMALL + "priority: strickt\n"},
        ["base.yaml:5:11: priority is 'strickt'; accepted: one of: holistic, strict (did you mean 'strict'?)",
         "a.yaml:3:33: weight is -1; accepted: a number of at least 0"]),
    "no such id": (
        {"a.yaml": HEAD + "principles: [{id: kid, weight: 2}]\n", "base.yaml": SMALL},
        ["a.yaml:3:19: base.yaml has no principle 'kid' to override, and text is missing; "
         "accepted: a line 'text: ...', or one of: kind, brief (did you mean 'kind'?)"]),
    "removed unknown": (
        {"a.yaml": HEAD + "remove: [breif]\n", "base.yaml": SMALL},
        ["a.yaml:3:10: base.yaml has no principle 'breif' to remove; "
         "accepted: one of: kind, brief (did you mean 'brief'?)"]),
    "removed twice": (
        {"a.yaml": HEAD + "remove: [brief, brief]\n", "base.yaml": SMALL},
        ["a.yaml:3:17: duplicate id 'brief' in remove (first in line 3); accepted: each id once"]),
    "removed and given": (
        {"a.yaml": HEAD + "remove: [brief]\nprinciples: [{id: brief, weight: 2}]\n", "base.yaml": SMALL},
        ["a.yaml:3:10: the principle 'brief' is both removed and defined (in line 4); "
         "accepted: one of the two"]),
    "all removed": (
        {"a.yaml": HEAD + "remove: [brief, kind]\n", "base.yaml": SMALL},
        ["a.yaml:3:9: every principle is removed; accepted: a constitution with at least one principle"]),
    "given twice": (
        {"a.yaml": HEAD + "principles:\n- {id: kind, weight: 2}\n- {id: kind, text: t}\n",
         "base.yaml": SMALL},
        ["a.yaml:5:8: duplicate id 'kind' (first in line 4); accepted: each id once"]),
    "text reset": (
        {"a.yaml": HEAD + "principles: [{id: kind, text: null}]\n", "base.yaml": SMALL},
        ["a.yaml:3:31: text is empty; accepted: text"]),
    "override of a wrong kind": (
        {"a.yaml": HEAD + "principles: [{id: kind, wieght: 2, check: 3}]\n", "base.yaml": SMALL},
        ["a.yaml:3:25: unknown key 'wieght'; accepted: KEYS (did you mean 'weight'?)",
         "a.yaml:3:43: check is 3; accepted: a mapping such as {kind: max_words, value: 60}"]),
    "sections of the base": (
        {"child.yaml": CHILD + "sections: [manner]\n", "base.yaml": BASE, "rules.md": RULES},
        ["child.yaml:2:10: unknown section 'safety' (in base.yaml:8:51); accepted: one of: manner"]),
    "strict over the base": (
        {"a.yaml": HEAD + "sections: [s]\npriority: strict\n", "base.yaml": SMALL},
        ["a.yaml:2:10: the principle 'kind' has no section, but priority is strict (in base.yaml:3:3); "
         "accepted: a section, one of: s",
         "a.yaml:2:10: the principle 'brief' has no section, but priority is strict (in base.yaml:4:3); "
         "accepted: a section, one of: s"]),
    "a section of no file": (
        {"child.yaml": CHILD.replace("weight: null", "section: safty"), "base.yaml": BASE, "rules.md": RULES},
        ["child.yaml:6:14: unknown section 'safty'; "
         "accepted: one of: safety, manner (did you mean 'safety'?)"]),
    "missing passage": (
        {"a.yaml": BASE.replace("#avoiding-harm", "#avoid-harm"), "rules.md": RULES},
        ["a.yaml:8:67: unknown passage '#avoid-harm'; accepted: one of: #rules, #avoiding-harm, "
         "#in-particular, #how (did you mean '#avoiding-harm'?)"]),
    "missing passage of the base's document": (
        {"child.yaml": CHILD.replace("#how", "#hwo"), "base.yaml": BASE, "rules.md": RULES},
        ["child.yaml:10:13: unknown passage '#hwo'; accepted: one of: #rules, #avoiding-harm, "
         "#in-particular, #how (did you mean '#how'?)"]),
    "missing document": (
        {"a.yaml": BASE, "rule.md": RULES},
        ["a.yaml:5:11: the file 'rules.md' does not exist; accepted: the path of a Markdown file, relative "
         "to this file, such as rule.md (did you mean 'rule.md'?)"]),
    "document of bytes": (
        {"a.yaml": BASE, "rules.md": b"# Caf\x81\n"},  # not a character of Windows-1252 either
        [f"rules.md:1:6: the byte 0x81 is not UTF-8; accepted: {SAVED_AS_UTF8}"]),
    "document with a NUL": (
        {"a.yaml": BASE, "rules.md": RULES + "\0"},
        ["rules.md:16:1: the character U+0000 is not allowed in a document; accepted: printable text"]),
    "large document": (
        {"a.yaml": BASE, "rules.md": RULES + "x" * 600_000},
        ["rules.md: the file is too large; accepted: at most 524,288 bytes"]),
    "anchor in the document twice": (
        {"a.yaml": BASE, "rules.md": RULES + "\n## More {#how}\n"},
        ["rules.md:17:1: duplicate anchor '#how' (first in line 13); accepted: each anchor once"]),
    "anchor in the file too": (
        {"a.yaml": BASE + "passages:\n  how: Plainly.\n", "rules.md": RULES},
        ["a.yaml:12:3: the passage 'how' is also in rules.md:13; accepted: each anchor once"]),
    "another document with an anchor of the base": (
        {"a.yaml": HEAD + "document: mine.md\n", "base.yaml": BASE, "rules.md": RULES,
         "mine.md": "# Mine\n\n## Avoiding harm\n\nNever mind.\n"},
        ["a.yaml:3:11: the document's passage '#avoiding-harm' differs from that of base.yaml, which the "
         "principle 'kind' refers to; accepted: a different anchor, or the passage under passages to replace "
         "it"]),
}
# fmt: on


@pytest.mark.parametrize(("files", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_where_it_can_be_mended(tmp_path, files, lines):
    found = told(tmp_path, files)
    expected = [line.partition("; accepted: ") for line in lines]
    assert [line.partition("; accepted: ")[0] for line in found] == [what for what, _, _ in expected]
    for line, (_, _, accepted) in zip(found, expected, strict=True):
        assert (
            accepted in ("ENTRY", "ADVICE")
            or accepted.startswith("KEYS")
            or line.endswith(f"; accepted: {accepted}")
        )


def test_a_base_that_was_wrong_by_itself_is_told_once(tmp_path):
    files = {
        "a.yaml": HEAD + "sections: [t]\n",
        "base.yaml": "name: b\nsections: [s]\nprinciples:\n- {id: k, text: t, section: z}\n",
    }
    assert told(tmp_path, files) == ["base.yaml:4:29: unknown section 'z'; accepted: one of: s"]


def test_a_duplicate_names_the_file_of_the_first(tmp_path):
    files = {"a.yaml": HEAD + "sections: [safety, manner, safety]\n", "base.yaml": BASE, "rules.md": RULES}
    assert told(tmp_path, files) == [
        "a.yaml:3:28: duplicate section 'safety' (first in line 3); accepted: each section once"
    ]


def test_section_of_a_principle_is_found_by_id(load):
    text = "name: base\nprinciples:\n- {id: kind, text: It is kind., section: manner}\n"
    constitution = load({"base.yaml": text + "- {id: brief, text: It is brief.}\n"})
    assert [constitution.section_of(name) for name in ("kind", "brief", "none", None)] == [
        "manner",
        None,
        None,
        None,
    ]
