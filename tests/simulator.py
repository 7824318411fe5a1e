"""A small ledger, and every way to tamper with one as a method.

True here:

- `make` founds a ledger through the real door, with fixed keys and a clock that ticks once a call.
- A `Saboteur` edits the file as somebody with a SQLite shell would: triggers dropped, rows changed, the identical triggers
  put back, so that what is found is found by cryptography and not by the schema.
- Attackers of three strengths: without a key (plain SQL), with the log's key (`relog`: a corrupt log that orders and seals
  what authors signed), with every key (`rewrite`). What each cannot forge is what a test demands to be found.

The log's part of a header is put together here a second time, from the format and not through `ledger.commit`: a forger
that shared the sealer's mistakes would prove nothing.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from eventsourcing.persistence import StoredEvent

from ledger import keys, note, schema, tree
from ledger.commit import Signer
from ledger.entry import ZERO, content_bytes, header_bytes, leaf, payload_digest, time_text
from ledger.events import Event
from ledger.events.artifact import ArtifactDeclared
from ledger.events.command import CommandFinished, CommandStarted, Operator, Process
from ledger.events.ledger import LedgerCreated
from ledger.identity import Identity
from ledger.mapper import LedgerMapper, Placed
from ledger.reader import Reader
from ledger.sqlite import LedgerDatastore, SealingRecorder
from ledger.verify import Verification, verify
from ledger.writer import Writer, open_or_found, register

ROOT = Path(__file__).resolve().parent.parent
FIRST_TICK = 1_795_000_000_000_000
TICK = 1_000_001
COMMAND_A = "0190a1b2-0000-7000-8000-00000000000a"
COMMAND_B = "0190a1b2-0000-7000-8000-00000000000b"

TABLES = ("entries", "commits", "payloads", "head", "command_index", "sqlite_sequence")
TYPES = re.compile(r" (INTEGER|TEXT|BLOB)(?! PRIMARY)( NOT NULL)?")
TRIGGERS = tuple(each for each in schema.statements() if "CREATE TRIGGER" in each)


def started(command: str = "bom emit") -> CommandStarted:
    """An event that opens a command's bracket."""
    return CommandStarted(
        command=command,
        argv=["soup", command],
        directory="/",
        operator=Operator(uid=0, user="root", claimed={}),
        process=Process(host="host", pid=1, boot_id=None, started_ticks=1),
        soup_version="0.1.0",
        redactions={},
    )


def finished(exit_code: int = 0) -> CommandFinished:
    """An event that closes it."""
    return CommandFinished(exit_code=exit_code, duration_us=5, error=None, redactions={})


def declared(number: int) -> ArtifactDeclared:
    """Some event of a fixed size; `number` tells one from another."""
    return ArtifactDeclared(role="data", sha256=f"{number:064x}")


def ticking() -> Callable[[], int]:
    """A clock of its own: a second later at each call."""
    now = FIRST_TICK

    def tick() -> int:
        nonlocal now
        now += TICK
        return now

    return tick


def signer(name: str) -> Signer:
    """The key that a name stands for."""
    return keys.signer(sha256(name.encode()).digest())


@dataclass(frozen=True, slots=True)
class SmallLedger:
    """A ledger file, its keys, and every head it ever had."""

    path: Path
    author: Signer
    log: Signer
    identity: Identity
    heads: tuple[str, ...] = ()

    @property
    def heads_directory(self) -> Path:
        """Where its writers keep the highest head seen."""
        return self.path.parent / "heads"

    def copy_to(self, directory: Path) -> SmallLedger:
        """Give the same ledger in a directory of its own; heads seen stay behind."""
        directory.mkdir(exist_ok=True)
        path = Path(shutil.copyfile(self.path, directory / "ledger.db"))
        return replace(self, path=path)

    def open(self, clock: Callable[[], int] | None = None, heads: Path | None = None) -> Writer:
        """Open it for appending."""
        opened, founded = open_or_found(
            self.path,
            author=self.author,
            log=self.log,
            heads_directory=heads or self.heads_directory,
            clock=clock or ticking(),
            command=COMMAND_A,
            version="0.1.0",
        )
        assert not founded
        return opened

    def verify(self, *, trust: bool = True, heads: Sequence[str] = ()) -> Verification:
        """Walk the auditor's road over the file as a stranger's."""
        with Reader.open_foreign(self.path) as reader:
            return verify(reader, trust=self.identity if trust else None, heads=heads)


