"""Gates on variants that an evaluation does not have, which is known before it begins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from evaluation.gates.against import is_against, split_name, variant_in
from evaluation.gates.config import Gate


def gates_without_variant(gates: Mapping[str, Gate], variants: Collection[str]) -> Iterator[str]:
    """Yield a line for each gate that cannot be checked, since a variant that it names is not evaluated.

    Args:
        gates: the gates by name.
        variants: the variants that will be evaluated.
    """
    for full_name, gate in gates.items():
        name, baseline = split_name(full_name) if is_against(full_name, gate) else (full_name, None)
        needed = (variant_in(name), baseline or gate.against)
        lacking = [one for one in dict.fromkeys(needed) if one is not None and one not in variants]
        if lacking and not gate.off:
            yield (
                f"gates.{full_name} cannot be checked, which is an error when the evaluation ends: "
                f"{' and '.join(lacking)} will not be evaluated (not in eval.models, or not trained); "
                f"evaluated: {', '.join(variants)}"
            )
