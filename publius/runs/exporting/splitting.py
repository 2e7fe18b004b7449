"""The split of an exported data set into train and test, by groups of prompts that resemble each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from core.digests import derive_uniform
from core.errors import ConfigError
from core.notices import counted
from core.records import Message, Prompt
from core.store.near_duplicates import NEAR_DUPLICATE, GramCounts, Match, NearDuplicates
from core.store.seen_ids import SeenIds
from prompts.sources import compared_text, normalised
from publius.runs.exporting.twins import SharedGrams
from publius.runs.records import RunFiles

TEST_SHARE = 0.1
"""Share of the prompts in the test split on average, unless the run holds out none (`split.test: 0`)."""
SPLITS = ("train", "test")
TAGS = "tags"
"""What `StayTogether.by` names beside carried columns."""
TEMPLATE_TWINS = 0.5
"""Similarity by all letter grams from which a test prompt resembles a training prompt."""
_MOST_COMPARED = 20_000
"""Prompts up to which twins are found exactly, in memory; beyond, near-duplicates, in bounded memory."""


@dataclass(frozen=True)
class StayTogether:
    """Which prompts are in one split beside near-duplicates and conversations that begin alike."""

    similarity: float | None = None
    """Those whose letter 4-grams have this Jaccard similarity or more, all counted; None for none."""
    by: str | None = None
    """Those with the same value in this carried column, or with a tag in common; None for none."""

    def check(self, carried: Collection[str]) -> None:
        """Refuse a similarity out of range and a column that is not carried. Raises ConfigError."""
        if self.similarity is not None and not 0 < self.similarity <= 1:
            accepted = "a similarity above 0 and up to 1, such as 0.5"
            raise ConfigError(f"found {self.similarity:g}", where="--test-similarity", accepted=accepted)
        if self.by is not None and self.by != TAGS and self.by not in carried:
            what = f"no column {self.by!r} is carried with the prompts"
            run = f"publius run RUN.yaml --set prompts.keep=[{self.by}], which asks no model again"
            accepted = ", ".join([*carried, TAGS])
            raise ConfigError(what, where="--test-by", accepted=accepted, run=run)

    def in_words(self) -> str:
        """Return what is kept together beside near-duplicates, for a sentence; empty without anything."""
        found = []
        if self.similarity is not None:
            found.append(
                f"prompts with a similarity of at least {self.similarity:g} by all their letter 4-grams"
            )
        if self.by == TAGS:
            found.append("prompts with a tag in common")
        elif self.by is not None:
            found.append(f"prompts with the same {self.by}")
        return " and ".join(found)


NEAR_ALONE = StayTogether()


def require_test_share(share: float | None) -> None:
    """Refuse a share of the test split that leaves nothing to train on. Raises ConfigError."""
    if share is not None and not 0 <= share < 1:
        accepted = "a share from 0 (no test split) to below 1, such as 0.2"
        raise ConfigError(f"found {share:g}", where="--test-share", accepted=accepted)


class TestSplit:
    """Decides whether a prompt's rows are in `train` or `test`, and counts the prompts of both.

    Prompts that belong together are in one split, so that nothing in the test split is nearly repeated in
    training: near-duplicates, by the measure of `prompts.duplicates`, and conversations that begin alike.
    That measure leaves out what many prompts share, so prompts of one template may be on both sides unless
    `together` joins them; `alike` counts them.
    Each such group has a number in (0, 1), determined by the normalised text of one of its prompts.

    By default a group is in the test split if its number is below `TEST_SHARE`: a share on average, in which
    further prompts move only those that they resemble. A given share is taken of the prompts as exactly as
    the groups allow, by their numbers in ascending order.

    Args:
        files: the run's records; its prompts, and those that came with pairs or human labels, are compared.
        share: the share to take; if not given, `TEST_SHARE` on average, or 0 if the run holds out no prompts.
        of: the prompts of which to take the share, each any number of times; read once, if a share is given.
        holds_out: False if the run holds out no prompts.
        together: which prompts are in one split, too.

    Raises:
        ConfigError: if the share is not from 0 to below 1, or `together` is given and there is no test split.
    """

    __test__ = False  # or pytest takes it for a class of tests

    def __init__(
        self,
        files: RunFiles,
        share: float | None,
        of: Iterable[Sequence[Message]] = (),
        *,
        holds_out: bool = True,
        together: StayTogether = NEAR_ALONE,
    ) -> None:
        require_test_share(share)
        self.together = together
        self.share = share if share is not None else TEST_SHARE if holds_out else 0.0
        self.is_exact = share is not None
        if together != NEAR_ALONE and not self.share:
            raise ConfigError(
                "there is no test split",
                where="--test-similarity, --test-by",
                accepted="them with --test-share SHARE above 0, such as 0.1",
            )
        self._files = files
        self._groups = _grouped(files, together) if self.share else _Groups()
        self._sizes = Counter(map(self._groups.leader, _points(of) if share else ()))
        self._taken = frozenset(_taken(self._sizes, share)) if share else None
        self._seen = SeenIds()
        self.prompts: dict[str, int] = {}
        """Number of prompts by split, for those that have rows; texts with the same words count once."""

    def split_of(self, messages: Sequence[Message]) -> str:
        """Return the split of a prompt's rows, and count the prompt."""
        own = _point(messages)
        leader = self._groups.leader(own)
        is_test = leader < self.share if self._taken is None else leader in self._taken
        split = "test" if is_test else "train"
        if self._seen.add(repr(own), split):
            self.prompts[split] = self.prompts.get(split, 0) + 1
        return split

    def missed(self) -> str:
        """Return a sentence if the share of the prompts counted so far is not the one that was asked for."""
        total, test = sum(self.prompts.values()), self.prompts.get("test", 0)
        if not (self.is_exact and self.share and total) or abs(test - self.share * total) < 1:
            return ""
        became = f"{test:,} of {counted(total, 'prompt')} ({test / total:.0%})" if test else "no prompt"
        why = "groups of prompts that stay together are not divided"
        if not test and self._sizes:
            why += f", and the smallest has {min(self._sizes.values()):,} of {self._sizes.total():,}"
        return f"the test split has {became} for a share of {self.share:g}: {why}"

    @property
    def alike_from(self) -> float:
        """Similarity from which `alike` counts a test prompt."""
        return TEMPLATE_TWINS if sum(self.prompts.values()) <= _MOST_COMPARED else NEAR_DUPLICATE

    def alike(self) -> int:
        """Return how many of the test prompts counted so far resemble a counted training prompt after all.

        Here every letter gram counts, also those of words that many prompts share. By these, prompts of one
        template resemble each other, which groups leave apart: they could not be told from all others.
        """
        if len(self.prompts) < len(SPLITS):
            return 0
        if self.alike_from == TEMPLATE_TWINS:
            return self._twins()
        found: set[float] = set()
        with NearDuplicates(GramCounts()) as near:  # of nothing counted, no gram is one that many share
            for text, _ in self._counted("train"):
                near.find_or_add(text, "", _remembered)
            for text, own in self._counted("test"):
                if near.find_or_add(text, "", _forgotten) is not None:
                    found.add(own)
        return len(found)

    def _twins(self) -> int:
        train, test = list(self._counted("train")), list(self._counted("test"))
        grams = SharedGrams([text for text, _ in (*train, *test)], TEMPLATE_TWINS)
        for place in range(len(train)):
            grams.add(place)
        found = (own for place, (_, own) in enumerate(test, len(train)) if any(grams.similar(place, _every)))
        return len(set(found))

    def _counted(self, split: str) -> Iterator[tuple[str, float]]:
        """Yield the compared text and the number of each counted prompt of a split."""
        for prompt in _all_prompts(self._files):
            own = _point(prompt.messages)
            if self._seen.place_of(repr(own)) == split:
                yield compared_text(prompt), own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seen.close()


