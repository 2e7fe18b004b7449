"""Project folders: the files that `publius init` writes, and the location of the request cache."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from constitution.file_schema import SCHEMA_NAME, json_schema_text, with_header
from constitution.loader import preset_path, read_constitution
from constitution.schema import Constitution
from core.errors import RunStateError, shell_command
from core.store.cache import RequestCache
from core.store.files import is_there, os_errors, write_atomic
from core.text.yaml_writing import yaml_flow
from prompts.conditions import Conditions
from publius.config.run_schema import RUN_SCHEMA_NAME, run_schema_text

_CACHE = "cache"
DEFAULT_PRESET = "helpful-honest-harmless"
_EVAL_TOKENS = 112, 160
"""Least and most tokens of an answer in the evaluation of a new project, which the embedded model answers."""
_TOKENS_PER_WORD = 1.6
"""Tokens of the embedded model's vocabulary for a word of English, with room for lists and names."""
OWN_LIMIT = 24
"""Most prompts of one's own that a new run file takes."""
_FEW = "as many of your prompts; null for all"
DEFAULT_PROMPT = "My neighbour plays loud music every night. What should I do?"


@dataclass(frozen=True)
class OwnFiles:
    """Files of the user's own that a new project names where they are, in place of files that it writes."""

    constitution: Path | None = None
    prompts: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """The prompt file's column for each of ours, as in `prompts.columns` of a run file."""
    where: Conditions = field(default_factory=dict)
    """Values that columns of its rows must have, as in `prompts.where`."""
    split: Mapping[str, str] | None = None
    """The data set's split for each one of the run, as in `prompts.split`."""
    html: str | None = None
    """What becomes of HTML in the prompts, as in `prompts.html`."""
    tools: str | None = None
    """What becomes of conversations with calls of tools, as in `prompts.tools`."""
    quotes: str | None = None
    """What becomes of quoted mail and signatures in them, as in `prompts.quotes`."""


def init_project(folder: Path, preset: str = DEFAULT_PRESET, own: OwnFiles | None = None) -> list[Path]:
    """Write a constitution that extends the preset, run file, schemas and prompts; return their paths.

    Args:
        folder: the project.
        preset: the preset that the constitution extends, and whose prompts are written.
        own: files that are used instead; they are neither copied nor changed.

    Raises:
        RunStateError: if one of the files exists; nothing is written then.
        ConfigError: if the constitution of one's own is invalid.
    """
    own = own or OwnFiles()
    named = own.constitution or preset_path(preset)
    constitution = read_constitution(named).constitution
    prompts = preset_prompts(preset)
    contents = {
        "constitution.yaml": with_header(_own_constitution(preset, constitution)),
        SCHEMA_NAME: json_schema_text(),
        "run.yaml": _with_own_files(_run_file(prompts, constitution), folder, own),
        RUN_SCHEMA_NAME: run_schema_text(),
        "prompts.jsonl": prompts,
        ".gitignore": "/.publius/\n/runs/\n/compared-*.html\n",
    }
    if own.constitution is not None:
        del contents["constitution.yaml"]
    if own.prompts is not None:
        del contents["prompts.jsonl"]
    taken = [name for name in contents if is_there(folder / name)]
    if taken:
        raise RunStateError(
            f"the folder already contains a project ({', '.join(taken)}); nothing was written",
            where=str(folder),
            accepted="a new or empty folder",
            run=shell_command("publius", "run", folder / "run.yaml"),
        )
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_atomic(folder / name, text)
    return [folder / name for name in contents]


