"""Caveats of a run: reasons not to trust its texts, labels and numbers, to be read before any of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.errors import PubliusError
from core.notices import counted
from core.records import Judgment, Preference
from core.store.files import is_there
from core.store.scan import scan_records
from critique.scoring import CUT
from critique.supervised import CUT_REVISIONS
from labelers.ai import AI_LABELER
from labelers.check import CHECK_LABELER
from labelers.mixing import rules_of
from labelers.overruled import CheckedPairs, overruled_in_words, tally_checks
from publius.config.run_file import RunConfig
from publius.config.stand_ins import made_up, stand_in_roles, stand_ins_sentence
from publius.runs.inputs import RESOLVED, recorded_config
from publius.runs.manifest import MANIFEST, has_given_answers, read_manifest
from publius.runs.pairs.people import outvoted_caveats, people_caveats
from publius.runs.parts.audited import other_wording
from publius.runs.reader import readable_constitution
from training.methods import ON_POLICY_METHODS, RL_METHODS

STAND_INS = "stand_ins"
"""Key in the manifest of a run on another run's pairs: the roles whose texts were scripted there."""
_CUT_OFF = 0.1
"""Share of the answers cut off from which it is said."""
_EXCLUDED_AS_CUT_OFF = (("sample", CUT, "samples"), ("sft", CUT_REVISIONS, "revisions"))
"""Stages that leave out prompts because of the length of answers, each with its reason and their source."""
_COMPARISONS = "comparisons.jsonl"
"""File of a run's pairs, which another run may judge again."""
NEAR_DUPLICATES = "answers are near-duplicates"
"""Reason of the stage `label` to exclude a pair; in records of runs."""
_ANSWERED = ("critique", "sample", "compare", "eval", *ON_POLICY_METHODS)
"""Stages that ask the policy for answers."""
_SCORED = ("critique", "sample", *RL_METHODS)
"""Stages beside `label` that may ask the labeler."""
_BY_A_CHECK = f'"{CHECK_LABELER}"'.encode()
"""Text in the line of each judgment of a machine check."""
_BY_A_MODEL = f'"{AI_LABELER}"'.encode()
"""Text in the line of each judgment of the AI labeler."""
BY_POSITION = 0.4
"""Share of judgments decided by position from which the labeler is said to be hardly better than chance."""


def caveats(
    folder: Path,
    manifest: Mapping[str, Any],
    labels: Mapping[str, float | int],
    *,
    scripted: bool = True,
) -> tuple[str, ...]:
    """Return the caveats of a run as sentences, the most serious first.

    Args:
        folder: the run folder.
        manifest: its manifest.
        labels: metrics of its judgments; empty without any.
        scripted: False to leave out that the scripted engine stands in for a model.
    """
    roles = scripted_roles(folder, manifest) if scripted else ()
    first = (stand_ins_sentence(roles),) if roles else ()
    cut_off, pairs = int(labels.get("preferences.answers_cut_off", 0)), int(labels.get("preferences", 0))
    answers = cut_off_caveat(folder, manifest, cut_off, pairs)
    excluded = excluded_as_cut_off(folder, manifest)
    people = divided_people(folder, manifest)
    checks = check_caveats(folder)
    outvoted = outvoted_caveats(folder)
    return (*first, *answers, *excluded, *people, *outvoted, *checks, *labeler_caveats(manifest, labels))


def reason_in_words(reason: str) -> str:
    """Return the reason of an exclusion with the setting that keeps such records, if there is one."""
    kept = " (--set label.near_duplicate=1 keeps those that differ in a word)"
    return reason + kept if reason == NEAR_DUPLICATES else reason