class _Groups:
    """Disjoint sets of prompts, each prompt by its number; one that is alone takes no memory."""

    def __init__(self) -> None:
        self._above: dict[float, float] = {}

    def leader(self, point: float) -> float:
        """Return the number that stands for the group of a prompt."""
        while point in self._above:
            point = self._above[point]
        return point

    def join(self, one: float, other: float) -> None:
        """Make one group of two prompts' groups.

        A second hash says which number stands for both: the lower one would be in the test split more often
        than its share, and the first one would depend on the order.
        """
        leaders = {self.leader(one), self.leader(other)}
        if len(leaders) == 2:
            first, second = sorted(leaders, key=lambda point: derive_uniform("export group", point))
            self._above[second] = first


def _remembered(_: Match | None) -> str:
    return "train"


def _every(_: int) -> bool:
    return True


def _forgotten(_: Match | None) -> None:
    return None


def _taken(sizes: Counter[float], share: float) -> Iterator[float]:
    """Yield groups whose prompts together are nearly a share of all, and never all of them.

    A group that is too large is passed.
    """
    left, wanted = sizes.total(), share * sizes.total()
    for leader, size in sorted(sizes.items()):
        if size <= 2 * wanted and size < left:  # with it, the sum is nearer to the share
            left, wanted = left - size, wanted - size
            yield leader


