"""Record files that one stage appends to while another one reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from core.store.record_store import RecordFile, StoredRecord

_Record = TypeVar("_Record", bound=StoredRecord)


class GrowingFile:
    """Tells the stage that reads a record file of the records that another stage appends. It holds none."""

    def __init__(self) -> None:
        self._grew = asyncio.Event()
        self._grew.set()  # for the records that are there
        self._ended = False

    def grew(self) -> None:
        """Say that a record was appended."""
        self._grew.set()

    def end(self) -> None:
        """Say that no more records come."""
        self._ended = True
        self._grew.set()

    async def records(self, file: RecordFile[_Record]) -> AsyncIterator[_Record]:
        """Yield the records of the file, those that are there and those that come, until the end."""
        seen, ended = -1, False
        while not ended:
            await self._grew.wait()
            self._grew.clear()
            ended = self._ended
            for offset, record in file.since(seen):
                seen = offset
                yield record
