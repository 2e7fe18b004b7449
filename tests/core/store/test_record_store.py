from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.digests import record_id
from core.errors import DataError, RunStateError
from core.records import Record
from core.store.record_store import RecordFile, RecordStore
from tests.core.conftest import LockableFolder

NAME = "notes.jsonl"
REPOSITORY = Path(__file__).parents[3]


class Topic(Record):
    id: str


class Note(Record):
    id: str
    topic: Topic
    text: str = ""


def note(number: int, topic: str = "t", text: str = "") -> Note:
    return Note(id=record_id("note", number), topic=Topic(id=topic), text=text or f"text {number}")


def open_notes(store: RecordStore) -> RecordFile[Note]:
    return store.open(NAME, Note, parent="topic.id")


def write_notes(folder: Path, *notes: Note) -> Path:
    with RecordStore(folder) as store:
        file = open_notes(store)
        for each in notes:
            assert file.append(each)
    return folder / NAME


def ids(folder: Path) -> list[str]:
    """The ids in the order of the file, read from the file itself."""
    return [json.loads(line)["id"] for line in (folder / NAME).read_text().splitlines()]


# Reading what was written


def test_record_is_found_again_by_id(tmp_path: Path):
    write_notes(tmp_path, note(1, text="naïve \u2028\n \N{SNOWMAN}"), note(2))
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        assert file.get(note(1).id) == note(1, text="naïve \u2028\n \N{SNOWMAN}")
        assert note(2).id in file
        assert note(3).id not in file
        assert len(file) == 2


