"""`soup query`: SQL over the ledger, for people who must answer questions and be believed."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.errors import AlteredEvidence, Incomplete, InputError, UsageProblem, quoted
from commands.keyring import read_trust
from commands.publish import Publication
from commands.record import Session, printable
from commands.redaction import own_redactor
from commands.target import Target
from ledger import dsse
from ledger.errors import AlteredError, KeyUnavailableError, MalformedError
from ledger.events import Event
from ledger.events.query import QueryExecuted, ReceiptIssued

if TYPE_CHECKING:
    from ledger.reader import Reader
    from projections.engine import View

FORMATS = ("table", "json", "csv", "markdown", "parquet")
RECEIPT_TYPE = "application/vnd.soup.query-receipt.v1+json"
MAX_RECEIPT = 256 * 1024 * 1024
MAX_SQL = 60_000


@click.command(context_settings=SETTINGS)
@click.argument("sql", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How the answer is laid out.",
)
@click.option("--as-of", metavar="POSITION|TIME", help="Ask the ledger as it was at a position, or at a UTC time.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the answer to this file instead of stdout.")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write a signed receipt of the answer to this file.")
@click.option(
    "--check", type=click.Path(path_type=Path), metavar="RECEIPT", help="Ask a receipt's question again, and compare."
)
@click.option(
    "--key", "keys", multiple=True, metavar="PUBLIC", help="With --check: whose signature to trust (default: your own)."
)
@click.option(
    "--ledger", type=click.Path(exists=True, dir_okay=False), help="Ask this ledger instead; leaves no trace."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@recorded()
def query(
    session: Session,
    sql: str | None,
    form: str,
    as_of: str | None,
    output: Path | None,
    receipt: Path | None,
    check: Path | None,
    keys: tuple[str, ...],
    force: bool,
) -> None:
    """Ask the ledger with SQL. Without a statement, list the views; `-` reads the statement from stdin.

    Only statements that read are run, on a copy that knows no files and no network. An answer with a receipt is computed
    from the ledger itself, never from the projection file.
    """
    if check is not None:
        _check(session, check, keys)
    elif sql is None:
        _list_views(as_json=form == "json")
    else:
        _ask(session, _asked(_statement(sql), form, as_of, output, receipt, force=force))


def _list_views(*, as_json: bool) -> None:
    from projections.query import list_views

    views = list_views()
    if as_json:
        terminal.show_json([{"view": name, "description": line} for name, line in views])
    else:
        terminal.show_table(("view", "what it holds"), views)


def _statement(sql: str) -> str:
    text = sys.stdin.read(MAX_SQL + 1) if sql == "-" else sql
    if len(text) > MAX_SQL:
        raise UsageProblem(f"the statement has more than {MAX_SQL} characters")
    return printable(text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: a statement, a prefix, and where the answer and its receipt are to go."""

    sql: str
    form: str
    as_of: str | None
    output: Target | None
    receipt: Target | None


def _asked(sql: str, form: str, as_of: str | None, output: Path | None, receipt: Path | None, *, force: bool) -> Asked:
    from commands.emit import aim_file

    if output is not None and form == "table":
        raise UsageProblem("a table is for reading", "with --output choose --format json, csv, markdown or parquet")
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise UsageProblem("Parquet is not for a terminal", "name a file with --output")
    aimed = [None if path is None else aim_file(path, force=force) for path in (output, receipt)]
    return Asked(sql, form, as_of, *aimed)


def _ask(session: Session, asked: Asked) -> None:
    if asked.receipt is not None and session.writer is None:
        raise UsageProblem("a receipt is signed with one's own keys, for one's own ledger", "leave --ledger out")
    with session.reader() as reader, tempfile.TemporaryDirectory(prefix="soup-query-") as scratch:
        last = _prefix(session, reader, asked.as_of)
        exports = Path(scratch) if asked.form == "parquet" else None
        with _view(session, reader, last, exports, fresh=asked.receipt is not None) as view:
            rows, content = _answer(view, asked.sql, asked.form, exports)
        receipt = None if asked.receipt is None else _receipt(session, reader, asked.sql, last)
    _record(session, asked, last, rows, receipt)
    with Publication() as publication:
        if asked.output is not None and isinstance(content, bytes):
            publication.stage(asked.output, content)
        if asked.receipt is not None and receipt is not None:
            publication.stage(asked.receipt, receipt)
        publication.commit()
    session.outputs += [str(target.path) for target in (asked.output, asked.receipt) if target is not None]
    if asked.output is None:
        _show(content)


def _prefix(session: Session, reader: Reader, as_of: str | None) -> int:
    """Give the prefix that is asked: the ledger as it was before this command, unless told otherwise."""
    from projections.query import parse_as_of

    if as_of is not None:
        return parse_as_of(reader, as_of)
    return reader.size if session.writer is None else session.before


