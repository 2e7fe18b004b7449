"""Code that a file names runs only where it is allowed, and its mistakes are one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from constitution.checks.evaluate import CheckResult, evaluate
from constitution.loader import load_constitution
from core.code import ALLOW_CODE
from core.errors import ConfigError

RULES = """
def short(text):
    return min(1.0, 2 / max(1, len(text.split())))

def polite(text):
    return "please" in text

def raises(text):
    return {}[text]

def leaves(text):
    raise SystemExit("bye")

def nothing(text):
    return None

def too_much(text):
    return 1.5

def not_a_number(text):
    return float("nan")

number = 3
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a module of its own name, since modules are imported once in a process."""
    name = "rules_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(RULES)
    monkeypatch.setenv(ALLOW_CODE, "1")

    def constitution(function, module=name, extra=""):
        path = tmp_path / "c.yaml"
        head = "name: x\nprinciples:\n- id: a\n  text: t\n  check: "
        path.write_text(head + f"{{kind: python, value: '{module}:{function}'{extra}}}\n")
        return load_constitution(path)

    yield constitution
    sys.modules.pop(name, None)


def check_of(constitution):
    (principle,) = constitution.principles
    return principle.check


def test_code_that_is_not_allowed_is_not_even_imported(tmp_path, monkeypatch):
    monkeypatch.delenv(ALLOW_CODE, raising=False)
    (tmp_path / "trap_rules.py").write_text("open('sprung', 'w').close()\ndef f(text): return True\n")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text("- Be kind.\n- {text: t, check: {kind: python, value: 'trap_rules:f'}}\n")
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path}:2:42"
    assert problem.what == "the check runs the code trap_rules:f, which is not allowed"
    assert problem.run == "publius --allow-code ..., or set PUBLIUS_ALLOW_CODE=1, once you have read the code"
    assert not (tmp_path / "sprung").exists()


def test_a_function_scores_by_a_number_and_passes_by_one(project):
    check = check_of(project("short"))
    assert evaluate(check, "two words") == CheckResult(True, 1.0)
    assert evaluate(check, "one two three four") == CheckResult(False, 0.5)


def test_a_function_may_say_true_or_false(project):
    check = check_of(project("polite"))
    assert evaluate(check, "please") == CheckResult(True, 1.0)
    assert evaluate(check, "now") == CheckResult(False, 0.0)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", "failed (KeyError: 'some text')"),
        ("leaves", "failed (SystemExit: bye)"),
        ("nothing", "returned None"),
        ("too_much", "returned 1.5"),
        ("not_a_number", "returned nan"),
    ],
)
def test_a_function_that_gives_no_verdict_is_one_line(project, function, said):
    check = check_of(project(function))
    with pytest.raises(ConfigError) as caught:
        evaluate(check, "some text")
    assert str(caught.value).startswith(
        f"check: python: the function {check.value} {said}; accepted: true, false, or"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("number",), "is of type int, not a function"),
        (("absent",), "cannot be loaded (AttributeError"),
        (("f", "no_such_module_at_all"), "cannot be loaded (ModuleNotFoundError"),
    ],
)
def test_a_function_that_is_not_there_is_refused_at_its_place(project, tmp_path, place, said):
    with pytest.raises(ConfigError) as caught:
        project(*place)
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 'c.yaml'}:5:32"
    assert said in problem.what
    assert problem.accepted.startswith("module:function, with the module next to the constitution")


def test_an_edit_of_the_code_is_another_constitution(project, tmp_path):
    (source,) = tmp_path.glob("rules_*.py")
    before = project("polite")
    source.write_text(RULES + "# another thought\n")
    after = project("polite")
    assert before.digest != after.digest
    source.write_text(RULES)
    assert project("polite").digest == before.digest


def test_a_file_that_holds_the_digest_is_refused_once_the_code_is_another(project, tmp_path):
    constitution = project("polite")
    copy = tmp_path / "copy.yaml"
    copy.write_text(constitution.to_yaml())
    assert load_constitution(copy) == constitution
    (source,) = tmp_path.glob("rules_*.py")
    source.write_text(RULES + "# another thought\n")
    with pytest.raises(ConfigError, match="does not match the digest"):
        load_constitution(copy)


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken_for_it(project, tmp_path, monkeypatch):
    check_of(project("polite"))
    (source,) = tmp_path.glob("rules_*.py")
    other = tmp_path / "other"
    other.mkdir()
    (other / source.name).write_text("def polite(text): return False\n")
    path = other / "c.yaml"
    path.write_text(f"- {{text: t, check: {{kind: python, value: '{source.stem}:polite'}}}}\n")
    with pytest.raises(ConfigError, match=r"another module .* is already imported from .*; rename "):
        load_constitution(path)


def test_the_constitution_of_a_run_finds_the_module_beside_the_project(project, tmp_path):
    constitution = project("polite")
    run = tmp_path / "runs" / "x-12345678"
    run.mkdir(parents=True)
    (run / "constitution.yaml").write_text(constitution.to_yaml())
    (source,) = tmp_path.glob("rules_*.py")
    sys.modules.pop(source.stem)  # as in another process
    with pytest.raises(ConfigError, match="No module named"):
        load_constitution(run / "constitution.yaml")  # what lies above any other folder is somebody else's
    (run / "manifest.json").write_text("{}")
    assert load_constitution(run / "constitution.yaml").digest == constitution.digest


@pytest.mark.parametrize("line", [["--allow-code", "check", "c.yaml"], ["check", "c.yaml", "--allow-code"]])
def test_the_option_may_stand_anywhere_in_the_command(tmp_path, line):
    (tmp_path / "my_rules.py").write_text(RULES)
    (tmp_path / "c.yaml").write_text("- {text: t, check: {kind: python, value: 'my_rules:polite'}}\n")
    program = [sys.executable, "-m", "publius"]
    allowed = subprocess.run([*program, *line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (allowed.returncode, allowed.stderr) == (0, "")
    refused = subprocess.run(
        [*program, "check", "c.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "c.yaml:1:42: the check runs the code my_rules:polite" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_option_behind_two_dashes_is_an_argument_like_any_other():
    from publius.cli import _with_root_option_first

    assert _with_root_option_first(["show", "--", "--allow-code"]) == ["show", "--", "--allow-code"]
    assert _with_root_option_first(["a", "--allow-code", "b"]) == ["--allow-code", "a", "b"]
