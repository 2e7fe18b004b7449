"""What the checks at load cost: their processor time against that of loading the model.

    python benchmarks/self_check.py [--model ID] [--repeats 5] [--json PATH]

Each repeat loads the model, and then runs the checks of inference, of a policy in training and of a reward
model. Medians are compared; the first repeat reads the files from disk and is not counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from engines.config import ModelConfig
from engines.hf.loading import load_classifier, load_model
from engines.hf.reward_model import require_scores
from engines.hf.self_check import require_inference
from engines.loading import locate
from training.config import LoraConfig
from training.logprobs import require_padded_rows
from training.policy import adapter_shape


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds that some work takes, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def one_repeat(config: ModelConfig) -> dict[str, float]:
    """Return the processor seconds of loading and of each check."""
    import peft

    files = locate(config)
    found = {}
    found["load"], model = timed(lambda: load_model(files, "float32", "cpu"))
    found["inference"], _ = timed(lambda: require_inference(model, files.name))
    policy = peft.get_peft_model(model, adapter_shape(LoraConfig(), "CAUSAL_LM", model))
    found["policy"], _ = timed(lambda: require_padded_rows(policy, files.name))
    classifier = load_classifier(files, "float32", "cpu", 0)
    found["reward model"], _ = timed(lambda: require_scores(classifier, files.name))
    return found


def main() -> None:
    """Print the medians, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "self_check.json")
    options = parser.parse_args()
    rows = [one_repeat(ModelConfig(id=options.model)) for _ in range(options.repeats + 1)][1:]
    medians = {name: median(row[name] for row in rows) for name in rows[0]}
    for name, seconds in medians.items():
        print(f"{name:<14}{1000 * seconds:8.0f} ms {seconds / medians['load']:6.2f} of loading")
    options.json.write_text(json.dumps(medians, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
