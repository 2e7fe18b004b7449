"""Post-training steps of a reward model: score normalisation, temperature calibration and report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import digest
from core.errors import EngineError, type_and_first_line
from core.notices import warn
from core.store.files import write_atomic
from engines.reward_settings import FILE as SETTINGS
from engines.reward_settings import RewardSettings, read_reward_settings, write_reward_settings
from evaluation.reward.evaluation import RewardEvaluation, evaluate_reward_model, temperature_doubt
from evaluation.reward.metrics import ScoredPair
from evaluation.reward.report import render_reward_report, reward_metrics_content
from publius.models.provenance import is_up_to_date
from training.config import OptimConfig, RewardConfig
from training.examples import EncodedPair, ExcludedExample, PreferencePair
from training.job import TrainingJob, TrainingResult
from training.pairs.encode import encode_pairs
from training.pairs.reward import member_folders
from training.policy import free_memory

if TYPE_CHECKING:
    from engines.hf.reward_model import RewardModel

METRICS, REPORT = "reward_metrics.json", "reward_report.md"
_SCALE_PAIRS = 256
"""Number of training pairs that the scale is computed from if no pairs are held out."""


def finish_reward_model(
    job: TrainingJob,
    config: RewardConfig,
    results: Sequence[TrainingResult],
    pairs: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
) -> dict[str, Any] | None:
    """Write `reward.json` and, if pairs were held out, the report; return the content of the metrics file.

    The scale (mean and standard deviation of the scores) is computed on the held-out answers, or else on some
    of the training answers. The temperature is fitted on the held-out pairs only, and stays 1 if the fit is
    unreliable. Files that an earlier call wrote for the same weights and settings are not rewritten.

    Args:
        job: the training job.
        config: the combination of ensemble members.
        results: the result of each member.
        pairs: the training pairs.
        held_out: the held-out pairs.
    """
    settings = RewardSettings(
        members=member_folders(config), combine=config.combine, uncertainty=config.uncertainty
    )
    if _is_current(job.folder, settings, results, is_reported=bool(held_out)):
        return read_reward_metrics(job.folder)
    # Without held-out pairs no report is written, and an old one would describe earlier weights.
    for name in (METRICS, REPORT):
        (job.folder / name).unlink(missing_ok=True)
    write_reward_settings(job.folder, settings)  # scoring reads the members from this file
    scored, _ = score_pairs(job.folder, job, held_out or pairs[:_SCALE_PAIRS])
    settings = settings.model_copy(update=_scale(scored))
    if not held_out or not any(pair.weight for pair in scored):
        write_reward_settings(job.folder, settings)
        return None
    evaluation = evaluate_reward_model(scored, job.seed)
    fitted = evaluation.calibration.temperature
    temperature = 1.0 if temperature_doubt(fitted, evaluation.n) else fitted
    write_reward_settings(job.folder, settings.model_copy(update={"temperature": temperature}))
    return write_reward_report(evaluation, job.folder, job.folder.name)


def _is_current(
    folder: Path, settings: RewardSettings, results: Sequence[TrainingResult], *, is_reported: bool
) -> bool:
    """Return True if all output files exist and were written for these weights and settings.

    The metrics file is written last, so it proves that the others are complete. Without held-out pairs there
    is no metrics file; then a scale other than the default proves it.
    """
    last = folder / (METRICS if is_reported else SETTINGS)
    if not is_up_to_date(last, results) or (is_reported and read_reward_metrics(folder) is None):
        return False
    try:
        written = read_reward_settings(folder)
    except EngineError:  # damaged: it is written again
        return False
    scale = written.model_dump(include={"mean", "std", "temperature"})
    return written != settings and written == settings.model_copy(update=scale)


def score_pairs(
    folder: Path, job: TrainingJob, pairs: Sequence[PreferencePair]
) -> tuple[list[ScoredPair], list[ExcludedExample]]:
    """Return the pairs with their scores by a trained reward model, and the pairs that it cannot score."""
    from engines.hf.reward_model import load_reward_model

    model = load_reward_model(folder, job.device, job.policy)
    scored = scored_by(model, pairs, job.optim)
    del model
    free_memory()
    return scored


def scored_by(
    model: RewardModel, pairs: Sequence[PreferencePair], optim: OptimConfig
) -> tuple[list[ScoredPair], list[ExcludedExample]]:
    """Return the pairs with their scores, and those that have none.

    These are too long, the chat template rejects them, or a score is NaN or infinite.
    """
    encoded = encode_pairs(pairs, model.encoder, optim, lambda pair: None)
    scores = model.scores([row.tree for row in encoded.rows])
    by_id = {pair.id: pair for pair in pairs}
    scored, excluded = list[ScoredPair](), list(encoded.excluded)
    for row, chosen, rejected in zip(encoded.rows, scores[::2], scores[1::2], strict=True):
        if math.isfinite(chosen) and math.isfinite(rejected):
            scored.append(_scored(row, chosen, rejected, by_id[row.id]))
        else:
            found = f"{chosen:g} and {rejected:g}"
            excluded.append(ExcludedExample(row.id, "the model's scores are not finite", found))
    return scored, excluded


def read_reward_metrics(folder: Path) -> dict[str, Any] | None:
    """Return the content of a reward model's metrics file, or None if there is none."""
    return read_metrics(folder / METRICS)


def read_metrics(path: Path) -> dict[str, Any] | None:
    """Return the content of a metrics file, or None if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        warn(f"{path} is damaged and is not shown ({type_and_first_line(error)})")
        return None
    return content if isinstance(content, dict) else None


def _scored(row: EncodedPair, chosen: float, rejected: float, pair: PreferencePair) -> ScoredPair:
    return ScoredPair(
        id=row.id,
        chosen_reward=chosen,
        rejected_reward=rejected,
        p_chosen=row.p_chosen,
        chosen_tokens=len(row.chosen.answer_ids),
        rejected_tokens=len(row.rejected.answer_ids),
        weight=row.weight,
        groups=pair.groups,
        # Not the encoded ids: truncation can make different prompts alike.
        prompt=digest([message.model_dump(mode="json") for message in pair.prompt]),
    )


def _scale(scored: Sequence[ScoredPair]) -> dict[str, float]:
    """Return mean and standard deviation of the scores; empty without scores, and 1 for a deviation of 0."""
    from statistics import fmean, pstdev

    scores = [score for pair in scored for score in (pair.chosen_reward, pair.rejected_reward)]
    if not scores:
        return {}
    return {"mean": fmean(scores), "std": pstdev(scores) or 1.0}


def write_reward_report(evaluation: RewardEvaluation, to: Path, name: str) -> dict[str, Any]:
    """Write the report and the metrics file of a reward model; return the content of the metrics file."""
    content = reward_metrics_content(evaluation)
    write_atomic(to / REPORT, render_reward_report(evaluation, name))
    write_atomic(to / METRICS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return content
