"""Rows of preferences: chosen and rejected answers, KTO's labelled answers, and formats of human labels."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from core.conversations import shown
from core.errors import RequestError
from core.notices import counted
from core.records import Message
from core.text.literals import has_decimal_comma
from core.text.names import folded_name
from labelers.formats.datasets.transcripts import Transcripts
from labelers.formats.datasets.trl import SCORES, TrlPreferences, answer_pairs, lead_of
from labelers.formats.fields import NUMBERS, is_blank, is_missing, number_of
from labelers.formats.opinions import Pair
from labelers.formats.prompt_columns import PROMPT_COLUMNS, asked_in, sides_in
from labelers.formats.registry import most_specific
from labelers.formats.source import LabelSource, Row, Skipped
from labelers.importing import PLAIN_TABLE
from publius.sources.answer_rows import ANSWER_ROW, Labels, has_answers, is_desired, turns_in
from training.examples import ExcludedExample, PreferencePair

SAME_ANSWERS = "the two answers differ by white space only"
IDENTICAL = "the two answers are the same"
SIDES = frozenset({"chosen", "rejected"})
PRINCIPLE = "principle"
"""Column with the id of the principle that a label is about, for judges."""
_GROUPS = ("source", "section", "subset")
PAIR_COLUMNS = (
    PROMPT_COLUMNS
    | SIDES
    | frozenset(
        {"id", "p_chosen", "weight", "margin", *_GROUPS, *(name for names in SCORES for name in names)}
    )
    | frozenset({"finished_chosen", "finished_rejected", PRINCIPLE})
)
_OPTIONAL = frozenset(
    {"id", "p_chosen", "weight", "margin", *_GROUPS, "finished_chosen", "finished_rejected"}
)
_EVEN = 0.5
"""Probability of a tie."""
_OVERALL = (None, "overall")
"""Dimensions of an overall judgment."""
_P_FIRST = {"first": 1.0, "second": 0.0, "tie": _EVEN}


class ReadPairs(NamedTuple):
    """The pairs of a row, the columns that were read, and the parts that were not used."""

    pairs: Sequence[PreferencePair]
    columns: frozenset[str]
    excluded: Sequence[RequestError] = ()


class RestPairs(NamedTuple):
    """Pairs that are complete only after the last row, and the rows that are in none."""

    pairs: Sequence[PreferencePair] = ()
    left: Sequence[ExcludedExample] = ()


class PairReader(Protocol):
    """Reads the preferences of a data set, one row after the other."""

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns that it reads; None for all."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """How the data set was read."""
        ...

    def pairs_of(self, columns: Mapping[str, Any], row_id: str, notes: Counter[str]) -> ReadPairs:
        """Return the pairs of a row; count in `notes` how it was read. Raises RequestError if it has none."""
        ...

    def rest(self) -> RestPairs:
        """Return what is left after the last row."""
        ...


class PlainPairs:
    """Rows with `chosen` and `rejected`."""

    columns: frozenset[str] | None = PAIR_COLUMNS
    notes: tuple[str, ...] = ()

    def pairs_of(self, columns: Mapping[str, Any], row_id: str, notes: Counter[str]) -> ReadPairs:
        """Return a row's pair, or all pairs of a chosen and a rejected answer if these are lists."""
        several = answer_pairs(columns)
        if several is None:
            pair, read = _pair(columns, row_id, notes)
            return ReadPairs((pair,), read)
        pairs, excluded, read = [], list(several.excluded), frozenset[str]()
        for number, (chosen, rejected) in enumerate(several.pairs, start=1):
            one = {**columns, "chosen": chosen, "rejected": rejected}
            try:
                pair, read = _pair(one, f"{row_id}.{number}", notes)
                pairs.append(replace(pair, weight=pair.weight / len(several.pairs)))
            except RequestError as error:
                excluded.append(error)
        if not pairs:
            raise (
                excluded[0]
                if excluded
                else RequestError("there is no answer", detail="in chosen or rejected")
            )
        notes["lists of answers, each chosen one paired with each rejected one"] += 1
        return ReadPairs(pairs, read, excluded)

    def rest(self) -> RestPairs:
        """Return nothing: every row is complete by itself."""
        return RestPairs()


