"""Appending: the single door through which anything enters a ledger.

What is true here:

- A ledger is founded whole (tables, genesis, both keys) or not at all.
- The writer signs only for a ledger whose genesis names its log key, and only on top of a head that contains the highest
  one seen on this machine: a restored backup would fork a signed log.
- Versions in streams are optimistic: two writers of one stream conflict, and the second reads again and retries.
- No checkpoint leaves the process before COMMIT has returned.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from eventsourcing.persistence import IntegrityError, PersistenceError, StoredEvent

from ledger import heads, note
from ledger.commit import Commit, Signer
from ledger.entry import COMMAND_ID
from ledger.errors import AlteredError, ConflictError, LedgerError, MalformedError, UnwritableError
from ledger.events import Event
from ledger.events.key import KeyRegistered, possession_message
from ledger.events.ledger import LedgerCreated
from ledger.identity import Identity, read_identity
from ledger.mapper import LedgerMapper, Placed, check_stream, encode_events
from ledger.reader import Reader
from ledger.sqlite import LedgerDatastore, SealingRecorder

RETRIES = 20
SQLITE_MAGIC = b"SQLite format 3\x00"
HEAD_INTERVAL = 1_000_000
"""Microseconds between two savings of the head; it is always saved on close."""


class Writer:
    """An open door. One author, one ledger; safe beside other processes."""

    def __init__(
        self, recorder: SealingRecorder, identity: Identity, heads_directory: Path, clock: Callable[[], int]
    ) -> None:
        """Take what `open_or_found` has checked."""
        self.identity = identity
        self._recorder, self._heads, self._clock = recorder, heads_directory, clock
        self._versions: dict[str, int] = {}
        self._saved_at = 0
        self._checkpoint = ""

    def append(self, command: str, events: Sequence[tuple[str, Event]]) -> Commit:
        """Record `events`, pairs of stream and event, as one durable commit of `command`.

        Raises UnwritableError where nothing could be appended, MalformedError for an event that may not be.
        """
        if not events or not COMMAND_ID.fullmatch(command):
            raise MalformedError("a commit needs an event, and a command id that is a UUID in lower case")
        for _ in range(RETRIES):
            now = self._clock()
            stored = self._place(events)
            try:
                commit = self._recorder.record(stored, command=command, times=[now] * len(stored), now=now)
            except IntegrityError:
                self._versions.clear()  # somebody else wrote to one of the streams
                continue
            except (PersistenceError, sqlite3.Error, OSError) as error:
                raise UnwritableError(f"cannot write the ledger: {error}") from None
            for event in stored:
                self._versions[str(event.originator_id)] = event.originator_version
            self._keep_head(commit.checkpoint, now)
            return commit
        raise ConflictError(f"other writers kept appending to the same streams; gave up after {RETRIES} tries")

    def close(self) -> None:
        """Save the head and close the file."""
        if self._checkpoint:
            heads.save(self._heads, self.identity.ledger, self._checkpoint)
        self._recorder.datastore.close()

    def _place(self, events: Sequence[tuple[str, Event]]) -> list[StoredEvent]:
        versions = {stream: count(self._version(stream) + 1) for stream in {stream for stream, _ in events}}
        for stream in versions:
            check_stream(stream)
        payloads = encode_events([event for _, event in events])
        return [
            StoredEvent(stream, next(versions[stream]), event.TYPE, payload)
            for (stream, event), payload in zip(events, payloads, strict=True)
        ]

    def _version(self, stream: str) -> int:
        if stream not in self._versions:
            with self._recorder.datastore.transaction(commit=False) as cursor:
                cursor.execute("SELECT max(originator_version) FROM entries WHERE originator_id = ?", (stream,))
                self._versions[stream] = cursor.fetchone()[0] or 0
        return self._versions[stream]

    def _keep_head(self, checkpoint: str, now: int) -> None:
        self._checkpoint = checkpoint
        if not self._saved_at or now - self._saved_at >= HEAD_INTERVAL:
            heads.save(self._heads, self.identity.ledger, checkpoint)
            self._saved_at = now


def open_or_found(
    path: Path,
    *,
    author: Signer,
    log: Signer,
    heads_directory: Path,
    clock: Callable[[], int],
    command: str,
    version: str,
    prefix: str = "soup-ledger",
) -> tuple[Writer, bool]:
    """Open the ledger at `path` for appending, founding it first where there is none. True where it was founded.

    `command` is the id under which a genesis is recorded, `version` soup's own. Raises UnwritableError.
    """
    with _alone(path):
        founded = _is_new(path) and _found(path, author, log, clock, command, version, prefix)
    identity = _admit(path, author, log, heads_directory)
    recorder = _recorder(path, identity.ledger, identity.origin, author, log)
    return Writer(recorder, identity, heads_directory, clock), founded


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time found a ledger in a directory: SQLite does not wait for another's switch to WAL."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UnwritableError(f"cannot open the ledger {path}: {error.strerror}") from None
    try:
        with suppress(OSError):  # a file system without locks: the loser is refused, and nothing is lost
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _is_new(path: Path) -> bool:
    if ":memory:" in str(path) or "mode=memory" in str(path):
        raise UnwritableError(f"{path} would be a database in memory; a ledger is a file")
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise UnwritableError(f"cannot open the ledger {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnwritableError(f"the ledger {path} is not a regular file")
    if not os.access(path, os.W_OK):
        raise UnwritableError(f"cannot write the ledger {path}: Permission denied")
    return status.st_size == 0 or _is_empty(path)


def _is_empty(path: Path) -> bool:
    """Tell a database without a table: what a kill between creating the file and the genesis leaves."""
    with path.open("rb") as stream:  # SQLite takes a short text file for an empty database, and would write over it
        if stream.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            return False
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,))
        finally:
            connection.close()
    except sqlite3.Error:
        return False


def _found(
    path: Path, author: Signer, log: Signer, clock: Callable[[], int], command: str, version: str, prefix: str
) -> bool:
    if not prefix:
        raise MalformedError("a ledger's origin needs a prefix")
    ledger = os.urandom(32).hex()
    origin = f"{prefix}/{ledger}"
    mapper = LedgerMapper()
    events: list[tuple[str, Event]] = [
        (f"ledger/{ledger}", LedgerCreated(ledger=ledger, origin=origin, soup_version=version))
    ]
    for role, signer, name in (("author", author, f"{origin}/author"), ("log", log, origin)):
        events.append((f"key/{signer.key_id}", register(ledger, role, signer, name)))
    stored = [mapper.to_stored_event(Placed(stream, 1, event)) for stream, event in events]
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        recorder = _recorder(path, ledger, origin, author, log)
        try:
            now = clock()
            return recorder.found(stored, command=command, times=[now] * len(stored), now=now) is not None
        finally:
            recorder.datastore.close()
    except (PersistenceError, sqlite3.Error, OSError) as error:
        raise UnwritableError(f"cannot create the ledger {path}: {error}") from None


def register(ledger: str, role: str, signer: Signer, name: str) -> KeyRegistered:
    """Give the event that makes `signer` valid in `role`, with its proof of possession."""
    public = signer.public.hex()
    return KeyRegistered(
        key=signer.key_id,
        public=public,
        role="author" if role == "author" else "log",
        admin=role == "author",
        name=note.verifier_key(name, signer.public),
        proof=signer.sign(possession_message(ledger, role, public)).hex(),
    )


def _admit(path: Path, author: Signer, log: Signer, heads_directory: Path) -> Identity:
    """Decide whether these keys may append here. "Own" is a matter of the genesis, not of the path."""
    try:
        with Reader.open_own(path) as reader:
            identity = read_identity(reader)
        seen = heads.load(heads_directory, identity.ledger)  # before the snapshot: others append meanwhile
        with Reader.open_own(path) as reader:
            here = reader.checkpoint(seen.size) if seen else ""
    except (LedgerError, OSError) as error:
        word = "damaged" if isinstance(error, AlteredError) else "not usable"
        raise UnwritableError(f"the ledger {path} is {word}: {error}; run: soup ledger verify") from None
    if identity.log_key != log.public or identity.author_key != author.public:
        raise UnwritableError(f"the ledger {path} belongs to other keys; set SOUP_LEDGER to a ledger of your own")
    if seen is not None and (not here or note.parse_checkpoint_body(note.parse_note(here).body) != seen):
        raise UnwritableError(
            f"the ledger {path} does not contain the head of {seen.size} entries seen on this machine: an old copy was "
            "put back, or its end was cut off. Restore the newer one, or start another with SOUP_LEDGER"
        )
    return identity


def _recorder(path: Path, ledger: str, origin: str, author: Signer, log: Signer) -> SealingRecorder:
    datastore = LedgerDatastore(str(path.absolute()))
    return SealingRecorder(datastore, ledger=ledger, origin=origin, author=author, log=log)
