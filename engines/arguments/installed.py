"""Check the arguments of a run file against those that the installed vLLM takes.

vLLM itself is not imported, which takes ten seconds: names and types are read from the source of the
installed version's `AsyncEngineArgs`.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from core.errors import ConfigError
from engines.arguments.rules import OWNED

_MODULE = "vllm.engine.arg_utils"
_PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "dict": dict, "list": list}
_GENERIC: dict[str, Any] = {"list": list, "set": set, "dict": dict}


def require_known(arguments: Mapping[str, JsonValue], where: str, version: str) -> None:
    """Check arguments against those that the installed vLLM takes.

    Args:
        arguments: names and values.
        where: the setting that has them, for error messages.
        version: the installed version of vLLM, for error messages.

    Raises:
        ConfigError: if vLLM has no such argument, or a value is not of its type.
    """
    known = _annotations() if arguments else {}
    if not known:  # a version whose source is laid out differently: vLLM itself refuses what it does not take
        return
    for name, value in arguments.items():
        if name not in known:
            near = difflib.get_close_matches(name.replace("-", "_"), known.keys() - OWNED.keys(), n=1)
            raise ConfigError(
                f"vLLM {version} has no argument {name!r}",
                where=where,
                accepted=near[0] if near else "a field of vLLM's AsyncEngineArgs",
            )
        annotation = known[name]
        try:
            # As JSON, because that is how the host process gets it: a list there may become a set.
            TypeAdapter(_type_of(annotation)).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            raise ConfigError(
                f"vLLM {version} does not take {json.dumps(value)} here",
                where=f"{where}.{name}",
                accepted=_described(annotation),
            ) from error


@lru_cache(maxsize=1)
def _annotations() -> dict[str, ast.expr]:
    """Return the type annotation of every argument of the installed vLLM; empty if they are not found."""
    body = _parsed(_MODULE).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    found: dict[str, ast.expr] = {}
    waiting = [name for name in classes if name == "AsyncEngineArgs"]
    while waiting:
        one = classes[waiting.pop()]
        waiting += [base.id for base in one.bases if isinstance(base, ast.Name) and base.id in classes]
        for line in one.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                found.setdefault(line.target.id, line.annotation)
    return {name: annotation for name, annotation in found.items() if not name.startswith("_")}


@lru_cache(maxsize=8)
def _parsed(module: str) -> ast.Module:
    """Return the syntax tree of a module of vLLM without importing it; empty if there is none."""
    package = find_spec("vllm")
    if package is None or not package.submodule_search_locations:
        return ast.parse("")
    path = Path(package.submodule_search_locations[0]).joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")


def _type_of(node: ast.expr) -> Any:
    """Return the type of an annotation; Any for what vLLM alone can check, such as its own classes."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str() as quoted):
            return _type_of(ast.parse(quoted, mode="eval").body)
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Name(id=name):
            choices = _choices(name)
            return Any if choices is None else Literal[choices]
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return Any if Any in (types := (_type_of(left), _type_of(right))) else types[0] | types[1]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            return Literal[_values(values)]
        case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in _GENERIC:
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _GENERIC[name][tuple(_type_of(part) for part in parts)]
    return Any


def _choices(alias: str) -> tuple[Any, ...] | None:
    """Return the values of an alias such as `CacheDType = Literal[...]`; None if it is anything else."""
    for line in ast.walk(_parsed(_MODULE)):
        if not isinstance(line, ast.ImportFrom) or alias not in [name.name for name in line.names]:
            continue
        for other in _parsed(line.module or "").body:
            match other:
                case ast.Assign(
                    targets=[ast.Name(id=name)],
                    value=ast.Subscript(value=ast.Name(id="Literal"), slice=values),
                ) if name == alias:
                    return _values(values)
    return None


def _values(node: ast.expr) -> tuple[Any, ...]:
    values = node.elts if isinstance(node, ast.Tuple) else [node]
    return tuple(ast.literal_eval(value) for value in values)


def _described(node: ast.expr) -> str:
    """Return the accepted values of an annotation for an error message."""
    match node:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return f"{_described(left)}, {_described(right)}"
        case ast.Constant(value=None):
            return "null"
        case ast.Name(id=name) if name not in _PLAIN and (choices := _choices(name)) is not None:
            return ", ".join(map(str, choices))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            return ", ".join(map(str, _values(values)))
    return ast.unparse(node)