def _pair(
    columns: Mapping[str, Any], row_id: str, notes: Counter[str]
) -> tuple[PreferencePair, frozenset[str]]:
    """Return a row's pair, with its sides swapped if `p_chosen` is below one half, and the columns read."""
    sides, read, note = sides_in(columns)
    if sides.chosen.split() == sides.rejected.split():
        raise RequestError(SAME_ANSWERS)
    notes.update(f"decimal commas in {name}" for name in NUMBERS if has_decimal_comma(columns.get(name)))
    p = _p_chosen(columns, notes)
    weight = _number(columns, "weight", 1.0, "0 or a positive number", 0.0)
    try:
        margin = _number(columns, "margin", 0.0, "a number")
    except RequestError as error:
        margin = 0.0
        notes[f"{error.reason}, read as none"] += 1
    answers = (sides.chosen, sides.rejected)
    finished = (_flag(columns, "finished_chosen"), _flag(columns, "finished_rejected"))
    if p < _EVEN:
        p, margin = 1 - p, 0.0 - margin
        answers, finished = answers[::-1], finished[::-1]
    if note:
        notes[note] += 1
    read |= _OPTIONAL | {name for names in SCORES for name in names}
    prompt = asked_in(columns).value
    as_text = isinstance(columns.get("chosen") if prompt is None else prompt, str)
    return PreferencePair(
        row_id,
        sides.prompt,
        *answers,
        p,
        weight,
        *finished,
        margin,
        _groups(columns),
        as_text,
        principle_of(columns),
    ), read


def principle_of(columns: Mapping[str, Any]) -> str | None:
    """Return the id of the principle that a row's label is about, from its column; None without one."""
    named = columns.get(PRINCIPLE)
    return named.strip() or None if isinstance(named, str) else None


def _groups(columns: Mapping[str, Any]) -> dict[str, str]:
    values = {name: columns.get(name) for name in _GROUPS}
    return {name: value for name, value in values.items() if isinstance(value, str) and value.strip()}


def _p_chosen(columns: Mapping[str, Any], notes: Counter[str]) -> float:
    """Return the probability that `chosen` is better: its column, 0.5 for equal scores, or 1."""
    if "p_chosen" in columns and is_blank(columns["p_chosen"]):
        raise RequestError("p_chosen is empty, but not in every row")
    if "p_chosen" in columns:
        return _number(columns, "p_chosen", 1.0, "a number from 0 to 1", 0.0, 1.0)
    lead = lead_of(columns)
    if lead == 0:
        notes["equal scores, read as ties"] += 1
        return _EVEN
    if lead is not None and lead < 0:
        notes["the chosen answer has the lower score"] += 1
    return 1.0


class KtoPairs:
    """Single answers with a label, good or not: one good and one bad answer to a prompt are a pair.

    The n-th good answer to a prompt is paired with its n-th bad one, which undoes TRL's
    `unpair_preference_dataset`.
    """

    columns: frozenset[str] | None = ANSWER_ROW
    notes: tuple[str, ...] = ("answers with a label: a good and a bad answer to the same prompt are a pair",)

    def __init__(self, labels: Labels) -> None:
        """Set what the columns of labels hold."""
        self._labels = labels
        self._answers: dict[tuple[Message, ...], tuple[list[tuple[str, str]], list[tuple[str, str]]]]
        self._answers = defaultdict(lambda: ([], []))

    @staticmethod
    def reads(row: Mapping[str, Any]) -> bool:
        """Return True if a row of a data set with labels has an answer."""
        return has_answers(row) and not row.keys() >= SIDES

    @property
    def prompts(self) -> int:
        """Number of prompts with a labelled answer."""
        return len(self._answers)

    @property
    def with_both(self) -> int:
        """Number of prompts that have a good and a bad answer."""
        return sum(bool(good and bad) for good, bad in self._answers.values())

    def pairs_of(self, columns: Mapping[str, Any], row_id: str, notes: Counter[str]) -> ReadPairs:
        """Store a row's answer; its pair is complete after the last row."""
        side = 0 if is_desired(columns, self._labels) else 1
        turns, read = turns_in(columns, self._labels)
        last = [answered for number, answered in turns.learned if number == turns.total]
        if not last:
            raise turns.skipped[-1]
        self._answers[last[0].prompt][side].append((row_id, last[0].answer))
        return ReadPairs((), read)

    def rest(self) -> RestPairs:
        """Return the pairs, and the answers without a partner."""
        pairs, left = [], []
        for prompt, (good, bad) in self._answers.items():
            for (row_id, chosen), (other, rejected) in zip(good, bad, strict=False):
                if chosen.split() == rejected.split():
                    reason = "a good and a bad answer to the same prompt are the same"
                    left += [ExcludedExample(own, reason) for own in (row_id, other)]
                else:
                    pairs.append(PreferencePair(row_id, prompt, chosen, rejected, 1.0))
            for row_id, _ in [*good[len(bad) :], *bad[len(good) :]]:
                left.append(ExcludedExample(row_id, "no answer with the other label to the same prompt"))
        return RestPairs(pairs, left)