@contextmanager
def _view(session: Session, reader: Reader, last: int, exports: Path | None, *, fresh: bool) -> Iterator[View]:
    from projections.cache import cached_view
    from projections.engine import View

    if fresh or session.writer is None:
        with View.of_prefix(reader, last, exports=exports) as view:
            yield view
        return
    note = lambda line: click.echo(f"soup: {line}", err=True)  # noqa: E731 - one line, one use
    with cached_view(reader, session.context.projections, last, note, exports=exports) as view:
        yield view


def _answer(view: View, sql: str, form: str, exports: Path | None) -> tuple[int, bytes | list[list[str]]]:
    """Run the statement; give the number of rows, and the answer in its format."""
    from projections import formats
    from projections.query import run, write_parquet

    if form == "parquet" and exports is not None:
        path = exports / "answer.parquet"
        return write_parquet(view, sql, str(path)), path.read_bytes()
    answer = run(view, sql)
    if form == "table":
        names = [column.name for column in answer.columns]
        table = [names, *formats.cells(answer)]
        return answer.count, table
    renderers = {"json": formats.to_json, "csv": formats.to_csv, "markdown": formats.to_markdown}
    content = b"".join(renderers[form](answer))
    return answer.count, content


def _record(session: Session, asked: Asked, last: int, rows: int, receipt: bytes | None) -> None:
    """Put the question on the record, and the receipt's digest, before any of it is shown."""
    from commands.emit import recorded_path

    if session.writer is None:
        return
    events: list[tuple[str, Event]] = [
        (
            session.stream,
            QueryExecuted(
                sql=printable(own_redactor().text(asked.sql)),
                sql_sha256=hashlib.sha256(asked.sql.encode()).hexdigest(),
                head=last,
                as_of=None if asked.as_of is None else last,
                rows=rows,
            ),
        )
    ]
    if receipt is not None and asked.receipt is not None:
        issued = ReceiptIssued(
            sha256=hashlib.sha256(receipt).hexdigest(),
            size=len(receipt),
            position=last,
            target=recorded_path(session, asked.receipt.path),
        )
        events.append((session.stream, issued))
    session.append(events)


def _receipt(session: Session, reader: Reader, sql: str, last: int) -> bytes:
    """Make and sign the receipt; its answer comes from the ledger, not from the projection file."""
    from projections.engine import View
    from projections.query import run
    from projections.receipt import make_receipt

    with View.of_prefix(reader, last) as view:
        document = make_receipt(reader, sql, last, run(view, sql))
    signer = session.context.signer("author")
    return dsse.encode(dsse.sign(RECEIPT_TYPE, document, signer.key_id, signer.sign)) + b"\n"


def _show(content: bytes | list[list[str]]) -> None:
    if isinstance(content, bytes):
        sys.stdout.buffer.write(content)
    else:
        terminal.show_table(content[0], content[1:])


def _check(session: Session, path: Path, keys: tuple[str, ...]) -> None:
    """Ask a receipt's question again. The signature is checked first; without a trusted one there is no "confirmed"."""
    from commands.observe import read_small
    from ledger.keys import public_of
    from projections.receipt import check_receipt, parse_receipt

    try:
        trusted = read_trust(keys).keys if keys else [public_of(session.context.key_path("author"))]
    except KeyUnavailableError:
        raise Incomplete("no trusted key was given, and there is none here", "give the signer's with --key") from None
    try:
        envelope = dsse.decode(read_small(path, MAX_RECEIPT), max_size=MAX_RECEIPT)
        payload = dsse.verify(envelope, trusted)
    except MalformedError as error:
        raise InputError(f"{quoted(path)} is no receipt: {error}") from None
    except AlteredError as error:
        raise AlteredEvidence(f"{quoted(path)}: {error}", "give the signer's public key with --key") from None
    if envelope.payload_type != RECEIPT_TYPE:
        raise InputError(f"{quoted(path)} holds {quoted(envelope.payload_type)}, not a query receipt")
    receipt = parse_receipt(payload)
    with session.reader() as reader:
        result = check_receipt(reader, receipt)
    for line in result.notes:
        click.echo(f"soup: note: {terminal.neutral(line)}", err=True)
    for field, said, found in result.differences:
        click.echo(terminal.neutral(f"{field}: the receipt says {said}, the ledger gives {found}"), err=True)
    if result.differences:
        field = result.differences[0].field
        raise AlteredEvidence(f"the ledger does not give the answer of {quoted(path)}: its {field} differs")
    click.echo(f"confirmed: the ledger gives the same {receipt.row_count} rows as of entry {receipt.as_of}")
