"""YAML for our own reader and for people: texts of several lines as blocks, quotes where one could err."""

from __future__ import annotations

import re

import yaml

_LOOKS_LIKE_A_NUMBER = re.compile(r"[-+.]?[0-9.][\w.+-]*")
_BYTE_ORDER_MARK = "\ufeff"


def yaml_text(value: object, width: int = 100) -> str:
    """Return a value as YAML from which `core.text.yaml_file` reads an equal one, keys in the order given.

    PyYAML alone would leave a text such as `1e5` without quotes, which YAML 1.2 takes for a number.

    Args:
        value: Mappings, lists, texts, numbers, true, false and null.
        width: Characters of a line at most, where a text can be broken.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, uses no anchors, and writes texts as `_text` says."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent by one level, lists too."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Write a value that occurs twice in full both times: our reader takes no anchors."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _BYTE_ORDER_MARK in text or _LOOKS_LIKE_A_NUMBER.fullmatch(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