def _points(prompts: Iterable[Sequence[Message]]) -> Iterator[float]:
    """Yield the number of each prompt once."""
    with SeenIds() as seen:
        for messages in prompts:
            own = _point(messages)
            if seen.add(repr(own)):
                yield own


def _grouped(files: RunFiles, together: StayTogether) -> _Groups:
    """Return the groups of a run's prompts, which are read twice."""
    counts, groups = GramCounts(), _Groups()
    for prompt in _all_prompts(files):
        counts.add(compared_text(prompt))
    with NearDuplicates(counts) as near:
        for prompt in _all_prompts(files):
            _join(prompt, groups, counts, near)
    if together.similarity is not None:
        _join_similar(files, groups, together.similarity)
    if together.by is not None:
        _join_by(files, groups, together.by)
    return groups


def _join_similar(files: RunFiles, groups: _Groups, similarity: float) -> None:
    """Join prompts that are similar by all their grams, directly or over others."""
    prompts = list(_all_prompts(files))
    points = [_point(prompt.messages) for prompt in prompts]
    grams = SharedGrams([compared_text(prompt) for prompt in prompts], similarity)
    for place, own in enumerate(points):
        is_apart = lambda other, own=own: groups.leader(own) != groups.leader(points[other])  # noqa: E731
        for other in grams.similar(place, is_apart):
            groups.join(own, points[other])
        grams.add(place)


def _join_by(files: RunFiles, groups: _Groups, column: str) -> None:
    """Join prompts with the same value in one of the user's columns, or with a tag in common."""
    first: dict[Hashable, float] = {}
    for prompt, own in _with_columns(files):
        cell = own.get(column)
        values = prompt.tags if column == TAGS else () if cell in (None, "") else (cell,)
        for value in values:
            groups.join(_point(prompt.messages), first.setdefault(value, _point(prompt.messages)))


def _with_columns(files: RunFiles) -> Iterator[tuple[Prompt, Mapping[str, Any]]]:
    """Yield each prompt of a run, and that of each pair, with the user's columns of it."""
    for prompt in files.prompts.sorted():
        yield prompt, files.own_columns(prompt.id)
    for comparison in files.all_comparisons():
        yield comparison.prompt, files.own_columns(comparison.id, comparison.prompt.id)


def _join(prompt: Prompt, groups: _Groups, counts: GramCounts, near: NearDuplicates) -> None:
    """Join a prompt with the earlier ones that it nearly repeats or that begin its conversation."""
    own = _point(prompt.messages)

    def stored(match: Match | None) -> str:
        return repr(own)

    match = near.find_or_add(compared_text(prompt), normalised(prompt.messages), stored)
    for point in match.payloads if match else ():
        groups.join(own, float(point))
    begun = _beginning(prompt, counts)
    if begun is not None:
        groups.join(own, _point(begun))


def _beginning(prompt: Prompt, counts: GramCounts) -> tuple[Message, ...] | None:
    """Return the first turns by which conversations are known to be parts of one, or None.

    The shortest ones that end with the user and say enough: many conversations begin with the same greeting.
    """
    for place, message in enumerate(prompt.messages[:-1], start=1):
        begun = prompt.messages[:place]
        if message.role == "user" and counts.is_distinctive(compared_text(Prompt.of(begun))):
            return begun
    return None


def _all_prompts(files: RunFiles) -> Iterator[Prompt]:
    """Yield each prompt of a run once: its own, then those that came with pairs."""
    yield from files.prompts.sorted()
    with SeenIds() as added:
        for comparison in files.all_comparisons():
            prompt = comparison.prompt
            if prompt.id not in files.prompts and added.add(prompt.id):
                yield prompt


def _point(messages: Sequence[Message]) -> float:
    """Return the number in (0, 1) of a prompt; the same for texts that have the same words."""
    return derive_uniform("export", normalised(messages))