@dataclass
class LabelledPairs:
    """Rows in a format of human labels, as `publius import labels` reads them.

    The probability of a pair is the mean over its judgments; over those without a dimension (or `overall`) if
    there are any. Skipped and both-bad votes are not used. In a plain table with named annotators, each row
    is a vote: those on the same two answers are one pair, in which an annotator who repeats has one vote.
    """

    source: LabelSource
    _number: int = 0
    _pending: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _votes: int = 0
    """Votes of several rows on the same two answers, in pairs that they make up together."""
    _together: int = 0
    """Number of these pairs."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], known: PairReader | None) -> PairReader | None:
        """Return the reader of the format that recognises the rows; `known` if that is TRL's or none does."""
        source = most_specific(rows)
        if source is None or isinstance(source, TrlPreferences | Transcripts):
            return known
        return known if isinstance(known, KtoPairs) else cls(source)

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns of the format."""
        return self.source.columns

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the format."""
        how = f"format {self.source.name}: {self.source.summary}"
        if not self._together:
            return (how,)
        pairs = counted(self._together, "pair")
        return (how, f"{self._votes:,} votes on {pairs} averaged, one label for each")

    def pairs_of(self, columns: Mapping[str, Any], row_id: str, notes: Counter[str]) -> ReadPairs:
        """Store a row: a format may need the rows that follow."""
        self._pending.append((row_id, columns))
        return ReadPairs((), frozenset(columns) if self.columns is None else self.columns)

    def rest(self) -> RestPairs:
        """Return the pairs of all rows."""
        rows = (Row(number, values) for number, (_, values) in enumerate(self._pending))
        pairs: list[PreferencePair] = []
        left: list[ExcludedExample] = []
        groups: dict[tuple[tuple[Message, ...], frozenset[str]], list[tuple[str, Pair, dict[str, str]]]] = {}
        for labels in self.source.read(rows):
            row_id, values = self._pending[labels.rows[0]]
            found = _of_labels(labels.pairs, row_id, _groups(values))
            votes = _single_vote(labels.pairs) if self.source.name == PLAIN_TABLE else None
            if found and votes is not None:
                key = (votes.prompt, frozenset((votes.first.response, votes.second.response)))
                groups.setdefault(key, []).append((row_id, votes, _groups(values)))
            parts = [*labels.skipped, *(Skipped(_how_same(pair)) for pair in labels.pairs if _is_same(pair))]
            is_further = found and votes is not None and len(groups[key]) > 1
            pairs += [] if is_further else found
            left += [ExcludedExample(row_id, part.reason, part.detail) for part in parts]
            if not found:
                why = parts[0] if parts else Skipped("no judgment prefers an answer or calls it a tie")
                others = labels.rows[1:] if parts else labels.rows
                left += [
                    ExcludedExample(self._pending[number][0], why.reason, why.detail) for number in others
                ]
        together = {voted[0][0]: voted for voted in groups.values() if len(voted) > 1}
        self._votes, self._together = sum(map(len, together.values())), len(together)
        return RestPairs([_averaged(pair, together) for pair in pairs], left)


