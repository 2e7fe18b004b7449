"""What the summary of a run leaves out where there was no critique."""

from typing import Any

import pytest

from publius.views.run_summary import _print_results


@pytest.mark.parametrize("loop", [{}, {"rounds": {}, "checked": 0, "compliant": [], "principles": {}}])
def test_a_run_without_rounds_has_no_table_of_critique(loop: Any, capsys: pytest.CaptureFixture[str]):
    _print_results({"critique": loop, "samples": {}, "rounds": [], "advice": {}})
    assert capsys.readouterr().out == ""
