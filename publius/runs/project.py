"""Project folders: the files that `publius init` writes, and the location of the request cache."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from constitution.file_schema import SCHEMA_NAME, json_schema_text, with_header
from constitution.loader import preset_path, read_constitution
from core.errors import RunStateError, shell_command
from core.store.cache import RequestCache
from core.store.files import is_there, os_errors, write_atomic
from publius.config.run_schema import RUN_SCHEMA_NAME, run_schema_text

DEFAULT_PRESET = "helpful-honest-harmless"
DEFAULT_PROMPT = "My neighbour plays loud music every night. What should I do?"


def init_project(folder: Path, preset: str = DEFAULT_PRESET) -> list[Path]:
    """Write a constitution with its document, a run file, their schemas and demo prompts; return their paths.

    Raises:
        RunStateError: if one of the files exists; nothing is written then.
    """
    path, *documents = read_constitution(preset_path(preset)).files
    contents = {
        "constitution.yaml": with_header(path.read_text(encoding="utf-8")),
        **{document.name: document.read_text(encoding="utf-8") for document in documents},
        SCHEMA_NAME: json_schema_text(),
        "run.yaml": (files("publius") / "templates" / "run.yaml").read_text(encoding="utf-8"),
        RUN_SCHEMA_NAME: run_schema_text(),
        "prompts.jsonl": (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8"),
        ".gitignore": "/.publius/\n/runs/\n/compared-*.html\n",
    }
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


def open_cache(project: Path, max_bytes: int | None = None) -> RequestCache:
    """Open the project's request cache, which all of its runs share, with an optional bound on its size."""
    return RequestCache(_cache_path(project), max_bytes)


def has_cache(project: Path) -> bool:
    """Return True if the project has a request cache."""
    return is_there(_cache_path(project))


def _cache_path(project: Path) -> Path:
    return project / ".publius" / "cache.sqlite"
