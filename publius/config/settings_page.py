"""The reference page of run files, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from publius.config.reference import REQUIRED, RunSetting, all_sections, section_meaning

_HEAD = """\
# Settings of run files

Every key of `run.yaml`, in the order of `resolved.yaml`, with its default and meaning. `publius schema run
--markdown` writes this page, from the same strings as the help of the commands and the JSON Schema.

A key such as `critique.rounds` is written in the file as `critique: {rounds: 2}`, or on separate lines, and
on the command line as `--set critique.rounds=2`. Settings of one stage are also in its help, such as
`publius label --help`. For completion and checks in an editor, `publius init` writes `run.schema.json` and
names it in the first line of `run.yaml`; `publius schema run --to run.schema.json` writes it for a run file
that you have.

Short forms: `prompts: FILE` for `prompts: {path: FILE}`; `policy: ID` for `policy: {id: ID}`, and the same
for the other roles; `gates: {METRIC: ">= 0.8"}`, and `gates: {METRIC: off}`.
"""


def settings_page() -> str:
    """Return the reference page."""
    return "\n".join([_HEAD, *_parts()])


def _parts() -> Iterator[str]:
    single = [settings[0] for settings in all_sections().values() if _is_single(settings)]
    yield "## General\n"
    yield from _table(single)
    for name, settings in all_sections().items():
        if not _is_single(settings):
            yield f"## `{name}`\n"
            yield section_meaning(name) + "\n"
            yield from _table([setting for setting in settings if setting.key != name])


def _is_single(settings: list[RunSetting]) -> bool:
    """Return True for a key that has no keys below it."""
    return len(settings) == 1 and "." not in settings[0].key


def _table(settings: list[RunSetting]) -> Iterator[str]:
    yield "| key | default | accepted | meaning |"
    yield "|---|---|---|---|"
    for one in settings:
        default = REQUIRED if one.default == REQUIRED else f"`{one.default}`"
        cells = (f"`{one.key}`", default, one.accepted, one.meaning)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""
