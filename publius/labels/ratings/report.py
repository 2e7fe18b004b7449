"""`publius agreement FILE`: the agreement of ratings in a table, and a constitution's checks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.errors import ConfigError
from publius.labels.ratings.beside_rules import RulesBesideRatings, rules_beside_ratings
from publius.labels.ratings.measures import RatingAgreement, rating_agreement
from publius.labels.ratings.table import RatingsTable, read_ratings, rules_beside_folder
from publius.sources.people.folders import is_label_folder


@dataclass(frozen=True)
class RatingsReport:
    """Ratings of single answers, as they were read and as they agree."""

    table: RatingsTable
    agreement: RatingAgreement
    rules: RulesBesideRatings | None
    """None without a constitution."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        columns = self.table.columns
        return {
            "file": str(self.table.path),
            "columns": {
                "prompt": columns.prompt,
                "answer": columns.answer,
                "case": columns.case,
                "raters": list(columns.raters),
            },
            "left_out": dict(self.table.left_out),
            "decimal_commas": list(self.table.decimal_commas),
            **self.agreement.as_json(),
            **({} if self.rules is None else {"beside_rules": self.rules.as_json()}),
        }


def read_ratings_report(path: Path, constitution: str | None, columns: Sequence[str] = ()) -> RatingsReport:
    """Return the agreement of the ratings in a table.

    Args:
        path: the table.
        constitution: a file or preset whose checks are compared with the ratings; None for none.
        columns: options of columns, such as `answer=REPLY,rating=ANNA,rating=BEN`; recognised if empty.

    Raises:
        ConfigError: a column does not exist, or the constitution is invalid.
        DataError: the file cannot be read, or has no ratings.
    """
    loaded = None if constitution is None else load_constitution(constitution)
    table = read_ratings(path, columns, constitution)
    rules = None if loaded is None else rules_beside_ratings(table.rows, loaded)
    return RatingsReport(table, rating_agreement(table.rows, table.columns.raters), rules)


def constitution_beside_folders(folders: Sequence[Path], constitution: str) -> ConfigError:
    """Return the error of a constitution beside folders of votes: a run has its judgments of their pairs."""
    people = next(filter(is_label_folder, folders), folders[0])
    return ConfigError(
        "folders of votes are compared with the judgments of a run, and not with a constitution",
        where="--constitution",
        accepted="a run among the folders (publius label RUN.yaml --pairs FOLDER --set label.principles=0 "
        "makes one without a model); or one table of ratings",
        run=rules_beside_folder(people, constitution),
    )
