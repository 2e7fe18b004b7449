"""Output of `publius test`, on the terminal and as JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from core.notices import counted
from core.store.files import os_errors, write_atomic
from core.text.explain import yaml_line
from publius.authoring.examples import OUTCOMES, ExamReport
from publius.console import out

_JUNIT = {"failed": "failure", "unparsed": "error", "skipped": "skipped"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def print_exams(report: ExamReport, *, verbose: bool) -> None:
    """Print a line for each failed or unparsed example, with `verbose` for every example, and the totals."""
    for result in report.results:
        if verbose or result.outcome in ("failed", "unparsed"):
            prompt = yaml_line(" ".join(result.exam.example.prompt.split()))
            line = (
                f"{result.exam.where}: {result.outcome.upper()} {result.exam.name}: {result.detail}; {prompt}"
            )
            out.print(line)
    out.print("; ".join(_summary(report)))


def _summary(report: ExamReport) -> Iterator[str]:
    yield ", ".join(f"{report.count(outcome):,} {outcome}" for outcome in OUTCOMES)
    if report.model is not None:
        yield f"judged by {report.model}"
    if report.untested:
        yield f"{counted(len(report.untested), 'principle')} without test examples"


def write_junit(report: ExamReport, path: Path) -> None:
    """Write the results as JUnit XML. Unparsed examples become errors, failed ones failures."""
    counts = {
        "tests": len(report.results),
        "failures": report.count("failed"),
        "errors": report.count("unparsed"),
        "skipped": report.count("skipped"),
    }
    name = _xml(report.loaded.constitution.name)
    suite = ElementTree.Element("testsuite", {"name": name, **{key: str(n) for key, n in counts.items()}})
    for result in report.results:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": name, "name": result.exam.name, "file": _xml(result.exam.where)}
        )
        if result.outcome in _JUNIT:
            element = ElementTree.SubElement(case, _JUNIT[result.outcome], {"message": _xml(result.detail)})
            element.text = _xml(result.exam.example.prompt)
    with os_errors(path):
        write_atomic(path, ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n")


def _xml(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
