"""Read UltraFeedback: up to four completions per instruction, rated in several aspects (Cui et al. 2023).

Files of one's own in this form may have other aspects, and say as little as the data set does of who rated:
only where the source of a row is one of the data set's own is the rater known to be GPT-4.

Every aspect becomes a ranking of its own, with the aspect as `dimension` and the difference of ratings as
margin; the overall score has the dimension `overall`. Ratings are text and may be "N/A". About two thousand
overall scores of 10 are parsing errors of the data set, a 1.0 read without its decimal point. Where the mean
rating in the other aspects is 2 or less (of 5), 10 is read as 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.conversations import prompt_of, shown
from core.errors import RequestError
from core.records import Candidate
from labelers.formats.fields import (
    answer_of,
    is_missing,
    list_of,
    mapping_of,
    maybe_number,
    maybe_text,
    number_of,
    required,
)
from labelers.formats.opinions import Opinion, Pair
from labelers.formats.rankings import RatedAnswer, pairs_of
from labelers.formats.source import RowLabels, RowSource, Skipped

_ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
_MISREAD, _MEANT, _POOR = 10.0, 1.0, 2.0
_NOTE = "an overall score of 10 with aspect ratings of 2 or less on average was read as 1"
_LABELED_BY = "gpt-4"
_SOURCES = frozenset(
    {
        *("evol_instruct", "false_qa", "sharegpt", "truthful_qa", "ultrachat"),
        *("flan_v2_cot", "flan_v2_flan2021", "flan_v2_niv2", "flan_v2_p3"),
    }
)
"""The sources of the published data set's instructions."""
_OWN_FIELDS = frozenset({"custom_system_prompt", "fine-grained_score"})
"""Fields of the published data set's completions."""
_NO_RATING = "a completion has no rating in an aspect that others are rated in"


class UltraFeedback(RowSource):
    """Ratings of several completions in several aspects and overall."""

    name = "ultrafeedback"
    summary = "UltraFeedback: completions of an instruction, rated in several aspects and overall"
    columns = frozenset({"instruction", "completions", "source"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like UltraFeedback, or None."""
        listed = row.get("completions")
        completions = listed if isinstance(listed, list) else []
        rated = [c for c in completions if isinstance(c, Mapping) and "annotations" in c]
        both = "instruction" in row and bool(rated)
        return "it has the columns instruction and completions" if both else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pairs of a row in every aspect with at least two rated completions."""
        prompt = prompt_of(required(values, "instruction"))
        completions = [
            mapping_of(c, "a completion") for c in list_of(required(values, "completions"), "completions")
        ]
        if len(completions) < 2:
            raise RequestError("fewer than two completions", detail=f"found {len(completions)}")
        skipped: list[Skipped] = []
        aspects = _aspects_in(completions)
        rated = list(_rated(completions, aspects, skipped))
        source = maybe_text(values, "source")
        is_published = source in _SOURCES and any(_OWN_FIELDS & one.keys() for one in completions)
        pairs: list[Pair] = []
        for aspect in (*(["overall"] if _has_overall(completions) else []), *aspects):
            scored = [RatedAnswer(answer, ratings[aspect]) for answer, ratings in rated if aspect in ratings]
            if len(scored) < 2:
                skipped.append(Skipped("fewer than two completions are rated in an aspect", aspect, aspect))
                continue
            by = Opinion(verdict="tie", dimension=aspect, model=_LABELED_BY if is_published else None)
            found = pairs_of(prompt, scored, by, margins=True, tags=(source,) if source else ())
            pairs += found.pairs
            skipped += found.skipped
        if not pairs and not skipped:
            raise RequestError("no completion has a rating")
        corrected = sum(ratings.pop("\0corrected", 0) > 0 for _, ratings in rated)
        return RowLabels((number,), tuple(pairs), tuple(skipped), (_NOTE,) * corrected)


def _aspects_in(completions: list[Mapping[str, Any]]) -> list[str]:
    """Return the aspects in which a completion of the row is rated: the data set's first, then others."""
    noted = (completion.get("annotations") for completion in completions)
    held = (item for one in noted if isinstance(one, Mapping) for item in one.items())
    found = dict.fromkeys(str(name) for name, rating in held if rating is not None)
    return [*(name for name in _ASPECTS if name in found), *(name for name in found if name not in _ASPECTS)]


def _has_overall(completions: list[Mapping[str, Any]]) -> bool:
    return any(not is_missing(completion.get("overall_score")) for completion in completions)


def _rated(
    completions: list[Mapping[str, Any]], aspects: list[str], skipped: list[Skipped]
) -> Iterator[tuple[Candidate, dict[str, float]]]:
    """Yield each completion with its ratings; append those that are missing or unreadable to `skipped`."""
    for position, completion in enumerate(completions, start=1):
        model = completion.get("model")
        try:
            text = answer_of(required(completion, "response"), f"completion {position}")
        except RequestError as error:
            skipped.append(Skipped(error.reason, error.detail or f"completion {position}"))
            continue
        origin = model if isinstance(model, str) and model else f"completion_{position}"
        yield Candidate(text, origin), _ratings(completion, aspects, f"completion {position}", skipped)


def _ratings(
    completion: Mapping[str, Any], aspects: list[str], where: str, skipped: list[Skipped]
) -> dict[str, float]:
    """Return the ratings of one completion by aspect, and whether the overall score was corrected."""
    ratings: dict[str, float] = {}
    annotations = completion.get("annotations")
    annotations = annotations if isinstance(annotations, Mapping) else {}
    for aspect in aspects:
        if annotations.get(aspect) is None:
            skipped.append(Skipped(_NO_RATING, f"{aspect} of {where}", aspect))
            continue
        try:
            ratings[aspect] = number_of(_rating(annotations[aspect]), "a rating")
        except RequestError as error:
            skipped.append(Skipped(error.reason, f"{aspect} of {where}: {error.detail}", aspect))
    try:
        overall = maybe_number(completion, "overall_score")
    except RequestError as error:
        skipped.append(Skipped("an overall score is not a number", f"{where}: {error.detail}", "overall"))
        return ratings
    if overall is not None:
        mean = _mean_of(completion, ratings)
        corrected = overall == _MISREAD and mean is not None and mean <= _POOR
        ratings["overall"] = _MEANT if corrected else overall
        ratings |= {"\0corrected": 1.0} if corrected else {}
    return ratings


def _rating(annotation: Any) -> Any:
    """Return the rating of one aspect, which is an object or a list of one object."""
    if isinstance(annotation, list) and annotation:
        annotation = annotation[0]
    if not isinstance(annotation, Mapping):
        raise RequestError("a rating is not a number", detail=shown(annotation))
    return annotation.get("Rating", annotation.get("rating"))


def _mean_of(completion: Mapping[str, Any], ratings: Mapping[str, float]) -> float | None:
    """Return the mean of the ratings, or the data set's own mean; None if there is neither."""
    own = [ratings[aspect] for aspect in _ASPECTS if aspect in ratings]
    if own:
        return sum(own) / len(own)
    given = completion.get("fine-grained_score")
    return None if is_missing(given) or not isinstance(given, int | float) else float(given)
