"""Annotator reliability, estimated from votes without ground truth: Dawid and Skene's EM for graded votes.

The better answer, z = +1 for `a` or -1 for `b`, is unknown. Both are equally likely a priori, since a hash
decides which answer is called `a`. Annotator j's vote on comparison i is a signal x_ij:

    humans     x = 2 p_a - 1       +1 for `a`, -1 for `b`, 0 for a tie, in between for a graded choice
    machines   x = logit(p_a)      the labeler's log-odds

and the model has one strength beta_j per annotator,

    P(z_i | x_ij) = sigmoid(z_i beta_j x_ij),

the same for `a` and `b`: an annotator's accuracy cannot depend on a hash. For discrete human choices, x is
+1 or -1 and this is the one-coin model of Dawid and Skene (1979; Zhang et al., JMLR 2016, section 2) with
accuracy sigmoid(beta_j). beta_j < 0 means that annotator j is wrong more often than right; such votes
count for the other answer. For a machine, beta_j is an inverse temperature: 1 if its probabilities are
calibrated, less if it is overconfident. A vote of weight w counts as w votes. The pairs of a ranking are not
independent: each has a share s of one decision, 1 for any other vote. The EM alternates

    E   q_i = sigmoid(sum_j w_ij beta_j x_ij), the posterior that `a` is better
    M   beta_j = argmax sum_i s_ij w_ij [q_i log sigmoid(beta x_ij) + (1 - q_i) log sigmoid(-beta x_ij)]
                 + prior

so that a ranking of K answers says as much about its annotator as one vote, whatever K, and as much about
each two of its answers as a vote on these two. The M-step is a concave logistic regression in one variable,
solved by Newton's method. The prior is equivalent to `PSEUDO_VOTES` votes of size x0 with strength beta0. For
humans, x0 = 1 and sigmoid(beta0) = 0.84; for a machine, x0 is its root mean square signal and beta0 = 1.
Comparisons with one vote carry no information about their voter and are excluded from the M-step, which they
would only slow down.

Annotators whom the votes do not tell apart share one strength (labelers/crowd/sharing.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.statistics.bootstrap import Floats
from labelers.crowd.sharing import LEAST_SHARED, reliability_groups
from labelers.crowd.votes import Vote

PRIOR_ACCURACY = 0.84
"""Two annotators of this accuracy agree on 73 % of comparisons (0.84^2 + 0.16^2), as InstructGPT's labelers
did (Ouyang et al. 2022, arXiv 2203.02155, section 3.4)."""
PSEUDO_VOTES = 4.0
"""Default weight of the prior on an annotator's strength, in votes."""
_PROBABILITY_CLIP = 1e-4
"""Machine probabilities are clipped to [1e-4, 1 - 1e-4], so one extreme logit cannot outvote everybody."""
_ROUNDS = 500
"""Maximum rounds of EM."""
_TOLERANCE = 1e-8
"""EM and Newton's method stop when no posterior or strength changes by more than this."""
_MAX_STRENGTH = 20.0
"""Bound of |beta|, which would grow without limit for an annotator who is always right and has no prior."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Estimated reliability of one annotator."""

    annotator: str
    votes: int
    """Number of comparisons on which the annotator preferred an answer; ties do not count."""
    accuracy: float | None
    """Expected share of these votes that chose the better answer, under the posterior; None without votes."""
    strength: float | None = None
    """The strength beta; None for methods without one."""


@dataclass(frozen=True)
class Crowd:
    """The posterior of each comparison and the reliability of each annotator."""

    p_a: dict[str, float]
    """Posterior probability that `a` is better, for each comparison with a vote."""
    annotators: tuple[Reliability, ...]
    """The reliabilities, in order of name."""


class _Ballots(NamedTuple):
    """All votes as parallel arrays: index of the voter, index of the comparison, signal, weight, share.

    Annotators who share a strength are one voter.
    """

    voter: Ints
    comparison: Ints
    signal: Floats
    weight: Floats
    share: Floats


def graded_dawid_skene(
    votes: Sequence[Vote],
    pseudo_votes: float = PSEUDO_VOTES,
    rounds: int = _ROUNDS,
    least_shared: int = LEAST_SHARED,
) -> Crowd:
    """Fit the model described in the module docstring, and return posteriors and reliabilities.

    Args:
        votes: at most one per annotator and comparison; votes without a probability are ignored.
        pseudo_votes: weight of the prior on each annotator's strength, in votes; 0 for no prior.
        rounds: maximum rounds of EM; it stops when no posterior changes by more than 1e-8.
        least_shared: comparisons that must be shared to tell an annotator's reliability from that of others.
    """
    voting = [vote for vote in votes if vote.p_a is not None]
    voter_of = reliability_groups(voting, least_shared)
    voters = sorted(set(voter_of.values()))
    comparisons = sorted({vote.comparison_id for vote in voting})
    ballots = _ballots(voting, voter_of, comparisons)
    machine = np.zeros(len(voters), dtype=bool)
    machine[ballots.voter] = [vote.is_machine for vote in voting]
    size, start = _priors(ballots, machine)
    # A comparison with one vote carries no information about its voter.
    shared = np.bincount(ballots.comparison, minlength=len(comparisons))[ballots.comparison] > 1
    learning = _Ballots(
        ballots.voter[shared],
        ballots.comparison[shared],
        ballots.signal[shared],
        ballots.weight[shared],
        ballots.share[shared],
    )
    strength = start
    posterior = _posterior(ballots, strength, len(comparisons))
    for _ in range(rounds):
        strength = _strengths(learning, posterior, strength, (size, start, pseudo_votes))
        before, posterior = posterior, _posterior(ballots, strength, len(comparisons))
        if not voting or float(np.abs(posterior - before).max()) < _TOLERANCE:
            break
    p_a = dict(zip(comparisons, posterior.tolist(), strict=True))
    found = dict(zip(voters, strength.tolist(), strict=True))
    strengths = {annotator: found[voter] for annotator, voter in voter_of.items()}
    return Crowd(p_a, reliabilities(voting, p_a, strengths))