def found(
    directory: Path, *, author: str = "author", log: str = "log", clock: Callable[[], int] | None = None
) -> SmallLedger:
    """Found a ledger of three entries in `directory`, through the real door."""
    directory.mkdir(exist_ok=True)
    opened, founded = open_or_found(
        directory / "ledger.db",
        author=signer(author),
        log=signer(log),
        heads_directory=directory / "heads",
        clock=clock or ticking(),
        command=COMMAND_A,
        version="0.1.0",
    )
    assert founded
    opened.close()
    return SmallLedger(directory / "ledger.db", signer(author), signer(log), opened.identity)


SMALL: tuple[tuple[str, tuple[tuple[str, Event], ...]], ...] = (
    # positions 1 to 3: genesis
    (COMMAND_A, ((f"command/{COMMAND_A}", started()),)),  # 4
    (COMMAND_A, tuple((f"dataset/{number:064x}", declared(number)) for number in (5, 6, 7))),  # 5 to 7
    (COMMAND_A, (("run/1", declared(8)), ("run/1", declared(9)))),  # 8 and 9: one stream
    (COMMAND_A, ((f"command/{COMMAND_A}", finished()),)),  # 10
    (COMMAND_B, ((f"command/{COMMAND_B}", started("query")),)),  # 11: still open
)
SIZE = 11


def make(directory: Path, *, numbers_from: int = 0, **keys_and_clock: Any) -> SmallLedger:
    """Found a ledger and fill it with the commits of `SMALL`; `numbers_from` makes another one of the same shape."""
    clock = keys_and_clock.pop("clock", None) or ticking()
    ledger = found(directory, clock=clock, **keys_and_clock)
    opened = ledger.open(clock)
    heads = [opened.append(command, _renumbered(events, numbers_from)).checkpoint for command, events in SMALL]
    opened.close()
    with Reader.open_own(ledger.path) as reader:
        return replace(ledger, heads=(reader.checkpoint(3), *heads))