def test_record_is_in_the_file_once_append_returns(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        open_notes(store).append(note(1))
        assert (tmp_path / NAME).read_text() == note(1).to_line()


def test_second_append_of_an_id_writes_nothing(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        assert file.append(note(1))
        assert not file.append(note(1, text="another text"))
        assert len(file) == 1
    with RecordStore(tmp_path) as store:
        assert not open_notes(store).append(note(1))
    assert (tmp_path / NAME).read_text() == note(1).to_line()


def test_unknown_id_is_a_data_error(tmp_path: Path):
    with RecordStore(tmp_path) as store, pytest.raises(DataError, match="no record 'abc'"):
        open_notes(store).get("abc")


def test_iteration_follows_the_file_and_sorted_follows_the_ids(tmp_path: Path):
    notes = [note(number) for number in range(1203)]  # more than two pages of the index
    write_notes(tmp_path, *notes)
    with RecordStore(tmp_path) as store:
        assert list(open_notes(store)) == notes
        assert list(open_notes(store).sorted()) == sorted(notes, key=lambda each: each.id)


def test_iteration_ends_where_the_file_ended_when_it_began(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        file.append(note(0))
        for ordered in (file, file.sorted()):
            for number, _ in enumerate(ordered):
                file.append(note(len(file) + 1000))
                assert number < 5
        assert len(file) == 4


def test_children_are_grouped_by_a_dotted_field_and_ordered_by_id(tmp_path: Path):
    notes = [note(number, topic=f"t{number % 2}") for number in range(1203)]
    write_notes(tmp_path, *notes, note(9999, topic="alone"))
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        expected = sorted((each for each in notes if each.topic.id == "t1"), key=lambda each: each.id)
        assert list(file.children("t1")) == expected
        assert [len(list(file.children(parent))) for parent in ("alone", "t0", "t1")] == [1, 602, 601]
        assert file.has_children("t0")
        assert not file.has_children("t")
        assert list(file.children("t")) == []


def test_other_parent_field_than_last_time_regroups_the_file(tmp_path: Path):
    write_notes(tmp_path, note(1, topic="a"), note(2, topic="b"))
    with RecordStore(tmp_path) as store:
        assert list(store.open(NAME, Note).sorted()) == sorted(
            [note(1, "a"), note(2, "b")], key=lambda n: n.id
        )
    with RecordStore(tmp_path) as store:
        by_text = store.open(NAME, Note, parent="text")
        assert [each.id for each in by_text.children("text 2")] == [note(2).id]


def test_prefix_finds_ids_in_all_files(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        open_notes(store).append(note(1))
        store.open("topics.jsonl", Topic).append(Topic(id=note(1).id[:6] + "ffff"))
        store.open("topics.jsonl", Topic).append(Topic(id="zz"))
    with RecordStore(tmp_path, writable=False) as store:
        assert store.find(note(1).id[:6]) == [(NAME, note(1).id), ("topics.jsonl", note(1).id[:6] + "ffff")]
        assert store.find("zz") == [("topics.jsonl", "zz")]
        assert store.find("nothing") == []


def test_text_that_is_not_unicode_is_refused_before_anything_is_written(tmp_path: Path):
    with RecordStore(tmp_path) as store, pytest.raises(DataError, match="cannot be stored"):
        open_notes(store).append(note(1, text="\ud800"))
    assert (tmp_path / NAME).read_bytes() == b""


# Broken files


def test_torn_last_line_is_cut_off_and_kept_aside(tmp_path: Path):
    path = write_notes(tmp_path, note(1))
    with path.open("ab") as file:
        file.write(b'{"id":"x","top')
    with RecordStore(tmp_path) as store:
        repaired = open_notes(store)
        assert repaired.repaired_bytes == 14
        assert len(repaired) == 1
        assert repaired.append(note(2))
    assert ids(tmp_path) == [note(1).id, note(2).id]
    assert (tmp_path / f"{NAME}.torn").read_bytes() == b'{"id":"x","top\n'


@pytest.mark.parametrize("rest", [b"\0\0\0\0\n", b'{"id":\n', b"\xff\n"])
def test_last_line_that_is_not_json_counts_as_torn(tmp_path: Path, rest: bytes):
    path = write_notes(tmp_path, note(1))
    with path.open("ab") as file:
        file.write(rest)
    with RecordStore(tmp_path) as store:
        assert open_notes(store).repaired_bytes == len(rest)
    assert path.read_text() == note(1).to_line()


@pytest.mark.parametrize("with_index", [True, False])
def test_file_cut_at_any_byte_loses_no_earlier_line(tmp_path: Path, with_index: bool):
    notes = [note(1), note(2, text="ü{}\n")]
    path = write_notes(tmp_path, *notes)
    whole = path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        if not with_index:
            (tmp_path / "index.sqlite").unlink()
        # A record whose last brace is there is whole: only its newline was cut.
        expected = [each for each, end in zip(notes, ends, strict=True) if cut >= end - 1]
        with RecordStore(tmp_path) as store:
            file = open_notes(store)
            assert list(file) == expected
            assert file.append(note(4))
            assert list(file) == [*expected, note(4)]
        assert ids(tmp_path) == [each.id for each in [*expected, note(4)]]


def test_broken_line_before_the_last_names_its_line(tmp_path: Path):
    path = tmp_path / NAME
    path.write_text(note(1).to_line() + "\n" + '{"id": broken}\n' + note(2).to_line())
    with RecordStore(tmp_path) as store, pytest.raises(DataError) as caught:
        open_notes(store)
    assert str(caught.value).startswith(f"{path}:3: not valid JSON")
    assert "accepted: one Note record as JSON on each line" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_line_without_an_id_is_a_data_error_even_as_the_last(tmp_path: Path):
    (tmp_path / NAME).write_text(note(1).to_line() + '{"text":"x"}\n')
    with RecordStore(tmp_path) as store, pytest.raises(DataError, match=r":2: the record has no 'id'"):
        open_notes(store)


def test_record_that_fails_validation_names_line_and_reason(tmp_path: Path):
    (tmp_path / NAME).write_text(note(1).to_line() + '{"id":"b","topic":{"id":4},"txt":""}\n')
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        with pytest.raises(DataError, match=r"notes\.jsonl:2: topic\.id: .*string \(and 1 more\)"):
            list(file)


def test_blank_lines_are_passed_over(tmp_path: Path):
    (tmp_path / NAME).write_text("\n" + note(1).to_line() + "  \n" + note(2).to_line() + "\n \n")
    for _ in range(2):
        with RecordStore(tmp_path) as store:
            assert list(open_notes(store)) == [note(1), note(2)]
            assert open_notes(store).repaired_bytes == 0


def test_first_of_two_lines_with_one_id_counts(tmp_path: Path):
    (tmp_path / NAME).write_text(note(1).to_line() + note(1, text="later").to_line() + note(2).to_line())
    for _ in range(2):  # the count is remembered with the index
        with RecordStore(tmp_path) as store:
            file = open_notes(store)
            assert list(file) == [note(1), note(2)]
            assert (len(file), file.duplicates) == (2, 1)


# The index


def cut_short(path: Path) -> None:
    path.write_text(note(2).to_line())


def replace(path: Path) -> None:
    """Put another file of the same length in its place."""
    other = path.with_name("other")
    other.write_text(note(3).to_line() + note(2).to_line() + note(1).to_line())
    other.replace(path)


def edit_in_place(path: Path) -> None:
    with path.open("r+") as file:
        file.write(note(3).to_line() + note(2).to_line() + note(1).to_line() + note(4).to_line())


def remove_index(path: Path) -> None:
    path.with_name("index.sqlite").unlink()


def fill_index_with_rubbish(path: Path) -> None:
    path.with_name("index.sqlite").write_bytes(b"rubbish" * 1000)


def break_index_pages(path: Path) -> None:
    index = path.with_name("index.sqlite")
    index.write_bytes(index.read_bytes()[:4096] + b"\xff" * (index.stat().st_size - 4096))


def age_index(path: Path) -> None:
    with sqlite3.connect(path.with_name("index.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


CHANGES = [
    cut_short,
    replace,
    edit_in_place,
    remove_index,
    fill_index_with_rubbish,
    break_index_pages,
    age_index,
]


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_index_follows_the_file_whatever_happened(
    tmp_path: Path, change: Callable[[Path], None], writable: bool
):
    path = write_notes(tmp_path, note(1), note(2), note(3))
    change(path)
    with RecordStore(tmp_path, writable=writable) as store:
        file = open_notes(store)
        assert [each.id for each in file] == ids(tmp_path)
        assert [file.get(id).id for id in ids(tmp_path)] == ids(tmp_path)
        assert file.duplicates == 0


def test_lines_added_by_hand_are_indexed(tmp_path: Path):
    path = write_notes(tmp_path, note(1))
    with path.open("a") as file:
        file.write(note(2).to_line())
    with RecordStore(tmp_path) as store:
        assert list(open_notes(store)) == [note(1), note(2)]


def test_line_changed_behind_our_back_is_not_taken_for_the_record(tmp_path: Path):
    path = write_notes(tmp_path, note(1), note(2), note(3))
    with RecordStore(tmp_path, writable=False) as store:
        file = open_notes(store)
        text = path.read_text().replace(note(2).id, note(5).id)
        path.write_text(text)
        with pytest.raises(DataError, match=r":2: the file was changed: expected record"):
            file.get(note(2).id)


def test_append_after_an_interrupted_append_keeps_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        with monkeypatch.context() as patch:
            # The line is written, and Ctrl-C comes before the index row.
            patch.setattr(file, "_parent_of", lambda record: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                file.append(note(1))
        assert file.append(note(2))
        assert list(file) == [note(1), note(2)]
        assert (len(file), file.duplicates) == (2, 0)


def test_index_is_committed_by_sync(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        file.append(note(1))
        file.sync()
        with sqlite3.connect(tmp_path / "index.sqlite") as reader:
            assert reader.execute("SELECT end FROM files").fetchall() == [(len(note(1).to_line()),)]
        reader.close()


# Several processes


def test_second_writer_is_refused_with_the_pid_of_the_first(tmp_path: Path):
    refusal = rf"another process \(PID {os.getpid()}\) is writing"
    with RecordStore(tmp_path), pytest.raises(RunStateError, match=refusal):
        RecordStore(tmp_path)
    RecordStore(tmp_path).close()


def test_readers_work_while_the_writer_writes(tmp_path: Path):
    with RecordStore(tmp_path) as writing:
        written = open_notes(writing)
        for number in range(20):
            written.append(note(number))
            if number == 10:
                written.sync()
        (tmp_path / NAME).open("ab").write(b'{"id":"half')  # as a reader may catch the writer in the act
        with RecordStore(tmp_path, writable=False) as reading:
            file = open_notes(reading)
            assert list(file) == [note(number) for number in range(20)]
            assert file.repaired_bytes == 0
            with pytest.raises(AssertionError, match="open for reading"):
                file.append(note(99))
    assert (tmp_path / NAME).read_bytes().endswith(b'{"id":"half')


def test_reader_sees_an_absent_file_as_empty(tmp_path: Path):
    with RecordStore(tmp_path, writable=False) as store:
        file = open_notes(store)
        assert (len(file), list(file), list(file.sorted()), "x" in file) == (0, [], [], False)
    assert os.listdir(tmp_path) == []


def test_reader_changes_nothing_in_the_folder(tmp_path: Path):
    path = write_notes(tmp_path, note(1))
    with path.open("ab") as file:
        file.write(note(2).to_line().encode()[:-1])
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with RecordStore(tmp_path, writable=False) as store:
        assert list(open_notes(store)) == [note(1), note(2)]
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_reader_of_a_missing_folder_says_so(tmp_path: Path):
    with pytest.raises(RunStateError, match="no such run folder"):
        RecordStore(tmp_path / "missing", writable=False)


def test_read_only_folder_can_be_read_and_not_written(lockable: LockableFolder):
    write_notes(lockable.path, note(1))
    lockable.lock()
    with RecordStore(lockable.path, writable=False) as store:
        assert list(open_notes(store)) == [note(1)]
    with pytest.raises(RunStateError, match="not writable"):
        RecordStore(lockable.path)


# Killed processes and full disks

WRITER = """
import sys
from pathlib import Path
from core.store.record_store import RecordStore
from tests.core.store.test_record_store import note, open_notes

with RecordStore(Path(sys.argv[1])) as store:
    file = open_notes(store)
    for number in range(len(file), 1_000_000):
        file.append(note(number, text="x" * (number * 7919 % 3_000)))
        print(number, flush=True)
"""


def start_writer(program: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_kill_at_any_moment_loses_and_doubles_nothing(kills: int, tmp_path: Path):
    moments = random.Random(7)
    acknowledged: set[int] = set()
    for _ in range(kills):
        child = start_writer(WRITER, tmp_path)
        assert child.stdout is not None
        acknowledged.add(int(child.stdout.readline()))
        time.sleep(moments.uniform(0.0, 0.2))
        child.send_signal(signal.SIGKILL)
        acknowledged.update(int(line) for line in child.stdout.read().split("\n")[:-1])
        child.wait()
        with RecordStore(tmp_path) as store:
            file = open_notes(store)
            found = ids(tmp_path)
            assert len(found) == len(set(found)) == len(file)
            assert {record_id("note", number) for number in acknowledged} <= set(found)
            assert [each.id for each in file] == found
    assert len(acknowledged) > kills


FILLER = """
import resource, signal, sys
from pathlib import Path
from core.errors import RunStateError
from core.store.record_store import RecordStore
from tests.core.store.test_record_store import note, open_notes

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RecordStore(Path(sys.argv[1])) as store:
    file = open_notes(store)
    file.sync()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    for number in range(1000):
        try:
            file.append(note(number, text="x" * 3000))
        except RunStateError as error:
            print(error)
            break
    try:
        file.append(note(number, text="x" * 3000))
    except RunStateError:
        print(len(file), file.append(note(2000)))
"""


def test_full_disk_is_one_clear_error_and_leaves_whole_lines(tmp_path: Path):
    child = start_writer(FILLER, tmp_path)
    output, _ = child.communicate()
    message, counts = output.splitlines()
    assert child.returncode == 0
    assert message.startswith(f"{tmp_path / NAME}: disk full (File too large)")
    path = tmp_path / NAME
    assert counts == "32 True"  # the long record did not fit, and a short one still does
    assert path.read_bytes().endswith(b"\n")
    assert ids(tmp_path) == [*(record_id("note", number) for number in range(32)), record_id("note", 2000)]


def test_failing_index_stops_the_writer_and_keeps_the_record(tmp_path: Path):
    with RecordStore(tmp_path) as store:
        file = open_notes(store)
        file.append(note(1))
        file._index._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(RunStateError, match=r"index\.sqlite"):
            file.append(note(2))
        with pytest.raises(RunStateError, match=r"index\.sqlite"):
            file.append(note(3))
    with RecordStore(tmp_path) as store:
        assert list(open_notes(store)) == [note(1), note(2)]
