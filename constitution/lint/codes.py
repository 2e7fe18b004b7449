"""Registry of lint codes: name, severity, meaning, and reason with advice.

L1xx codes concern texts, L2xx structure, L3xx machine checks, L4xx examples, L5xx the prompts of a run, and
L6xx conflicts judged by a model. Code numbers are permanent: those of removed codes are not reused.
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
    """Description of a lint code."""

    code: str
    name: str
    """Readable name in kebab-case."""
    severity: Severity
    meaning: str
    """One-line description of the finding."""
    reason: str
    """Why the finding matters, and how to fix it."""


_ALL = (
    LintRule(
        "L101",
        "duplicate-principle",
        "warning",
        "Two principles have the same text.",
        "Such a principle is drawn and counted twice. Delete one. If it is meant to count twice, give the "
        "other a weight of 2, which is clearer. Case, punctuation and white space are ignored. A principle "
        "of weight 0 may have the text of a rule, which it measures.",
    ),
    LintRule(
        "L102",
        "near-duplicate-principle",
        "warning",
        "Two principles have almost the same text.",
        "Texts count as almost the same if the Jaccard similarity of their sets of character 4-grams is at "
        "least 0.7. Texts with different numbers or negations are excluded, and so are principles with "
        "disjoint scopes. Merge the two, or state how they differ.",
    ),
    LintRule(
        "L103",
        "opposite-principles",
        "warning",
        "Two principles for the same prompts say the opposite of each other.",
        "Their texts differ only by a negation, so every answer violates one of them. Delete one, or give "
        "them different scopes (`applies_to`, `except`).",
    ),
    LintRule(
        "L105",
        "overlong-text",
        "warning",
        "A principle's text has more than 60 words.",
        "The text is shown in every request about the principle, and small models ignore the end of a long "
        "one. Move the reasons to the document or `passages`, refer to them with `source`, and keep one "
        "sentence.",
    ),
    LintRule(
        "L106",
        "overlong-passage",
        "warning",
        "A passage has more than 1,500 words.",
        "The passage of a principle is shown in every request about it; 1,500 words are about 2,000 "
        "tokens. Refer to a smaller section of the document.",
    ),
    LintRule(
        "L107",
        "placeholder",
        "warning",
        "A text contains a placeholder, such as TODO or lorem ipsum.",
        "Models read it as part of the text. Replace it, or move it to a YAML comment (# ...).",
    ),
    LintRule(
        "L108",
        "names-the-machinery",
        "warning",
        "A principle mentions the constitution, other principles or the critic or labeler.",
        "Critic and labeler see one principle at a time, so `the principle above` has no meaning for them. "
        "Describe what the reply does. Order and importance belong in `sections`, `priority`, `hard` and "
        "`weight`.",
    ),
    LintRule(
        "L111",
        "antithesis-repeats-text",
        "warning",
        "The antithesis has the same words as the text.",
        "It should say the opposite. Describe what a reply does that violates the principle.",
    ),
    LintRule(
        "L112",
        "instruction",
        "note",
        "A text tells the writer what to do, such as `Use short words`. One finding is about all of them.",
        "Critic and labeler read the text beside a reply that is written already, to say whether the reply "
        "follows it. Write what a good reply is or does: `The reply uses short words`.",
    ),
    LintRule(
        "L201",
        "unknown-lint-code",
        "warning",
        "`lint_ignore` names a code that does not exist or cannot be ignored.",
        "The entry has no effect. `publius check --explain all` lists the codes. Errors cannot be ignored.",
    ),
    LintRule(
        "L202",
        "unused-lint-ignore",
        "note",
        "`lint_ignore` names a code that finds nothing here.",
        "The finding is gone, and the entry would hide the next one. Delete it. Codes that need prompts "
        "or a model (L5xx, L6xx) are not reported as unused when these are not given.",
    ),
    LintRule(
        "L203",
        "unused-section",
        "warning",
        "A section is listed, but no principle is in it.",
        "With `priority: strict` the section has no effect. The usual cause is a principle in the wrong "
        "section. Delete the section, or set the `section` of its principles.",
    ),
    LintRule(
        "L204",
        "principle-without-section",
        "warning",
        "A principle has no section although others have one.",
        "Reports count it under no section, and rules in `label.rules` about sections do not apply to it. "
        "(With `priority: strict` it is an error.) Give it a section.",
    ),
    LintRule(
        "L205",
        "tiny-weight",
        "warning",
        "A principle's weight is negligible.",
        "The weight is below 0.1 % of the total and below a tenth of the median, so the principle is hardly "
        "ever drawn. Weights are relative to each other, not percentages. Raise it, or delete the "
        "principle.",
    ),
    LintRule(
        "L206",
        "dominating-weight",
        "warning",
        "One principle has more than half of the total weight.",
        "In a constitution of three or more principles, the others are then rarely drawn and never outweigh "
        "it. If it must always hold, set `hard: true`.",
    ),
    LintRule(
        "L207",
        "weight-ratio",
        "warning",
        "The largest weight is a hundred times the smallest, or more.",
        "The principle with the smallest weight is drawn about once for every hundred draws of the one with "
        "the largest. The usual cause is a misplaced decimal point, or a mix of weights and percentages. Not "
        "reported together with L205 or L206.",
    ),
    LintRule(
        "L208",
        "override-repeats-default",
        "warning",
        "An override equals the default request, or only repeats the text.",
        "`critique`, `revision` and `comparison` replace the request that the template derives from the "
        "text. An override equal to that request becomes outdated when the text is reworded, and one equal "
        "to the text is not a request. Delete it.",
    ),
    LintRule(
        "L209",
        "uneven-antithesis",
        "note",
        "Some judged principles have an antithesis and others do not.",
        "Contrastive labeling asks about text and antithesis. Principles without an antithesis are compared "
        "by their text alone, and the two kinds of scores are not comparable. Reported once per file.",
    ),
    LintRule(
        "L211",
        "unused-override",
        "note",
        "A machine-checked principle has a comparison question or an antithesis.",
        "A principle with a `check` is decided by the check, so no labeler is asked. Delete the comparison "
        "question and the antithesis, or the check.",
    ),
    LintRule(
        "L212",
        "unused-passage",
        "note",
        "No principle refers to a passage.",
        "No request shows the passage. Set the `source` of the principle that it belongs to, or delete it.",
    ),
    LintRule(
        "L213",
        "empty-scope",
        "warning",
        "The `except` of a principle excludes every prompt that it applies to.",
        "`except` has every tag of `applies_to`, or the same pattern, or is empty and so matches every "
        "prompt. The principle is never used.",
    ),
    LintRule(
        "L214",
        "nothing-steers",
        "note",
        "Every principle has weight 0.",
        "Such principles are measured and ask nothing of a model. The file is useful for others that extend "
        "it; a run needs a principle with a weight of more than 0.",
    ),
    LintRule(
        "L301",
        "contradictory-bounds",
        "error",
        "No reply can satisfy two bounds at once.",
        "The minimum number of words, sentences or characters, or the minimum grade, of one principle is "
        "above the maximum of another, and both apply to the same prompts. A text of n words has at least "
        "2 n - 1 characters.",
    ),
    LintRule(
        "L302",
        "contradictory-phrases",
        "error",
        "One check requires a text that another forbids.",
        "A phrase required in the reply, or at its beginning or end, contains a forbidden one; or a pattern "
        "must both be found and not be found. Both principles apply to the same prompts.",
    ),
    LintRule(
        "L303",
        "contradictory-forms",
        "error",
        "Two checks require forms that exclude each other.",
        "Examples are JSON and a list, two languages, two grammatical persons, refusal and no refusal, a "
        "question at the end and none. No reply to the same prompt can satisfy both.",
    ),
    LintRule(
        "L304",
        "duplicate-check",
        "warning",
        "Two principles have the same check for the same prompts.",
        "The check counts twice, so it has twice the weight that it seems to have. Delete one.",
    ),
    LintRule(
        "L305",
        "check-disagrees-with-text",
        "warning",
        "A principle's text and its check name different numbers or opposite bounds.",
        "Requests show the text to the model, but the check decides. The usual cause is that only one of "
        "the two was edited. Make them agree.",
    ),
    LintRule(
        "L306",
        "vacuous-check",
        "warning",
        "A pattern is found in every text, even an empty one.",
        "A `regex` check then always passes and a `not_regex` check always fails. The usual cause is a `*` "
        "in place of a `+`, or an empty alternative such as `a|`.",
    ),
    LintRule(
        "L307",
        "slow-pattern",
        "note",
        "A pattern repeats a group that itself repeats.",
        "Patterns such as `(a+)+` can take time that doubles with each character. Remove the inner or the "
        "outer repetition.",
    ),
    LintRule(
        "L308",
        "unchecked-form",
        "note",
        "A principle without a check asks for a number or a form that a machine check can test.",
        "A check is exact and costs no request; a small model that counts words is often wrong. Add the line "
        "that the note proposes. A check decides all of its principle, so where the text asks for more, make "
        "the form a principle of its own. A rule with a condition or an approximate number is not reported, "
        "unless it is an address to give where a question is about something.",
    ),
    LintRule(
        "L309",
        "id-names-another-value",
        "note",
        "A principle's id has a number that its check no longer has.",
        "Ids are in all records, tables and reports, where `at-most-70-words` reads as a limit of 70 words "
        "although the check says 25. Rename it, if earlier runs need not be compared under this id, or hide "
        "this note.",
    ),
    LintRule(
        "L401",
        "example-without-contrast",
        "error",
        "An example's good and bad answer are the same.",
        "No labeler can prefer one of them, and as a few-shot example it teaches nothing.",
    ),
    LintRule(
        "L402",
        "good-fails-check",
        "warning",
        "An example's good answer fails the principle's own check.",
        "`publius test` will fail. Fix the answer, or the value of the check.",
    ),
    LintRule(
        "L403",
        "bad-passes-check",
        "warning",
        "An example's bad answer passes the principle's own check.",
        "`publius test` will fail. The answer probably violates another principle; move the example there.",
    ),
    LintRule(
        "L404",
        "mixed-use",
        "error",
        "A few-shot example and a test example of one principle have the same prompt.",
        "The labeler would see the answer to its own test. Use different prompts, or give both the same use.",
    ),
    LintRule(
        "L405",
        "duplicate-example",
        "warning",
        "A principle has the same example twice.",
        "As a test it counts twice, and as a few-shot example it is shown twice. Delete one.",
    ),
    LintRule(
        "L406",
        "example-out-of-scope",
        "warning",
        "An example's prompt is outside the scope of the principle.",
        "The prompt does not match the pattern of `applies_to`, or matches that of `except`. Examples have "
        "no tags, so tags are assumed to match.",
    ),
    LintRule(
        "L407",
        "overlong-few-shots",
        "warning",
        "The few-shot examples of a principle have more than 500 words in total.",
        "They are shown in every request about the principle. 500 words are about 700 tokens, and a small "
        "model has a context of 2,048 tokens. Keep the shortest two.",
    ),
    LintRule(
        "L501",
        "unreachable-principle",
        "warning",
        "No prompt of the run is in the principle's scope.",
        "The principle is never drawn, judged or checked. The usual cause is a tag that the prompts spell "
        "differently.",
    ),
    LintRule(
        "L502",
        "quotes-test-prompt",
        "warning",
        "An example quotes a prompt of the run's test split.",
        "Examples are shown to critic and labeler, so the test prompt leaks into training. Use another "
        "prompt. Case, punctuation and white space are ignored.",
    ),
    LintRule(
        "L503",
        "unknown-tag",
        "warning",
        "A scope names a tag that no prompt of the run has.",
        "The usual cause is a misspelling. Reported only if some prompt is in the scope of the principle; "
        "otherwise see L501.",
    ),
    LintRule(
        "L504",
        "uncovered-prompts",
        "note",
        "Some prompts of the run have no principle in scope.",
        "They are neither critiqued nor compared. Remove them, or add a principle without `applies_to`.",
    ),
    LintRule(
        "L601",
        "conflicting-principles",
        "note",
        "A model judged that no reply can follow both of two principles.",
        "Reported only with `--judged`. It is the judgment of one model, asked in both orders, and only as "
        "reliable as that model: the embedded one found none of 12 obvious conflicts.",
    ),
)
CODES: dict[str, LintRule] = {entry.code: entry for entry in _ALL}
"""All codes, sorted."""
RETIRED = frozenset({"L104", "L109", "L110", "L210"})
"""Removed codes. `lint_ignore` may still name them, and their numbers are not reused."""


def find_code(code: str) -> LintRule:
    """Return the rule with this code or name.

    Raises:
        ConfigError: The code is unknown or was removed.
    """
    if code.upper() in RETIRED:
        what = f"the lint code {code.upper()} was removed"
        raise ConfigError(what, where="--explain", accepted="all, or a code that --explain all lists")
    by_name = {entry.name: entry for entry in _ALL}
    found = CODES.get(code.upper()) or by_name.get(code.lower())
    if found is None:
        known = CODES if code[:1].upper() == "L" and code[1:].isdigit() else by_name
        raise ConfigError(
            f"unknown lint code {code!r}", where="--explain", accepted=f"all, or {one_of(known, code)}"
        )
    return found
