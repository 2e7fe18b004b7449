"""YAML output for Publius's own reader and for users: multi-line texts as blocks, ambiguous texts quoted."""

from __future__ import annotations

import re

import yaml

_LOOKS_LIKE_A_NUMBER = re.compile(r"[-+.]?[0-9.][\w.+-]*")
_BYTE_ORDER_MARK = "\ufeff"


def yaml_text(value: object, width: int = 100) -> str:
    """Return a value as YAML that `core.text.yaml_file` reads back unchanged, with keys in the given order.

    PyYAML alone would write a text such as `1e5` without quotes, which YAML 1.2 reads as a number.

    Args:
        value: Mappings, lists, texts, numbers, booleans and None.
        width: Maximum line length, where a text can be wrapped.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def yaml_flow(value: object) -> str:
    """Return a value as YAML on one line, such as `{kind: max_words, value: 80}`."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=2**31 - 1
    )
    return text.removesuffix("...\n").strip()


class _Dumper(yaml.SafeDumper):
    """YAML dumper that indents lists below their key, uses no anchors, and writes texts by `_text`."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent by one level, including lists."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Write a repeated value in full each time: Publius's reader does not accept anchors."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _BYTE_ORDER_MARK in text or _LOOKS_LIKE_A_NUMBER.fullmatch(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
