"""The bracket around every command: nothing runs before `command.started` is durable.

What is true here:

- `Session` is what a command gets: it appends under the command's id, and reads the ledger as it was before the command.
- `command.finished` carries the exit code and the duration; a command's last events share its commit.
- What goes into the ledger has been redacted before it was hashed, and before it was shortened.
- Where `finished` cannot be written, the exit code is 74 and the outputs are named.
"""

from __future__ import annotations

import base64
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from commands import audit_file, origin
from commands.context import Context
from commands.errors import InputError, Unrecordable
from commands.pending import pending
from commands.redaction import Redactor, own_redactor
from commands.version import VERSION
from ledger.commit import Commit
from ledger.errors import LedgerError
from ledger.events.base import Event
from ledger.events.command import Base64Argument, CommandFinished, CommandStarted
from ledger.reader import Reader
from ledger.writer import Writer

MAX_ARGUMENT = 16_384
"""Characters of one argument that are kept, after redaction."""
MAX_ARGUMENTS = 1_000_000
"""Characters of all arguments that are kept."""


@dataclass
class Session:
    """A command at work. `writer` is None where it runs unrecorded (a foreign or damaged ledger)."""

    context: Context
    command: str
    redactor: Redactor
    writer: Writer | None = None
    before: int = 0  # entries in the ledger when the command began
    foreign: Path | None = None
    outputs: list[str] = field(default_factory=list)
    closing: list[tuple[str, Event]] = field(default_factory=list)

    @property
    def stream(self) -> str:
        """The command's own stream."""
        return f"command/{self.command}"

    def append(self, events: Sequence[tuple[str, Event]]) -> Commit:
        """Record `events`, pairs of stream and event, durably."""
        if self.writer is None:
            raise Unrecordable("this command writes to the ledger, so it cannot run on a foreign or damaged one")
        try:
            return self.writer.append(self.command, events)
        except LedgerError as error:
            raise Unrecordable(str(error)) from None

    def at_the_end(self, events: Sequence[tuple[str, Event]]) -> None:
        """Record `events` in the commit that closes the bracket."""
        self.closing.extend(events)

    def reader(self) -> Reader:
        """Open a snapshot of the ledger that this command is about."""
        if self.foreign is not None:
            return Reader.open_foreign(self.foreign)
        if self.writer is None:
            return Reader.open_foreign(self.context.ledger)
        return Reader.open_own(self.context.ledger)


@contextmanager
def bracket(
    context: Context, name: str, argv: Sequence[str], *, exit_code_of: Callable[[BaseException], int]
) -> Iterator[Session]:
    """Record the command `name`, run the body, record how it ended. Raises Unrecordable before the body if it must."""
    started = time.monotonic_ns()
    session = Session(context, context.new_id(), own_redactor())
    session.writer, news = context.open_writer(session.command)
    for line in news:
        print(f"soup: {line}", file=sys.stderr)  # noqa: T201 - said before anything else can fail
    try:
        try:
            commit = session.append([(session.stream, _started(session, name, argv))])
            session.before = commit.first - 1
        except Unrecordable as error:
            error.hint = "nothing was done: a command that cannot be recorded does not run"
            raise
        _report_pending(session)
        try:
            yield session
        except BaseException as error:
            _finish(session, started, exit_code_of(error), str(error))
            raise
        _finish(session, started, 0, None)
    finally:
        session.writer.close()
        _keep_audit_file_up(session)


def _keep_audit_file_up(session: Session) -> None:
    """Let the JSONL file follow. A trouble is a warning: the ledger is the record."""
    try:
        behind = audit_file.follow(session.context.audit_log, session.reader)
    except audit_file.AuditFileError as error:
        print(f"soup: warning: {error}", file=sys.stderr)  # noqa: T201
    else:
        if behind > 0:
            print(f"soup: warning: the audit log is {behind} entries behind; it catches up", file=sys.stderr)  # noqa: T201


def _report_pending(session: Session) -> None:
    """Tell of documents that a killed command has left on the record and not at their target."""
    try:
        with session.reader() as reader:
            waiting = list(pending(reader, session.command))
    except LedgerError as error:
        print(f"soup: warning: {error}; run: soup ledger verify", file=sys.stderr)  # noqa: T201
        return
    for document in waiting:
        line = f"entry {document.record.position}: {document.event.target} was rendered, not published"
        print(f"soup: {line}; run: soup rebuild --publish", file=sys.stderr)  # noqa: T201


def _started(session: Session, name: str, argv: Sequence[str]) -> CommandStarted:
    redactor = session.redactor
    return CommandStarted(
        command=name,
        argv=_arguments(redactor.argv(list(argv))),
        directory=printable(redactor.text(_directory())),
        operator=origin.operator(session.context.environ, redactor.text),
        process=origin.process(),
        soup_version=VERSION,
        redactions=dict(redactor.counts),
    )


def _finish(session: Session, started: int, exit_code: int, error: str | None) -> None:
    """Close the bracket. Signals wait: a second Ctrl-C must not cost the record."""
    redactor = own_redactor()
    finished = CommandFinished(
        exit_code=exit_code,
        duration_us=(time.monotonic_ns() - started) // 1000,
        error=None if not error else printable(redactor.text(error))[:MAX_ARGUMENT],
        redactions=dict(redactor.counts),
    )
    held = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        session.append([*session.closing, (session.stream, finished)])
    except Unrecordable as failure:
        outputs = f"; it wrote {', '.join(session.outputs)}" if session.outputs else ""
        failure.hint = f"the command ran, but its end is not on the record{outputs}"
        raise
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


def _arguments(argv: Sequence[str]) -> list[str | Base64Argument]:
    """Shorten what is too long, and tag what is not UTF-8. Redaction has been done."""
    kept: list[str | Base64Argument] = []
    room = MAX_ARGUMENTS
    for index, argument in enumerate(argv):
        if room <= 0:
            kept.append(f"[{len(argv) - index} more arguments]")
            break
        short = argument
        if len(argument) > MAX_ARGUMENT:
            short = f"{argument[:MAX_ARGUMENT]}[{len(argument) - MAX_ARGUMENT} more characters]"
        room -= len(short)
        try:
            short.encode()
            kept.append(short)
        except UnicodeEncodeError:
            kept.append(Base64Argument(base64=base64.b64encode(os.fsencode(short)).decode("ascii")))
    return kept


def printable(text: str) -> str:
    """Make text from outside fit for canonical JSON: no lone surrogates, no U+0000."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _directory() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise InputError("the current directory no longer exists", "change to one that does") from None
