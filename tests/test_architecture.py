"""The arrows between the rooms, and what importing a room may load."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

MAY_IMPORT = {
    "core": set(),
    "constitution": {"core"},
    "prompts": {"core", "constitution"},
    "engines": {"core"},
    "labelers": {"core", "constitution", "prompts", "engines"},
    "critique": {"core", "constitution", "prompts", "engines", "labelers"},
    "training": {"core", "engines"},
    "evaluation": {"core", "constitution", "prompts", "engines", "labelers", "critique", "training"},
    "publius": {
        "core",
        "constitution",
        "prompts",
        "engines",
        "labelers",
        "critique",
        "training",
        "evaluation",
    },
}
HEAVY = ("torch", "transformers", "vllm", "trl", "ray", "datasets", "httpx2")
HEAVY_BY_NATURE = {
    "engines.hf.attention",
    "engines.hf.decoding",
    "engines.hf.kv_cache",
    "engines.hf.weights.layout",
    "engines.hf.weights.packed",
    "engines.hf.packing",
    "engines.hf.parts",
    "engines.hf.prefill",
    "engines.hf.prefixes",
    "engines.hf.reward_model",
    "engines.hf.sampling",
    "engines.hf.self_check",
    "engines.judge.states",
    "training.rl.optimizer",
    "training.rl.ppo.actor_critic",
    "training.rl.ppo.drawing",
    "training.rl.ppo.advantages",
    "training.callbacks",
    "training.distill.divergence",
    "training.distill.loop",
    "training.edits.objective",
    "training.divergence",
    "training.pairs.dpo_objective",
    "training.rl.ppo.experience",
    "training.rl.kl",
    "training.logprobs",
    "training.pairs.losses",
    "training.rl.merged",
    "training.packed",
    "training.steps.objective",
    "training.rl.ppo.loop",
    "training.rl.ppo.losses",
    "training.rl.ppo.objectives",
    "training.rl.ppo.state",
    "training.rl.ppo.update",
    "training.pairs.reference",
    "training.pairs.reward_objective",
    "training.rl.metrics",
    "training.steps.answers",
    "training.steps.trainer",
    "training.rl.watch",
}
"""Modules that may import a heavy package at their top. All others reach them from inside functions only."""

ALLOWED_TWICE = {
    "main": "`python -m publius` checks the rooms before it imports the command line, whose own main it runs",
}
"""Public names that several modules may define, with the reason."""

FACADE = "publius"
"""The one package file with code in it: `import publius`, lazily."""
FLOORS = (
    ("config", "sources", "console", "doctor"),
    ("runs",),
    ("labels", "models"),
    ("stages",),
    ("audit", "authoring", "serving"),
    ("studio", "views"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
"""Modules and sub-packages of publius from the ground up; each imports only what is on a lower floor."""

ROOMS = [room for room in MAY_IMPORT if (REPOSITORY / room / "__init__.py").exists()]


def modules_of(room: str) -> list[Path]:
    return sorted((REPOSITORY / room).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """The top-level names of all imports of a module, those inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays in its room: it has no name before the first dot that could be another.
            names |= {(node.module or "").partition(".")[0]} if node.level == 0 else {path.parent.name}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_what_lies_below_it(room: str):
    allowed = MAY_IMPORT[room] | {room}
    wrong = {
        str(path.relative_to(REPOSITORY)): sorted(imported_packages(path) & MAY_IMPORT.keys() - allowed)
        for path in modules_of(room)
        if imported_packages(path) & MAY_IMPORT.keys() - allowed
    }
    assert wrong == {}


def test_nothing_imports_the_pipeline():
    assert all("publius" not in allowed for allowed in MAY_IMPORT.values())


def test_function_level_imports_are_seen(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from publius.cli import main\n    import core.store.record_store\n")
    assert imported_packages(path) == {"publius", "core"}


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_a_heavy_package_at_its_top(room: str):
    program = f"""
import importlib, pkgutil, sys
package = importlib.import_module({room!r})
for module in pkgutil.walk_packages(package.__path__, {room + "."!r}):
    if module.name not in {set(HEAVY_BY_NATURE)!r} and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        loaded = [name for name in {HEAVY!r} if name in sys.modules]
        assert not loaded, f"importing {{module.name}} loads {{loaded}}"
"""
    child = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for room in ROOMS for path in modules_of(room)}