def preset_prompts(preset: str) -> str:
    """Return the prompts that come with a preset, a JSON object a line.

    A preset for questions of all kinds has those of the demo.
    """
    own = files("prompts") / "presets" / f"{preset}.jsonl"
    return (own if own.is_file() else files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8")


def _own_constitution(preset: str, constitution: Constitution) -> str:
    """Return a small constitution that extends a preset, with the preset's rules as comments."""
    template = (files("publius") / "templates" / "constitution.yaml").read_text(encoding="utf-8")
    section = f"#     section: {constitution.sections[-1]}\n" if constitution.sections else ""
    listed = "".join(f"#   {rule.id}\n{_comment(rule.text)}" for rule in constitution.principles)
    values = {"PRESET": preset, "VERSION": constitution.version, "SECTION": section, "RULES": listed}
    values |= {"CHANGED": constitution.principles[0].id, "REMOVED": constitution.principles[-1].id}
    for key, value in values.items():
        template = template.replace(f"<{key}>", value)
    return template


def _comment(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="#       ", subsequent_indent="#       ") + "\n"


def _run_file(prompts: str, constitution: Constitution) -> str:
    """Return the run file of a new project, which says how many of its prompts are for what."""
    template = (files("publius") / "templates" / "run.yaml").read_text(encoding="utf-8")
    splits = Counter(json.loads(line)["split"] for line in prompts.splitlines())
    most = f"max_new_tokens: {_EVAL_TOKENS[1]}}}"  # the template itself is a valid run file
    template = template.replace(most, f"max_new_tokens: {_eval_tokens(constitution)}}}")
    return template.replace("<TRAIN>", str(splits["train"])).replace("<TEST>", str(splits["test"]))


def _with_own_files(run_file: str, folder: Path, own: OwnFiles) -> str:
    """Return a run file named after its folder, with the user's own files relative to it."""
    if own.constitution is not None:
        named = json.dumps(_from(folder, own.constitution))
        run_file = run_file.replace("constitution: constitution.yaml", f"constitution: {named}", 1)
        run_file = run_file.replace("# Edit constitution.yaml and", f"# Edit {own.constitution.name} and", 1)
    if own.prompts is not None:
        path = json.dumps(_from(folder, own.prompts))
        columns = f", columns: {json.dumps(dict(own.columns))}" if own.columns else ""
        where = f", where: {yaml_flow(dict(own.where))}" if own.where else ""
        split = f", split: {yaml_flow(dict(own.split))}" if own.split else ""
        settings = {"html": own.html, "tools": own.tools, "quotes": own.quotes}
        read = "".join(f", {name}: {value}" for name, value in settings.items() if value)
        line = f"prompts: {{path: {path}, limit: {OWN_LIMIT}{split}{columns}{where}{read}}}   # limit: {_FEW}"
        run_file = re.sub(r"(?m)^prompts: \{path: prompts\.jsonl.*$", lambda _: line, run_file)
        run_file = re.sub(r"On the \d+ test prompts", "On the test prompts", run_file)
    return run_file.replace("name: demo\n", f"name: {_run_name(folder)}\n", 1)


def _run_name(folder: Path) -> str:
    """Return a name of runs after the project's folder; `demo` if nothing of its name can be used."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:64]
    return json.dumps(name) if name else "demo"


def _from(folder: Path, path: Path) -> str:
    """Return a path as seen from a folder; a Hugging Face id as it is."""
    return os.path.relpath(path.resolve(), folder.resolve()) if is_there(path) else str(path)


def _eval_tokens(constitution: Constitution) -> int:
    """Return the longest answer of a demonstration's evaluation, in tokens.

    An answer that is cut off before it exceeds a word limit would pass for one that keeps it.
    """
    checks = [principle.check for principle in constitution.principles if principle.check]
    words = [check.value for check in checks if check.kind == "max_words"]
    longest = max((int(value) for value in words if isinstance(value, int)), default=_EVAL_TOKENS[1])
    least, most = _EVAL_TOKENS
    return min(most, max(least, round(_TOKENS_PER_WORD * longest)))


def open_cache(project: Path, max_bytes: int | None = None, name: str = _CACHE) -> RequestCache:
    """Open the project's request cache, which all of its runs share.

    Args:
        project: the project.
        max_bytes: bound on its size; None for no bound.
        name: name of its file, of another cache than that of the project if it is given.
    """
    return RequestCache(_cache_path(project, name), max_bytes)


def has_cache(project: Path) -> bool:
    """Return True if the project has a request cache."""
    return is_there(_cache_path(project))


def _cache_path(project: Path, name: str = _CACHE) -> Path:
    return project / ".publius" / f"{name}.sqlite"
