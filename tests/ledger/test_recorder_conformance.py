"""eventsourcing's own conformance tests, run on our recorder.

Every test of the base cases runs, and none is overridden. `optional_test_insert_subscribe` is the library's own option for
recorders that can push: `SQLiteApplicationRecorder` raises NotImplementedError from `subscribe`, and ours inherits that,
which is a law below.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from unittest import TestCase, mock
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from ledger.sqlite import LedgerDatastore, SealingRecorder
from tests.simulator import signer

# The same module holds the base cases of ciphers, which import pycryptodome; those of recorders do without.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = None  # type: ignore[attr-defined]  # a name to import, never called here
with mock.patch.dict(sys.modules, {"eventsourcing.cipher": _cipher}):
    from eventsourcing.tests import persistence


def _join(before: set[threading.Thread]) -> None:
    """Wait for the readers that a base case stops but does not join: closing a connection in use crashes the process."""
    for thread in set(threading.enumerate()) - before:
        thread.join()


class _Temporary(TestCase):
    """A recorder on a fresh file. Streams of a ledger are text, where the library's default is a UUID."""

    def new_originator_id(self) -> str:
        return f"run/{uuid4()}"

    def create_recorder(self) -> SealingRecorder:
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        datastore = LedgerDatastore(str(Path(directory.name) / "ledger.db"))
        self.addCleanup(datastore.close)
        self.addCleanup(_join, set(threading.enumerate()))  # runs before the one above
        ledger = "ab" * 32
        recorder = SealingRecorder(
            datastore, ledger=ledger, origin=f"soup-ledger/{ledger}", author=signer("author"), log=signer("log")
        )
        recorder.create_table()
        return recorder


class TestApplicationRecorder(_Temporary, persistence.ApplicationRecorderTestCase[SealingRecorder]):
    """Inserting, selecting, conflicts, notifications, ten writers beside two readers."""


class TestNonInterleavingNotificationIDs(_Temporary, persistence.NonInterleavingNotificationIDsBaseCase):
    """Two commits of a thousand events each, at once: neither lies inside the other."""


class TestBesidesTheBaseCases(_Temporary):
    """AggregateRecorderTestCase cannot apply: it demands that inserting gives no positions. What else it says, said here."""

    def test_a_conflict_inserts_nothing(self) -> None:
        recorder = self.create_recorder()
        stream = self.new_originator_id()
        first, second = (StoredEvent(stream, version, "topic", b"{}") for version in (1, 2))
        assert recorder.insert_events([first]) == [1]
        for batch in ([first, second], [second, second]):
            with pytest.raises(IntegrityError):
                recorder.insert_events(batch)
        assert recorder.select_events(stream) == [first]
        assert recorder.insert_events([second]) == [2]

    def test_inserting_nothing_gives_no_position_and_no_commit(self) -> None:
        recorder = self.create_recorder()
        assert recorder.insert_events([]) == []
        assert recorder.max_notification_id() is None
        assert recorder.insert_events([StoredEvent(self.new_originator_id(), 1, "topic", b"{}")]) == [1]

    def test_the_recorder_does_not_push(self) -> None:
        with pytest.raises(NotImplementedError):
            self.create_recorder().subscribe()


def test_every_base_case_runs_whole() -> None:
    """A method that ours overrides would be a test that does not run."""
    for ours, base in (
        (TestApplicationRecorder, persistence.ApplicationRecorderTestCase),
        (TestNonInterleavingNotificationIDs, persistence.NonInterleavingNotificationIDsBaseCase),
    ):
        tests = [name for name in dir(base) if name.startswith("test")]
        assert tests
        assert all(getattr(ours, name) is getattr(base, name) for name in tests)