def reliabilities(
    votes: Sequence[Vote], p_a: dict[str, float], strengths: dict[str, float] | None = None
) -> tuple[Reliability, ...]:
    """Return each annotator's expected accuracy under the posteriors, in order of name."""
    right: dict[str, list[float]] = {vote.annotator: [] for vote in votes}
    for vote in votes:
        if vote.choice in ("a", "b"):
            posterior = p_a[vote.comparison_id]
            right[vote.annotator].append(posterior if vote.choice == "a" else 1 - posterior)
    return tuple(
        Reliability(name, len(found), float(np.mean(found)) if found else None, (strengths or {}).get(name))
        for name, found in sorted(right.items())
    )


def _ballots(votes: Sequence[Vote], voter_of: Mapping[str, str], comparisons: Sequence[str]) -> _Ballots:
    voter = {name: number for number, name in enumerate(sorted(set(voter_of.values())))}
    comparison = {name: number for number, name in enumerate(comparisons)}
    p_a = np.array([vote.p_a for vote in votes], dtype=np.float64)
    clipped = np.clip(p_a, _PROBABILITY_CLIP, 1 - _PROBABILITY_CLIP)
    machine = np.array([vote.is_machine for vote in votes], dtype=bool)
    return _Ballots(
        np.array([voter[voter_of[vote.annotator]] for vote in votes], dtype=np.int64),
        np.array([comparison[vote.comparison_id] for vote in votes], dtype=np.int64),
        np.where(machine, np.log(clipped / (1 - clipped)), 2 * p_a - 1),
        np.array([vote.weight for vote in votes], dtype=np.float64),
        np.array([vote.share for vote in votes], dtype=np.float64),
    )


def _priors(ballots: _Ballots, machine: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the size x0 of each voter's pseudo-votes, and their strength beta0."""
    voters = len(machine)
    cast = np.bincount(ballots.voter, minlength=voters)
    squares = _sums(ballots.voter, ballots.signal**2, voters)
    spread = np.sqrt(squares / np.maximum(cast, 1))
    size = np.where(machine & (spread > 0), spread, 1.0)
    start = np.where(machine, 1.0, np.log(PRIOR_ACCURACY / (1 - PRIOR_ACCURACY)))
    return size, start


def _posterior(ballots: _Ballots, strength: Floats, comparisons: int) -> Floats:
    evidence = ballots.weight * strength[ballots.voter] * ballots.signal
    return _sigmoid(_sums(ballots.comparison, evidence, comparisons))


def _strengths(
    ballots: _Ballots, posterior: Floats, strength: Floats, prior: tuple[Floats, Floats, float]
) -> Floats:
    """Return the strengths that maximise expected log-likelihood plus log-prior, by Newton's method."""
    size, start, pseudo_votes = prior
    believed, voters = posterior[ballots.comparison], len(strength)
    weight = ballots.weight * ballots.share
    for _ in range(50):
        p = _sigmoid(strength[ballots.voter] * ballots.signal)
        gradient = _sums(ballots.voter, weight * ballots.signal * (believed - p), voters)
        curvature = _sums(ballots.voter, weight * ballots.signal**2 * p * (1 - p), voters)
        at_prior = _sigmoid(strength * size)
        gradient += pseudo_votes * size * (_sigmoid(start * size) - at_prior)
        curvature += pseudo_votes * size**2 * at_prior * (1 - at_prior)
        # Far from the optimum the curvature is almost 0 and Newton's method would overshoot, so a step is
        # limited to 1.
        newton = np.divide(gradient, curvature, out=np.zeros_like(gradient), where=curvature > 0)
        step = np.clip(newton, -1.0, 1.0)
        strength = np.clip(strength + step, -_MAX_STRENGTH, _MAX_STRENGTH)
        if not voters or float(np.abs(step).max()) < _TOLERANCE:
            break
    return strength


def _sums(groups: Ints, values: Floats, count: int) -> Floats:
    """Return the sum of the values of each group, 0 for an empty group."""
    return np.bincount(groups, values, minlength=count).astype(np.float64)


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))