def divided_people(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence if the people who judged a run's pairs hardly agree."""
    if (folder / RESOLVED).exists() and (folder / "preferences.jsonl").exists():
        return people_caveats(folder, manifest)
    return ()


def check_caveats(folder: Path) -> tuple[str, ...]:
    """Return sentences about machine checks that the labels of a run go against or cannot follow."""
    constitution, found = readable_constitution(folder), checks_in_labels(folder)
    if constitution is None or not found:
        return ()
    rules = rules_of(recorded_config(folder).label)
    mixed = any(rule.mix in ("weights", "pooled") for rule in rules)
    return tuple(overruled_in_words(found, constitution, mixed=mixed))


def checks_in_labels(folder: Path) -> Mapping[str, CheckedPairs]:
    """Return how the labels of a run go with its machine checks, by principle; empty without labels."""
    files = [folder / name for name in ("preferences.jsonl", "judgments.jsonl")]
    if not (folder / RESOLVED).exists() or not all(file.exists() for file in files):
        return {}
    return _checks_in_labels(folder, *((file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)  # `show` names them among the caveats, and chooses by them what to look at next
def _checks_in_labels(folder: Path, *_versions: tuple[int, int]) -> Mapping[str, CheckedPairs]:
    constitution = readable_constitution(folder)
    if constitution is None or all(principle.check is None for principle in constitution.steering):
        return {}
    judgments = scan_records(folder / "judgments.jsonl", Judgment, having=_BY_A_CHECK)
    preferences = scan_records(folder / "preferences.jsonl", Preference)
    confidence = recorded_config(folder).label.check_confidence
    return MappingProxyType(tally_checks(preferences, judgments, constitution, confidence))


def made_up_in(*folders: Path) -> str:
    """Return in a clause which texts and labels of runs the scripted engine made up; empty if none.

    Args:
        folders: run folders, or folders of human labels, of which nothing is said. With more than one, the
            clause names the run.
    """
    found = {
        folder: made_up(scripted_roles(folder, read_manifest(folder)))
        for folder in folders
        if is_there(folder / MANIFEST)
    }
    if len(folders) == 1:
        return next(iter(found.values()), "")
    return "; ".join(f"{said} ({folder})" for folder, said in found.items() if said)


def cut_off_caveat(folder: Path, manifest: Mapping[str, Any], cut_off: int, pairs: int) -> tuple[str, ...]:
    """Return a sentence if many answers were cut off, with the setting to raise where the run has one.

    Args:
        folder: the run folder.
        manifest: its manifest.
        cut_off: number of answers in the pairs that were cut off.
        pairs: number of pairs, of two answers each.
    """
    answers = 2 * pairs
    if not cut_off or cut_off < _CUT_OFF * answers:
        return ()
    are = "is" if cut_off == 1 else "are"
    said = f"{cut_off:,} of {counted(answers, 'answer')} in the pairs {are} cut off at the token limit"
    if has_given_answers(manifest) or not (folder / RESOLVED).exists():  # the pairs came as they are
        return (f"{said}.",)
    limits = (f"{name} ({tokens:,})" for name, tokens in pair_limits(recorded_config(folder)).items())
    of_dpo = "DPO leaves out pairs whose chosen answer is cut off"
    return (f"{said}, and {of_dpo}; raise {' and '.join(limits)}.",)


def excluded_as_cut_off(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each stage that left out many prompts because every answer is cut off.

    Args:
        folder: the run folder, whose settings name the limits.
        manifest: its manifest.
    """
    found = []
    for stage, reason, source in _EXCLUDED_AS_CUT_OFF:
        entry = manifest.get("stages", {}).get(stage, {})
        count = entry.get("left_out", {}).get(reason, 0)
        if count and count >= _CUT_OFF * (entry.get("records", 0) + count) and (folder / RESOLVED).exists():
            limits = (f"{name} ({n:,})" for name, n in _limits_of(recorded_config(folder), source).items())
            are = "is" if count == 1 else "are"
            left_out = f"{counted(count, 'prompt')} {are} left out by {stage}: {reason}"
            found.append(f"{left_out}; raise {' and '.join(limits)}.")
    return tuple(found)


def pair_limits(config: RunConfig) -> dict[str, int]:
    """Return the settings that limit the answers of the pairs, with their values in tokens."""
    return _limits_of(config, config.compare.source)


def _limits_of(config: RunConfig, source: str) -> dict[str, int]:
    """Return the settings that limit the answers of a source, with their values in tokens."""
    if source == "revisions":
        loop = config.critique
        return {
            "critique.draft.max_new_tokens": loop.draft.max_new_tokens,
            "critique.revision.max_new_tokens": loop.revision.max_new_tokens,
        }
    if source == "samples":
        return {"sample.sampling.max_new_tokens": config.sample.sampling.max_new_tokens}
    return {"compare.sampling.max_new_tokens": config.compare.sampling.max_new_tokens}


def labeler_caveats(manifest: Mapping[str, Any], labels: Mapping[str, float | int]) -> tuple[str, ...]:
    """Return the caveats about the AI labeler: those of its audit, position bias, unreadable judgments."""
    judged = int(labels.get("judgments.ai", 0))
    if not judged:
        return ()
    found = [
        f"The audit of the labeler found a problem: {problem}."
        for problem in manifest.get("audit", {}).get("problems", ())
    ]
    if otherwise := other_wording(manifest):
        found.append(otherwise)
    position = labels.get("ai.same_slot_in_both_orders", 0)
    if position >= BY_POSITION:
        found.append(
            f"Position decided {position:.0%} of the AI labeler's judgments: hardly better than chance."
        )
    if unread := labels.get("ai.unparsed", 0):
        found.append(f"{unread:,} of {counted(judged, 'AI judgment')} could not be read.")
    return tuple(found)


def scripted_roles(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the roles of a run whose texts or labels are by the scripted engine.

    Only roles that wrote or judged something: given answers are no texts of a policy, and where machine
    checks and people judge alone, no label is made up. A run on pairs of another run has that run's texts.
    """
    if not (folder / RESOLVED).exists():
        return tuple(manifest.get(STAND_INS, ()))
    config = recorded_config(folder)
    found = (role for role in stand_in_roles(config) if _played(role, folder, manifest, config))
    return tuple(dict.fromkeys([*manifest.get(STAND_INS, ()), *found]))


def asked_models(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the model of each role that wrote or judged something that a run has, by what it recorded.

    The other roles stand in the settings alone. Of a run on pairs of another run, that one's policy and
    critic wrote the answers.

    Args:
        folder: the run folder.
        manifest: its manifest.
    """
    models: dict[str, str] = manifest.get("models", {})
    config, stages = _config_of(folder), manifest.get("stages", {})
    if config is None:
        return dict(models)
    theirs = () if (manifest.get("prompts") or {}).get("rows") else _writers(config.prompts.path)

    def took_part(role: str) -> bool:
        if role == "judge":
            return "eval" in stages
        if role == "labeler":
            return ("label" in stages and _judged(stages, folder)) or _scored(stages, folder, config)
        begun = any(name in stages for name in (("critique",) if role == "critic" else _ANSWERED))
        return role in theirs or (begun and _played(role, folder, manifest, config))

    return {role: name for role, name in models.items() if took_part(role)}


def _config_of(folder: Path) -> RunConfig | None:
    """Return the settings of a run; None if they are missing or damaged."""
    with suppress(PubliusError):
        return recorded_config(folder) if (folder / RESOLVED).exists() else None
    return None


def _writers(pairs: Path) -> tuple[str, ...]:
    """Return the roles that wrote the answers of a run whose pairs are judged again; none for other files."""
    if pairs.name != _COMPARISONS:
        return ()
    if not is_there(pairs.parent / MANIFEST):
        return ("policy",)
    return tuple(set(asked_models(pairs.parent, read_manifest(pairs.parent))) - {"labeler", "judge"})


def _played(role: str, folder: Path, manifest: Mapping[str, Any], config: RunConfig) -> bool:
    """Return False if a role made nothing in a run, by what its stages recorded; True if that is open."""
    stages = manifest.get("stages", {})
    if role == "labeler":
        return _judged(stages, folder) or _scored(stages, folder, config)
    if has_given_answers(manifest):
        return False
    return _made(stages, "critique") and config.critique.rounds > 0 if role == "critic" else _wrote(stages)


def _judged(stages: Mapping[str, Any], folder: Path) -> bool:
    """Return True if the AI labeler judged pairs, or the stage `label` has not begun.

    The records decide where no request is counted: a stage that was resumed when all was there counts none.
    """
    if _asked(stages, "label"):
        return True
    judgments = scan_records(folder / "judgments.jsonl", Judgment, having=_BY_A_MODEL)
    return any(judgment.labeler == AI_LABELER for judgment in judgments)


def _scored(stages: Mapping[str, Any], folder: Path, config: RunConfig) -> bool:
    """Return True if a stage other than `label` may have asked the labeler for scores of single answers."""
    constitution = readable_constitution(folder)
    if not config.label.principles or constitution is None:
        return False
    may = [name for name in _SCORED if name in stages and (name != "critique" or config.critique.judge)]
    return any(one.check is None for one in constitution.steering) and any(_made(stages, one) for one in may)


def _wrote(stages: Mapping[str, Any]) -> bool:
    """Return True if a policy wrote answers, or the stages that ask it for some have not begun."""
    begun = [name for name in _ANSWERED if name in stages]
    return not begun or any(_made(stages, name) for name in begun)


def _made(stages: Mapping[str, Any], name: str) -> bool:
    """Return True if a stage got answers or has records of them, which trainings count no requests for."""
    return _asked(stages, name) or stages[name].get("records", 0) > 0


def _asked(stages: Mapping[str, Any], name: str) -> bool:
    """Return True if a stage got answers to requests, or has not begun."""
    requests = stages[name].get("requests", {}) if name in stages else {"asked": 1}
    return requests.get("asked", 0) + requests.get("reused", 0) > 0
