"""The lint codes: name, severity, one line of meaning, and why each is worth mending.

L1xx is about texts, L2xx about structure, L3xx about machine checks, L4xx about examples, L5xx about the
prompts of a run, L6xx about what a model judged. A code keeps its number for ever; one that is given up is
not used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError
from core.text.explain import one_of

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class LintRule:
    """What a code stands for."""

    code: str
    name: str
    """In kebab-case, for people."""
    severity: Severity
    meaning: str
    """One line: what is found."""
    reason: str
    """Why it matters, and what to do about it."""


_ALL = (
    LintRule(
        "L101",
        "duplicate-principle",
        "warning",
        "Two principles have the same text.",
        "Such a principle is drawn and counted twice, which a weight says more plainly. Delete one, or "
        "give the other a weight of 2. Case, punctuation and white space do not count.",
    ),
    LintRule(
        "L102",
        "near-duplicate-principle",
        "warning",
        "Two principles have almost the same text.",
        "Texts are compared by the sets of four letters in a row that they hold; at a Jaccard similarity "
        "of 0.7 they count as almost the same. Texts with different numbers or negations do not, nor do "
        "principles whose scopes are about different prompts. Merge the two, or say what tells them "
        "apart.",
    ),
    LintRule(
        "L103",
        "opposite-principles",
        "warning",
        "Two principles say the opposite of each other about the same prompts.",
        "Their texts have the same words but for a negation, so that every answer breaks one of them. "
        "Delete one, or give them different scopes (`applies_to`, `except`).",
    ),
    LintRule(
        "L105",
        "overlong-text",
        "warning",
        "A principle's text has more than 60 words.",
        "The text is shown in every question about the principle, and small models lose its end. Put the "
        "reasons into the document or `passages`, point at them with `source`, and keep a sentence.",
    ),
    LintRule(
        "L106",
        "overlong-passage",
        "warning",
        "A passage has more than 1,500 words.",
        "The passage behind a principle is shown in every question about it: 1,500 words are about 2,000 "
        "tokens. Point at a smaller section of the document.",
    ),
    LintRule(
        "L107",
        "placeholder",
        "warning",
        "A text holds a placeholder, such as TODO or lorem ipsum.",
        "Models read it as part of the text. Write what belongs there, or a YAML comment (# ...).",
    ),
    LintRule(
        "L108",
        "names-the-machinery",
        "warning",
        "A principle speaks of the constitution, of other principles or of those who apply it.",
        "Critic and labeler are shown one principle at a time: `the principle above` is nothing to them. "
        "Say what the reply does; order and importance belong in `sections`, `priority`, `hard` and "
        "`weight`.",
    ),
    LintRule(
        "L111",
        "antithesis-repeats-text",
        "warning",
        "The antithesis has the same words as the text.",
        "It should be the opposite. Write what a reply does that breaks the principle.",
    ),
    LintRule(
        "L201",
        "unknown-lint-code",
        "warning",
        "`lint_ignore` names a code that does not exist or cannot be silenced.",
        "The entry does nothing. `publius check --explain all` lists the codes; errors cannot be silenced.",
    ),
    LintRule(
        "L202",
        "unused-lint-ignore",
        "note",
        "`lint_ignore` names a code that finds nothing here.",
        "The finding is gone, and the entry would hide the next one. Delete it. Codes that need prompts "
        "or a model (L5xx, L6xx) are not counted where these are not given.",
    ),
    LintRule(
        "L203",
        "unused-section",
        "warning",
        "A section is listed, but no principle is in it.",
        "Under `priority: strict` it is skipped, and a misplaced principle is the usual cause. Delete it, "
        "or give its principles their `section`.",
    ),
    LintRule(
        "L204",
        "principle-without-section",
        "warning",
        "A principle has no section where others have one.",
        "It is not counted under any section in reports, and a rule of `label.rules` about sections "
        "passes it over. (Under `priority: strict` it is refused.) Give it a section.",
    ),
    LintRule(
        "L205",
        "tiny-weight",
        "warning",
        "A principle's weight is next to nothing.",
        "Its share of all weights is below 0.1 %, and its weight below a tenth of the median: it is "
        "hardly ever drawn. Weights are relative to each other, not percentages. Raise it, or delete the "
        "principle.",
    ),
    LintRule(
        "L206",
        "dominating-weight",
        "warning",
        "One principle has more than half of all weight.",
        "In a constitution of three or more principles the others are then hardly ever drawn, and never "
        "decide against it. If it must always hold, say `hard: true`.",
    ),
    LintRule(
        "L207",
        "weight-ratio",
        "warning",
        "The largest weight is a hundred times the smallest, or more.",
        "The lightest principle is drawn about once where the heaviest is drawn a hundred times. Usually "
        "a slipped decimal point, or weights and percentages mixed. Not told where L205 or L206 is.",
    ),
    LintRule(
        "L208",
        "override-repeats-default",
        "warning",
        "An override says what would be asked without it, or only repeats the text.",
        "`critique`, `revision` and `comparison` replace the question that the template derives from the "
        "text. One that repeats it goes stale when the text is reworded; one that is only the text is no "
        "question. Delete it.",
    ),
    LintRule(
        "L209",
        "uneven-antithesis",
        "note",
        "Some judged principles have an antithesis and others have none.",
        "Contrastive labeling asks about text and antithesis; principles without one are compared by "
        "their text alone, and the two kinds of figures do not compare. Told once a file.",
    ),
    LintRule(
        "L211",
        "unused-override",
        "note",
        "A machine-checked principle has a comparison question or an antithesis.",
        "A principle with a `check` is compared by the machine, so that no labeler is ever asked. Delete "
        "them, or the check.",
    ),
    LintRule(
        "L212",
        "unused-passage",
        "note",
        "No principle points at a passage.",
        "It is shown to nobody. Give the principle that it belongs to its `source`, or delete it.",
    ),
    LintRule(
        "L213",
        "empty-scope",
        "warning",
        "A principle excepts every prompt that it applies to.",
        "`except` holds every tag, or the very pattern, of `applies_to`, or is empty and so holds every "
        "prompt: the principle is never used.",
    ),
    LintRule(
        "L301",
        "contradictory-bounds",
        "error",
        "No reply can keep both of two bounds.",
        "The smallest number of words, sentences or characters, or the lowest grade, that one principle "
        "asks for is above the largest that another allows, and both are about the same prompts. A text "
        "of n words has at least 2 n - 1 characters.",
    ),
    LintRule(
        "L302",
        "contradictory-phrases",
        "error",
        "One check asks for a text that another forbids.",
        "A phrase that must be in the reply, or at its beginning or end, holds one that must not; or a "
        "pattern must both be found and not be found. Both principles are about the same prompts.",
    ),
    LintRule(
        "L303",
        "contradictory-forms",
        "error",
        "Two checks ask for forms that exclude each other.",
        "JSON and a list, two languages, two grammatical persons, refusal and no refusal, a question at "
        "the end and none: no reply about the same prompt can have both.",
    ),
    LintRule(
        "L304",
        "duplicate-check",
        "warning",
        "Two principles have the same check for the same prompts.",
        "The check is counted twice, and so has twice the weight that it seems to have. Delete one.",
    ),
    LintRule(
        "L305",
        "check-disagrees-with-text",
        "warning",
        "A principle's text and its check name different numbers or opposite bounds.",
        "The model is told the text and measured by the check. Usually one of the two was edited and the "
        "other forgotten.",
    ),
    LintRule(
        "L306",
        "vacuous-check",
        "warning",
        "A pattern is found in every text, the empty one included.",
        "A `regex` check then always passes and a `not_regex` check always fails. Often a `*` for a `+`, "
        "or an empty alternative such as `a|`.",
    ),
    LintRule(
        "L307",
        "slow-pattern",
        "note",
        "A pattern repeats a group that itself repeats.",
        "Patterns such as `(a+)+` can take time that doubles with each character. Write it without the "
        "inner or the outer repetition.",
    ),
    LintRule(
        "L401",
        "example-without-contrast",
        "error",
        "An example's good and bad answer are the same.",
        "No labeler can prefer one of them, and shown as few-shot it teaches nothing.",
    ),
    LintRule(
        "L402",
        "good-fails-check",
        "warning",
        "An example's good answer fails the principle's own check.",
        "`publius test` will fail. Mend the answer, or the value of the check.",
    ),
    LintRule(
        "L403",
        "bad-passes-check",
        "warning",
        "An example's bad answer passes the principle's own check.",
        "`publius test` will fail. The answer is probably bad by another principle; move the example there.",
    ),
    LintRule(
        "L404",
        "mixed-use",
        "error",
        "A few-shot example and a test example of one principle have the same prompt.",
        "The labeler would be shown the answer to its exam. Give the two different prompts, or the same use.",
    ),
    LintRule(
        "L405",
        "duplicate-example",
        "warning",
        "An example stands twice in one principle.",
        "As a test it counts double, as few-shot it is read twice. Delete one.",
    ),
    LintRule(
        "L406",
        "example-out-of-scope",
        "warning",
        "An example's prompt is not one that the principle is about.",
        "Its last message lacks the pattern of `applies_to`, or has that of `except`. Examples bear no "
        "tags, so that tags are taken to fit.",
    ),
    LintRule(
        "L407",
        "overlong-few-shots",
        "warning",
        "The few-shot examples of a principle have more than 500 words together.",
        "They are shown in every question about the principle: 500 words are about 700 tokens, and a "
        "small model has 2,048 in all. Keep the shortest two.",
    ),
    LintRule(
        "L501",
        "unreachable-principle",
        "warning",
        "No prompt of the run is in the principle's scope.",
        "The principle is never drawn, judged or checked. Usually a tag that the prompts spell differently.",
    ),
    LintRule(
        "L502",
        "quotes-test-prompt",
        "warning",
        "An example quotes a prompt of the run's test split.",
        "What is shown to critic and labeler then reaches the model that is tested on it. Take another "
        "prompt. Case, punctuation and white space do not count.",
    ),
    LintRule(
        "L503",
        "unknown-tag",
        "warning",
        "A scope names a tag that no prompt of the run bears.",
        "Usually a misspelling. Told only of principles that some prompt reaches; for others, L501.",
    ),
    LintRule(
        "L504",
        "uncovered-prompts",
        "note",
        "Prompts of the run have no principle in scope.",
        "They are neither criticised nor compared. Add a principle without `applies_to`, or leave them out.",
    ),
    LintRule(
        "L601",
        "conflicting-principles",
        "note",
        "A model judged that no reply can follow both of two principles.",
        "Only with `--judged`. It is one model's opinion, asked in both orders, and as good as the model: "
        "the embedded one found none of 12 plain conflicts.",
    ),
)
CODES: dict[str, LintRule] = {entry.code: entry for entry in _ALL}
"""All codes, sorted."""
RETIRED = frozenset({"L104", "L109", "L110", "L210"})
"""Codes of earlier versions. `lint_ignore` may still name them; their numbers are not used again."""


def find_code(code: str) -> LintRule:
    """Return what a code, or the name of one, stands for.

    Raises:
        ConfigError: There is no such code, or it was removed.
    """
    if code.upper() in RETIRED:
        what = f"the lint code {code.upper()} was removed"
        raise ConfigError(what, where="--explain", accepted="all, or a code that --explain all lists")
    by_name = {entry.name: entry for entry in _ALL}
    found = CODES.get(code.upper()) or by_name.get(code.lower())
    if found is None:
        known = CODES if code[:1].upper() == "L" and code[1:].isdigit() else by_name
        raise ConfigError(
            f"there is no lint code {code!r}", where="--explain", accepted=f"all, or {one_of(known, code)}"
        )
    return found
