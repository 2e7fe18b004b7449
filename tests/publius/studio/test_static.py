"""The built page belongs to its sources, is small, and asks for nothing elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
FRONTEND = REPOSITORY / "frontend"
STATIC = REPOSITORY / "publius" / "studio" / "static"
MAX_COMPRESSED_BYTES = 400_000


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_built_files_are_those_of_the_sources():
    build = json.loads((STATIC / "build.json").read_text())
    sources = [
        *(path for path in (FRONTEND / "src").rglob("*") if path.is_file()),
        *(FRONTEND / name for name in ("build.mjs", "package.json", "package-lock.json")),
    ]
    now = {str(path.relative_to(FRONTEND)): digest_of(path) for path in sources}
    assert now == build["sources"], "run `make studio`"
    built = {path.name: digest_of(path) for path in STATIC.iterdir() if path.name != "build.json"}
    assert built == build["built"], "run `make studio`"


def test_page_is_small():
    shown = ("index.html", "studio.css", "studio.js", "theme.js", "icon.svg")
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in shown) <= MAX_COMPRESSED_BYTES


def test_page_has_no_inline_script_or_style_and_no_foreign_address():
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    assert re.findall(r"(?:src|href)=\"(?!/static/)", page) == []


def test_licences_of_what_is_bundled_are_shipped():
    licences = (STATIC / "licences.txt").read_text()
    for package in json.loads((FRONTEND / "package.json").read_text())["dependencies"]:
        assert f"{package} " in licences
