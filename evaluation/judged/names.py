"""Names of the measures of principles that a judge rates."""

JUDGED = "judged"
"""Mean over the judged principles that apply to a prompt; `judged.<principle id>` is one principle."""
CORRECTED = "corrected"
"""`judged.<principle id>.corrected` is corrected by labels of people."""


def judged_measure(principle_id: str) -> str:
    """Return the name of the measure of a principle."""
    return f"{JUDGED}.{principle_id}"


def corrected_measure(principle_id: str) -> str:
    """Return the name of the corrected measure of a principle."""
    return f"{judged_measure(principle_id)}.{CORRECTED}"


def is_corrected(measure: str) -> bool:
    """Return True for the name of a corrected measure, or of its difference."""
    parts = measure.split(".")
    return len(parts) > 2 and parts[0] == JUDGED and parts[2] == CORRECTED
