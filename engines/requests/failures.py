"""The failure of one request: exceptions of an engine, and answers that cannot be stored."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import PydanticSerializationError

from core.errors import EngineError, FailedRequestError, PubliusError, on_one_line, type_and_first_line
from core.libraries import is_out_of_memory
from core.records import Generation
from engines.protocols import ChoiceScores

_MAX_DETAIL = 300
"""Characters of an exception in a message."""


@contextmanager
def failure_of_one_request(model: str) -> Iterator[None]:
    """Turn what an engine raises for a request into FailedRequestError, but not what ends the work.

    Our own errors pass, and so does the cancellation of this task by others.
    """
    try:
        yield
    except PubliusError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise FailedRequestError("the engine cancelled the request") from error
    except Exception as error:
        if isinstance(error, MemoryError) or ("torch" in sys.modules and is_out_of_memory(error)):
            raise EngineError(f"out of memory ({type_and_first_line(error)})", where=model) from error
        reason = f"the engine failed on the request ({type(error).__name__})"
        raise FailedRequestError(reason, detail=on_one_line(error)[:_MAX_DETAIL]) from error


def line_of(answer: Generation | ChoiceScores) -> str:
    """Return the answer as JSON. Raises FailedRequestError if its text cannot be stored."""
    try:
        return answer.model_dump_json(exclude_none=True)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise FailedRequestError("the answer is not valid Unicode", detail=on_one_line(error)) from error