def modules_imported_by(path: Path) -> set[str]:
    """The modules of ours that a module imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            # `from a.b import c` names a module a.b.c or something in the module a.b.
            full = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in full}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


@cache
def import_graph() -> dict[str, set[str]]:
    """For each module the modules that it imports; the facade hands names on and is left out."""
    return {
        name: modules_imported_by(path) - {name, FACADE} for name, path in MODULES.items() if name != FACADE
    }


def box_of(module: str, room: str) -> str | None:
    """The module or sub-package directly below a room that a module is, or lies in."""
    parts = module.split(".")
    return parts[1] if parts[0] == room and len(parts) > 1 else None


def box_graph(room: str) -> dict[str, set[str]]:
    """For each module and sub-package of a room the others that it imports."""
    graph: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        box = box_of(module, room)
        if box is not None:
            graph.setdefault(box, set()).update(
                other for name in imported if (other := box_of(name, room)) not in (None, box)
            )
    return graph


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter(import_graph()).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("room", ROOMS)
def test_no_sub_package_imports_itself_by_way_of_others(room: str):
    TopologicalSorter(box_graph(room)).prepare()


def test_publius_imports_run_from_the_command_line_down():
    floor_of = {box: number for number, floor in enumerate(FLOORS) for box in floor}
    graph = box_graph("publius")
    assert graph.keys() == floor_of.keys()
    wrong = {
        f"{box} -> {other}"
        for box, others in graph.items()
        for other in others
        if floor_of[other] >= floor_of[box]
    }
    assert wrong == set()


def test_the_top_room_is_small():
    boxes, levels = box_graph("publius"), 0
    assert len(boxes) <= 16
    sorter = TopologicalSorter(boxes)
    sorter.prepare()
    while sorter.is_active():
        levels, ready = levels + 1, sorter.get_ready()
        sorter.done(*ready)
    assert levels <= 9


def test_no_folder_holds_more_than_fourteen_modules():
    folders = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in folders.items() if count > 14} == {}


def public_names(path: Path) -> set[str]:
    """The functions, classes and assigned names at the top of a module that do not begin with `_`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
            }
    return {name for name in names if not name.startswith("_")}


def test_public_names_are_defined_once():
    modules: dict[str, list[str]] = {}
    for path in (path for room in ROOMS for path in modules_of(room)):
        for name in public_names(path):
            modules.setdefault(name, []).append(str(path.relative_to(REPOSITORY)))
    twice = {name: places for name, places in modules.items() if len(places) > 1}
    assert len(ALLOWED_TWICE) <= 5
    assert {name: places for name, places in twice.items() if name not in ALLOWED_TWICE} == {}
    assert sorted(ALLOWED_TWICE.keys() - twice.keys()) == []


def test_only_commands_know_typer_and_only_views_print():
    commands = [name for name, path in MODULES.items() if "typer" in imported_packages(path)]
    assert [name for name in commands if not name.startswith(("publius.cli", "publius.commands."))] == []
    printing = [name for name, imported in import_graph().items() if "publius.console" in imported]
    allowed = ("publius.cli", "publius.commands.", "publius.views.")
    assert [name for name in printing if not name.startswith(allowed)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_package_files_hold_only_a_docstring(room: str):
    for path in (REPOSITORY / room).rglob("__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        assert len(tree.body) == 1 or module_name(path) == FACADE, path


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_typed_and_packaged_and_checked(room: str):
    assert (REPOSITORY / room / "py.typed").exists()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert room in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert room in project["tool"]["mypy"]["packages"]


def test_every_test_folder_is_a_package():
    # Without it, `tests/critique` would be imported as `critique` and hide the room.
    folders = [path for path in (REPOSITORY / "tests").rglob("*") if any(path.glob("*.py"))]
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