def _renumbered(events: Sequence[tuple[str, Event]], offset: int) -> list[tuple[str, Event]]:
    return [
        (stream, declared(int(event.sha256, 16) + offset) if isinstance(event, ArtifactDeclared) else event)
        for stream, event in events
    ]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A commit taken apart: what its author signed and claimed, without what the log added."""

    author: bytes
    command: str
    logged: int
    envelope: bytes
    entries: tuple[tuple[str, int, str, int, bytes, bytes], ...]
    """stream, version, type, time, salt, body"""
    overstated: int = 0
    """Bytes that its author claims more of each payload than there are."""

    def stored(self) -> list[StoredEvent]:
        """Give the events as the recorder takes them."""
        return [StoredEvent(stream, version, kind, body) for stream, version, kind, _, _, body in self.entries]


class Saboteur:
    """Somebody who holds the file. Each method is one attack; afterwards the schema is literally what it was."""

    def __init__(self, ledger: SmallLedger) -> None:
        self.ledger = ledger

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Give a connection on which nothing stops an UPDATE or DELETE, then hide the traces."""
        connection = sqlite3.connect(self.ledger.path, isolation_level=None)
        try:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("BEGIN")
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            yield connection
            for statement in TRIGGERS:
                connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def run(self, *statements: str) -> None:
        """Edit by plain SQL."""
        with self.open() as connection:
            for statement in statements:
                connection.execute(statement)

    # Without a key.

    def edit(self, table: str, column: str, where: str, value: str = "") -> None:
        """Set one column of one row; without a value the smallest change its type allows."""
        smallest = (
            f"CASE typeof({column}) WHEN 'null' THEN 1 WHEN 'integer' THEN {column} + 1"
            f" ELSE CAST(x'21' || substr({column}, 2) AS {{kind}}) END"
        )
        with self.open() as connection:
            (kind,) = connection.execute(f"SELECT typeof({column}) FROM {table} WHERE {where}").fetchone()
            new = value or smallest.format(kind="TEXT" if kind == "text" else "BLOB")
            connection.execute(f"UPDATE {table} SET {column} = {new} WHERE {where}")

    def delete_entry(self, position: int) -> None:
        """Take an entry and its payload out."""
        self.run(f"DELETE FROM entries WHERE rowid = {position}", f"DELETE FROM payloads WHERE position = {position}")

    def delete_commit(self, first: int) -> None:
        """Take a commit out with all its entries."""
        self.run(
            f'DELETE FROM payloads WHERE position IN (SELECT rowid FROM entries WHERE "commit" = {first})',
            f'DELETE FROM entries WHERE "commit" = {first}',
            f"DELETE FROM commits WHERE first = {first}",
        )

    def insert_entry(self, position: int) -> None:
        """Put a copy of entry 5 at `position`, in a stream of its own; what follows moves up by one."""
        self.run(
            f"UPDATE entries SET rowid = -rowid - 1 WHERE rowid >= {position}",
            "UPDATE entries SET rowid = -rowid WHERE rowid < 0",
            f"UPDATE payloads SET position = -position - 1 WHERE position >= {position}",
            "UPDATE payloads SET position = -position WHERE position < 0",
            f"INSERT INTO entries SELECT {position}, 'run/inserted', 1, topic, \"commit\", time, payload, size, hash "
            "FROM entries WHERE rowid = 5",
            f"INSERT INTO payloads SELECT {position}, salt, body FROM payloads WHERE position = 5",
        )

    def swap(self, table: str, key: str, first: int, second: int) -> None:
        """Exchange two rows."""
        self.run(
            f"UPDATE {table} SET {key} = -1 WHERE {key} = {first}",
            f"UPDATE {table} SET {key} = {first} WHERE {key} = {second}",
            f"UPDATE {table} SET {key} = {second} WHERE {key} = -1",
        )

    def swap_column(self, table: str, column: str, key: str, first: int, second: int) -> None:
        """Exchange one column of two rows."""
        with self.open() as connection:
            select = f"SELECT {column} FROM {table} WHERE {key} = ?"
            values = [connection.execute(select, (at,)).fetchone()[0] for at in (first, second)]
            for at, value in zip((second, first), values, strict=True):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, at))

    def truncate(self, size: int, *, forget: bool = True) -> None:
        """Cut the tail off after a commit and make head and index agree; `forget`: the high-water mark too."""
        frontier = tree.Frontier()
        with self.open() as connection:
            for (value,) in connection.execute("SELECT hash FROM entries WHERE rowid <= ? ORDER BY rowid", (size,)):
                frontier.append(value)
                last = value
            for statement in (
                "DELETE FROM commits WHERE first > ?",
                "DELETE FROM entries WHERE rowid > ?",
                "DELETE FROM payloads WHERE position > ?",
                "DELETE FROM command_index WHERE started > ?",
                "UPDATE command_index SET finished = NULL, exit_code = NULL WHERE finished > ?",
            ):
                connection.execute(statement, (size,))
            connection.execute("UPDATE head SET size = ?, hash = ?, frontier = ?", (size, last, frontier.to_bytes()))
            if forget:
                connection.execute("UPDATE sqlite_sequence SET seq = ?", (size,))

    def replay(self, first: int) -> None:
        """Append an old commit once more, its streams' versions counted on."""
        with self.open() as connection:
            (size,) = connection.execute("SELECT max(rowid) FROM entries").fetchone()
            shift = size + 1 - first
            connection.execute(
                "INSERT INTO commits SELECT first + ?, count, author, command, logged, envelope, checkpoint "
                "FROM commits WHERE first = ?",
                (shift, first),
            )
            connection.execute(
                "INSERT INTO payloads SELECT position + ?, salt, body FROM payloads WHERE position IN "
                '(SELECT rowid FROM entries WHERE "commit" = ?)',
                (shift, first),
            )
            connection.execute(
                "INSERT INTO entries SELECT rowid + ?, originator_id, originator_version + 1, topic, ?, time, payload, "
                'size, hash FROM entries WHERE "commit" = ?',
                (shift, first + shift, first),
            )

    def rewrite_payload(self, position: int, body: bytes, *, keep: str) -> None:
        """Change a payload. `keep` says how far the lie is carried: digest kept, header kept, or only the chain kept."""
        with self.open() as connection:
            connection.execute("UPDATE payloads SET body = ? WHERE position = ?", (body, position))
            if keep == "digest":
                return
            (salt,) = connection.execute("SELECT salt FROM payloads WHERE position = ?", (position,)).fetchone()
            connection.execute(
                "UPDATE entries SET payload = ?, size = ? WHERE rowid = ?",
                (payload_digest(salt, body), len(body), position),
            )
            if keep == "header":
                return
            connection.execute("UPDATE entries SET hash = ? WHERE rowid = ?", (_rehash(connection, position), position))

    def transplant(self, donor: SmallLedger, first: int) -> None:
        """Put the donor's commit where ours was, rows as they are."""
        with self.open() as connection:
            other = sqlite3.connect(donor.path)
            try:
                for table, key in (("commits", "first"), ("entries", '"commit"')):
                    rows = other.execute(
                        f"SELECT {'*' if table == 'commits' else 'rowid, *'} FROM {table} WHERE {key} = ?",
                        (first,),
                    ).fetchall()
                    connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (first,))
                    for row in rows:
                        values = row if table == "commits" else row[1:]
                        marks = ", ".join("?" * len(values))
                        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
                (count,) = other.execute("SELECT count FROM commits WHERE first = ?", (first,)).fetchone()
                for row in other.execute(
                    "SELECT * FROM payloads WHERE position BETWEEN ? AND ?", (first, first + count - 1)
                ).fetchall():
                    connection.execute("DELETE FROM payloads WHERE position = ?", (row[0],))
                    connection.execute("INSERT INTO payloads VALUES (?, ?, ?)", row)
            finally:
                other.close()

    def flip_padding(self, column: str, first: int) -> None:
        """Flip bits that base64 decoders ignore (RFC 4648 section 3.5) in the envelope or the checkpoint of a commit."""
        with self.open() as connection:
            (value,) = connection.execute(f"SELECT {column} FROM commits WHERE first = ?", (first,)).fetchone()
            text = value.decode() if isinstance(value, bytes) else value
            at = text.rindex("=") - 1
            while text[at] == "=":
                at -= 1
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            flipped = text[:at] + alphabet[alphabet.index(text[at]) + 1] + text[at + 1 :]
            connection.execute(
                f"UPDATE commits SET {column} = ? WHERE first = ?",
                (flipped.encode() if isinstance(value, bytes) else flipped, first),
            )

    def add_signature(self, first: int, *, valid: bool) -> None:
        """Put a second line below a checkpoint: a stranger's true signature, or the log's own once more."""
        with self.open() as connection:
            (text,) = connection.execute("SELECT checkpoint FROM commits WHERE first = ?", (first,)).fetchone()
            parsed = note.parse_note(text)
            (line,) = parsed.signatures
            if valid:
                stranger = note.VerifierKey("witness.example/w", signer("witness").public)
                line = note.Signature(stranger.name, stranger.id, signer("witness").sign(parsed.body.encode()))
            connection.execute("UPDATE commits SET checkpoint = ? WHERE first = ?", (text + line.line(), first))

    def lie_in_index(self, name: str, condition: str) -> None:
        """Leave rows out of an index while the schema claims it whole: what is looked up through it is then hidden."""
        schema_sql = next(each for each in schema.statements() if f"INDEX {name} " in each)
        honest, _, where = schema_sql.partition(" WHERE ")
        lying = f"{honest} WHERE {condition}" + (f" AND {where}" if where else "")
        self.run(f"DROP INDEX {name}", lying)
        self._write_schema("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (schema_sql, name))

    def confuse_type(self, table: str, column: str, where: str, value: str) -> None:
        """Store a value of a type that a STRICT table would refuse: the file's bytes obey no schema."""
        connection = sqlite3.connect(self.ledger.path)
        (schema_sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        connection.close()
        untyped = TYPES.sub("", schema_sql.replace(" STRICT", ""))
        self._write_schema("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (untyped, table))
        self.run(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        self._write_schema("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (schema_sql, table))

    def _write_schema(self, statement: str, parameters: tuple[str, ...]) -> None:
        connection = sqlite3.connect(self.ledger.path)
        try:
            connection.execute("PRAGMA writable_schema = ON")
            assert connection.execute(statement, parameters).rowcount == 1
            connection.commit()
        finally:
            connection.close()

    # With the log's key.

    def commits(self) -> list[Sealed]:
        """Take the ledger apart into what its authors signed."""
        connection = sqlite3.connect(self.ledger.path)
        try:
            return [
                Sealed(
                    author,
                    command,
                    logged,
                    envelope,
                    tuple(
                        connection.execute(
                            "SELECT originator_id, originator_version, topic, time, salt, body FROM entries "
                            'JOIN payloads ON position = entries.rowid WHERE "commit" = ? ORDER BY entries.rowid',
                            (first,),
                        )
                    ),
                )
                for first, author, command, logged, envelope in connection.execute(
                    "SELECT first, author, command, logged, envelope FROM commits ORDER BY first"
                ).fetchall()
            ]
        finally:
            connection.close()

    def relog(self, commits: Sequence[Sealed], log: Signer | None = None) -> None:
        """Order, chain and seal `commits` anew: all that the log's key can do, and nothing that needs an author's."""
        log = log or self.ledger.log
        hashes: list[bytes] = []
        with self.open() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")
            for commit in commits:
                self._relog_one(connection, commit, log, hashes)
            frontier = tree.Frontier()
            frontier.extend(hashes)
            connection.execute("INSERT INTO head VALUES (1, ?, ?, ?)", (len(hashes), hashes[-1], frontier.to_bytes()))
            connection.execute(_INDEX)

    def _relog_one(self, connection: sqlite3.Connection, commit: Sealed, log: Signer, hashes: list[bytes]) -> None:
        first, count = len(hashes) + 1, len(commit.entries)
        digest = sha256(commit.envelope).hexdigest()
        for index, (stream, version, kind, time, salt, body) in enumerate(commit.entries):
            previous = hashes[-1] if hashes else ZERO
            payload, size = payload_digest(salt, body), len(body) + commit.overstated
            content = content_bytes(
                stream, version, kind, time, commit.command, commit.author.hex(), payload.hex(), size
            )
            position = first + index
            header = header_bytes(content, position, previous.hex(), time_text(commit.logged), index, count, digest)
            hashes.append(leaf(header))
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (position, stream, version, kind, first, time, payload, size, hashes[-1]),
            )
            connection.execute("INSERT INTO payloads VALUES (?, ?, ?)", (position, salt, body))
        checkpoint = note.Checkpoint(self.ledger.identity.origin, len(hashes), tree.root(hashes))
        connection.execute(
            "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                first,
                count,
                commit.author,
                commit.command,
                commit.logged,
                commit.envelope,
                note.seal(checkpoint, log.sign, log.public),
            ),
        )

    # With every key.

    def rewrite(self, commits: Sequence[Sealed], author: Signer, log: Signer) -> None:
        """Write the whole ledger anew under the same id and the given keys, genesis included."""
        identity = self.ledger.identity
        self.ledger.path.unlink()
        genesis, *rest = commits
        with self.recorder(author, log) as recorder:
            recorder.found(
                self.genesis(author, log),
                command=genesis.command,
                times=[genesis.logged] * 3,
                now=genesis.logged,
            )
            for commit in rest:
                times = [time for _, _, _, time, _, _ in commit.entries]
                recorder.record(commit.stored(), command=commit.command, times=times, now=commit.logged)
        assert identity.ledger == self.ledger.identity.ledger

    def genesis(self, author: Signer, log: Signer) -> list[StoredEvent]:
        """Give the three events of a genesis under the ledger's own id."""
        identity = self.ledger.identity
        return place(
            (f"ledger/{identity.ledger}", LedgerCreated(
                ledger=identity.ledger, origin=identity.origin, soup_version="0.1.0"
            )),
            (f"key/{author.key_id}", register(identity.ledger, "author", author, f"{identity.origin}/author")),
            (f"key/{log.key_id}", register(identity.ledger, "log", log, identity.origin)),
        )  # fmt: skip

    @contextmanager
    def recorder(self, author: Signer | None = None, log: Signer | None = None) -> Iterator[SealingRecorder]:
        """Give a recorder without the writer's scruples."""
        identity = self.ledger.identity
        datastore = LedgerDatastore(str(self.ledger.path))
        try:
            yield SealingRecorder(
                datastore,
                ledger=identity.ledger,
                origin=identity.origin,
                author=author or self.ledger.author,
                log=log or self.ledger.log,
            )
        finally:
            datastore.close()


_INDEX = """
INSERT INTO command_index
SELECT s.rowid, f.rowid, json_extract(CAST(sp.body AS TEXT), '$.command'), json_extract(CAST(fp.body AS TEXT), '$.exit_code')
FROM entries AS s JOIN payloads AS sp ON sp.position = s.rowid
LEFT JOIN entries AS f ON f.originator_id = s.originator_id AND f.topic = 'command.finished/1'
LEFT JOIN payloads AS fp ON fp.position = f.rowid
WHERE s.topic = 'command.started/1'
"""


def fork(saboteur: Saboteur) -> None:
    """Put an old copy back and go on from there: two signed histories of one log."""
    saboteur.truncate(7)
    writer = saboteur.ledger.open(ticking(), heads=saboteur.ledger.path.parent / "elsewhere")
    for number in range(4):
        writer.append(COMMAND_B, [("run/fork", declared(number))])
    writer.close()


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else where the file is."""

    def replace_it(path: Path) -> None:
        path.unlink()
        make(path)

    return replace_it


def place(*events: tuple[str, Event], version: int = 1) -> list[StoredEvent]:
    """Give events as the recorder takes them, each the next of a stream of its own."""
    mapper = LedgerMapper()
    return [mapper.to_stored_event(Placed(stream, version, event)) for stream, event in events]


def _rehash(connection: sqlite3.Connection, position: int) -> bytes:
    """Give the hash that the entry at `position` would have as it now stands."""
    stream, version, kind, time, payload, size, first, count, author, command, logged, envelope = connection.execute(
        "SELECT originator_id, originator_version, topic, time, payload, size, first, count, author, command, logged, "
        'envelope FROM entries JOIN commits ON first = "commit" WHERE entries.rowid = ?',
        (position,),
    ).fetchone()
    (previous,) = connection.execute("SELECT hash FROM entries WHERE rowid = ?", (position - 1,)).fetchone()
    content = content_bytes(stream, version, kind, time, command, author.hex(), payload.hex(), size)
    digest = sha256(envelope).hexdigest()
    return leaf(header_bytes(content, position, previous.hex(), time_text(logged), position - first, count, digest))
