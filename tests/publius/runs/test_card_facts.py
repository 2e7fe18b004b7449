"""What a card and a summary say of cut-off answers, people who hardly agree, and how labels were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.records import Preference
from core.text.yaml_writing import yaml_text
from publius.config.run_file import RunConfig
from publius.runs.pairs.caveats import caveats, cut_off_caveat, excluded_as_cut_off
from publius.runs.pairs.data_card import of_whom
from publius.runs.pairs.label_metrics import LabelMetrics
from publius.runs.pairs.labelled_by import LabelledBy, LabelSourceCounts
from publius.runs.pairs.labelling import how_labelled, how_sampled
from publius.runs.pairs.people import people_caveats, people_together
from tests.publius.people import person


def settings(**given: object) -> RunConfig:
    rest = {"constitution": "rules.yaml", "prompts": "prompts.jsonl", "models": {"policy": "m"}}
    return RunConfig.model_validate(rest | given)


def folder_with(tmp_path: Path, **given: object) -> Path:
    (tmp_path / "resolved.yaml").write_text(
        yaml_text(settings(**given).model_dump(mode="json", by_alias=True))
    )
    return tmp_path


def preference(comparison_id: str, p: float, **fields: Any) -> Preference:
    said = ({"role": "assistant", "content": "Yes."},), ({"role": "assistant", "content": "No."},)
    given = {
        "id": comparison_id,
        "comparison_id": comparison_id,
        "prompt": ({"role": "user", "content": "Is it?"},),
        "prompt_id": f"prompt of {comparison_id}",
        "chosen": said[0],
        "rejected": said[1],
        "p_chosen": p,
        "sources": {"crowd": 1},
        "by_principle": {},
        "origin_chosen": "x",
        "origin_rejected": "y",
        "constitution_digest": "0",
    }
    return Preference.model_validate(given | fields)


def test_cut_off_answers_are_counted_on_both_sides_and_the_setting_is_named(tmp_path: Path):
    folder = folder_with(tmp_path, compare={"from": "base", "sampling": {"max_new_tokens": 80}})
    metrics = LabelMetrics()
    metrics.add_preference(preference("1", 0.7, finished_chosen=False, finished_rejected=False))
    metrics.add_preference(preference("2", 0.7, finished_rejected=False))
    manifest = {"stages": {"compare": {}}, "identity": {"models": {"policy": "m"}}}
    (said,) = caveats(folder, manifest, metrics.rows())
    assert said == (
        "3 of 4 answers in the pairs are cut off at the token limit, "
        "and DPO leaves out pairs whose chosen answer is cut off; raise compare.sampling.max_new_tokens (80)."
    )
    given = manifest | {"identity": {"models": {"labeler": "m"}}}
    assert cut_off_caveat(folder, given, 3, 2) == (
        "3 of 4 answers in the pairs are cut off at the token limit.",
    )
    assert cut_off_caveat(folder, manifest, 1, 100) == ()


def test_votes_of_one_person_against_each_other_are_counted():
    judgments = [person("1", "a"), person("1", "b"), person("1", "a", "ben"), person("2", "a")]
    found = people_together(judgments)
    assert found.contradicting == 1
    assert found.shares == {"1": pytest.approx(0.75)}


def test_clear_pooled_labels_of_divided_people_are_warned_of(tmp_path: Path):
    numbers = [str(n) for n in range(8)]
    judgments = [person(n, "ab"[int(n) % 2], "ann") for n in numbers]
    judgments += [person(n, "ba"[int(n) // 2 % 2], "ben") for n in numbers]
    (tmp_path / "judgments.jsonl").write_text("".join(j.to_line() for j in judgments))
    labels = [preference(n, 0.95 if n < "3" else 0.6) for n in numbers]
    (tmp_path / "preferences.jsonl").write_text("".join(p.to_line() for p in labels))
    manifest = {"people": {"judgments": len(judgments)}}
    pooled = {"humans": ["labels"], "mix": "pooled"}
    (said,) = people_caveats(folder_with(tmp_path, label=pooled), manifest)
    divided = [n for n in numbers if int(n) % 2 == int(n) // 2 % 2]
    clear = sum(n < "3" for n in divided)
    assert f"the mix pooled gives {clear} of the {len(divided)} pairs that they are divided about" in said
    (plain,) = people_caveats(folder_with(tmp_path, label=pooled | {"mix": "weights"}), manifest)
    assert f"divided about {len(divided)} of the 8 pairs that two people judged, and votes of" in plain
    assert people_caveats(folder_with(tmp_path, label=pooled | {"mix": "machines"}), manifest) == ()
    assert people_caveats(tmp_path, {"people": {}}) == ()


def test_the_lines_of_the_card_say_settings_and_agreement():
    config = settings(
        compare={"from": "base", "sampling": {"temperature": 0.7, "max_new_tokens": 80}},
        label={"mode": "reasoned", "principles": "all", "humans": ["labels"], "mix": "pooled"},
    )
    people = people_together([person("1", "a"), person("1", "b", "ben")])
    asked, mixed, agreement = how_labelled(config, [LabelSourceCounts(n) for n in ("ai", "crowd")], people)
    assert "mode `reasoned`; each pair under all principles" in asked
    assert "temperature 0, at most 256 tokens" in asked
    assert mixed == "People and machines: mix `pooled`, aggregation `graded`."
    assert "1 pair judged by two or more of 2" in agreement
    assert how_sampled(config, {"stages": {"critique": {"records": 0}, "compare": {}}}) == [
        "`compare.sampling`: temperature 0.7, at most 80 tokens"
    ]
    assert how_sampled(config, {"stages": {}, "identity": {"models": {"labeler": "m"}}}) == []


def test_prompts_left_out_because_of_long_answers_name_the_setting(tmp_path: Path):
    folder = folder_with(tmp_path, sample={"sampling": {"max_new_tokens": 48}})
    left_out = {"every answer is empty or cut off": 15, "every answer passes": 2}
    manifest: dict[str, Any] = {"stages": {"sample": {"records": 5, "left_out": left_out}}}
    (said,) = excluded_as_cut_off(folder, manifest)
    assert said == (
        "15 prompts are left out by sample: every answer is empty or cut off; "
        "raise sample.sampling.max_new_tokens (48)."
    )
    assert caveats(folder, manifest, {}) == (said,)
    manifest["stages"]["sample"]["records"] = 500
    assert excluded_as_cut_off(folder, manifest) == ()


def test_labels_that_are_a_models_are_not_called_peoples():
    said = [person("1", "a", "gpt", labeler="rater", model="judge-7b"), person("1", "b", labeler="crowd")]
    counted = LabelledBy()
    assert len(list(counted.passing(iter(said)))) == 2
    crowd, rater = counted.sources()
    assert (crowd.is_people, rater.is_people, rater.who) == (True, False, "judge-7b, as the labels say")
    assert (crowd.who, of_whom([crowd, rater]), of_whom([rater])) == (
        "1 annotator",
        "people and models",
        "models",
    )
    lines = how_labelled(settings(label={"humans": ["labels"]}), [rater], people_together(()))
    assert any("The labels of `rater` are a model's" in line for line in lines)
    assert not any("Agreement of people" in line for line in lines)