def _single_vote(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair of a row that is one vote of a named annotator, else None."""
    is_one = len(pairs) == 1 and len(pairs[0].opinions) == 1
    return pairs[0] if is_one and pairs[0].opinions[0].annotator else None


def _averaged(
    pair: PreferencePair, together: Mapping[str, Sequence[tuple[str, Pair, dict[str, str]]]]
) -> PreferencePair:
    """Return a pair with the mean of all rows' votes, if several rows voted on it."""
    voted = together.get(pair.id)
    if voted is None:
        return pair
    row_id, _, groups = voted[0]
    (found,) = _of_labels([one for _, one, _ in voted], row_id, groups)
    return found


def _of_labels(pairs: Iterable[Pair], row_id: str, groups: Mapping[str, str]) -> list[PreferencePair]:
    """Return one preference for each two answers of a row, with the mean probability of their judgments."""
    votes: dict[tuple[tuple[Message, ...], str, str], list[tuple[float, float, bool, str | None]]] = {}
    for pair in pairs:
        if _is_same(pair):
            continue
        first, second = pair.first.response, pair.second.response
        turned = (pair.prompt, second, first) in votes
        key = (pair.prompt, second, first) if turned else (pair.prompt, first, second)
        for opinion in pair.opinions:
            p = _P_FIRST.get(opinion.verdict) if opinion.p_first is None else opinion.p_first
            if p is None or opinion.verdict not in _P_FIRST:
                continue
            who = None if opinion.annotator is None else folded_name(opinion.annotator)
            vote = (1 - p if turned else p, opinion.weight, opinion.dimension in _OVERALL, who)
            votes.setdefault(key, []).append(vote)
    found = []
    for number, ((prompt, first, second), given) in enumerate(votes.items(), start=1):
        used = _one_each([vote for vote in given if vote[2]] or given)
        total = math.fsum(weight for _, weight in used)
        if not total:
            continue
        p = math.fsum(p * weight for p, weight in used) / total
        answers = (first, second) if p >= _EVEN else (second, first)
        own = row_id if len(votes) == 1 else f"{row_id}.{number}"
        found.append(PreferencePair(own, prompt, *answers, max(p, 1 - p), total / len(used), groups=groups))
    return found


def _one_each(votes: Sequence[tuple[float, float, bool, str | None]]) -> list[tuple[float, float]]:
    """Return probabilities with weights: all those of unnamed people, and the mean of each named one."""
    found = [(p, weight) for p, weight, _, who in votes if who is None]
    for name in dict.fromkeys(who for *_, who in votes if who is not None):
        own = [(p, weight) for p, weight, _, who in votes if who == name]
        total = math.fsum(weight for _, weight in own)
        is_mean = total and len(own) > 1
        mean = math.fsum(p * weight for p, weight in own) / total if is_mean else own[0][0]
        found.append((mean, max(weight for _, weight in own)))
    return found


def _is_same(pair: Pair) -> bool:
    """Return True if two answers differ by white space at most."""
    return pair.first.response.split() == pair.second.response.split()


def _how_same(pair: Pair) -> str:
    return IDENTICAL if pair.first.response == pair.second.response else SAME_ANSWERS


def contradictions(pairs: Sequence[PreferencePair]) -> tuple[str, ...]:
    """Return what is to be said of pairs that occur again, or with the opposite preference."""
    seen: dict[tuple[tuple[Message, ...], frozenset[str]], Counter[str]] = {}
    for pair in pairs:
        if pair.p_chosen > _EVEN:
            key = (pair.prompt, frozenset((pair.chosen, pair.rejected)))
            seen.setdefault(key, Counter())[pair.chosen] += 1
    opposed = sum(votes.total() for votes in seen.values() if len(votes) > 1)
    repeated = sum(count - 1 for votes in seen.values() for count in votes.values())
    said = []
    if opposed:
        said.append(
            f"{counted(opposed, 'pair')} with contradicting preferences on the same two answers, all kept"
        )
    if repeated:
        said.append(f"{counted(repeated, 'repeated pair')}, all kept")
    return tuple(said)


def _number(
    columns: Mapping[str, Any],
    name: str,
    default: float,
    accepted: str,
    low: float = -math.inf,
    high: float = math.inf,
) -> float:
    """Return a column's number, which may be text, or the default if it is empty."""
    value = columns.get(name)
    if is_blank(value) or (name in ("margin", "weight") and is_missing(value)):
        return default
    try:
        number = number_of(value, name)
    except RequestError:
        number = math.nan
    if not low <= number <= high:
        raise RequestError(f"{name} is not {accepted}", detail=shown(value))
    return number


def _flag(columns: Mapping[str, Any], name: str) -> bool:
    """Return True if an answer ended by itself, that is, unless its column is false."""
    value = columns.get(name)
    if isinstance(value, str) and value.strip().casefold() in ("true", "false"):
        value = value.strip().casefold() == "true"
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{name} is not true or false", detail=repr(value)[:60])
    return value is not False
