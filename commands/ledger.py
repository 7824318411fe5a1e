"""`soup ledger`: what an auditor does with a ledger. Reading somebody else's leaves no trace and needs no key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.errors import AlteredEvidence, Incomplete, InputError
from commands.keyring import read_checkpoint, read_trust
from commands.record import Session
from ledger import heads, note
from ledger.entry import time_text
from ledger.errors import MalformedError
from ledger.identity import Identity, read_identity
from ledger.reader import Record
from ledger.verify import Verification, verify

FOREIGN = click.option(
    "--ledger",
    type=click.Path(exists=True, dir_okay=False),
    help="Read this ledger instead of your own; leaves no trace.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings=SETTINGS)
def ledger() -> None:
    """Verify, read, export and checkpoint the ledger."""


@ledger.command(name="verify")
@FOREIGN
@click.option(
    "--key", "keys", multiple=True, metavar="PUBLIC", help="A trust root file, or a public key (file, vkey, hex, PEM)."
)
@click.option(
    "--against",
    "against",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="A head seen earlier.",
)
@JSON
@recorded(tolerant=True)
def verify_command(session: Session, keys: tuple[str, ...], against: tuple[Path, ...], as_json: bool) -> None:
    """Account for every byte of a ledger; name the first bad entry.

    Exit code 0: verified under a trust root. 3: altered. 4: nothing wrong was found, but it cannot be called valid (no
    trusted key, or a format of a newer soup).
    """
    try:
        _verify(session, keys, against, as_json=as_json)
    except MalformedError as error:
        raise AlteredEvidence(f"this is not an intact ledger: {error}") from None


def _verify(session: Session, keys: tuple[str, ...], against: tuple[Path, ...], *, as_json: bool) -> None:
    trust = read_trust(keys)
    texts = [read_checkpoint(path) for path in against]
    with session.reader() as reader:
        identity = read_identity(reader)
    kept = heads.load_text(session.context.heads, identity.ledger)  # before the snapshot: others append meanwhile
    with session.reader() as reader:
        root = trust.root or _named_root(identity, trust.author_names)
        if not keys:
            root = _own_root(session, identity)
        copy = session.foreign not in (None, session.context.ledger)
        if copy and kept and note.parse_checkpoint_body(note.parse_note(kept).body).size > reader.size:
            kept = ""  # a copy handed over earlier is shorter, and not for that reason cut off
        result = verify(reader, trust=root, keys=trust.keys, heads=[*texts, *([kept] if kept else [])])
    _report(result, as_json=as_json, kept=bool(kept), given=len(texts))
    if result.open_questions:
        raise Incomplete(f"verification is incomplete: {result.open_questions[0]}")


@ledger.command()
@FOREIGN
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000_000), help="Newest entries to list."
)
@click.option("--stream", help="Only entries of this stream, for example key/<id>.")
@JSON
@recorded(tolerant=True)
def log(session: Session, limit: int, stream: str | None, as_json: bool) -> None:
    """List entries, oldest first. With --json one object a line, payloads included."""
    with session.reader() as reader:
        records = list(reader.stream(stream))[-limit:] if stream else reader.records(max(1, reader.size - limit + 1))
        if as_json:
            for record in records:
                terminal.show_json(_entry(record))
            return
        columns = ("position", "logged (UTC)", "type", "stream", "version", "hash")
        terminal.show_table(
            columns,
            (
                (r.position, time_text(r.logged)[:19].replace("T", " "), r.type, r.stream, r.version, r.hash.hex()[:16])
                for r in records
            ),
        )


@ledger.command()
@click.argument("position", type=click.IntRange(1))
@FOREIGN
@recorded(tolerant=True)
def show(session: Session, position: int) -> None:
    """Show one entry whole: header, payload, and the signatures that cover it."""
    with session.reader() as reader:
        record = reader.record(position)
        if record is None:
            raise InputError(f"there is no entry {position}; the ledger has {reader.size}")
        row = reader.execute(
            "SELECT envelope, checkpoint FROM commits WHERE first = ?", (record.position - record.commit_index,)
        ).fetchone()
    entry = _entry(record)
    entry["envelope"], entry["checkpoint"] = json.loads(row[0]), row[1]
    click.echo(json.dumps(entry, indent=2, ensure_ascii=True))


@ledger.command()
@FOREIGN
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@recorded(tolerant=True)
def checkpoint(session: Session, output: Path | None, force: bool) -> None:
    """Print the newest checkpoint (a C2SP signed note). Keep it where this machine cannot reach it."""
    with session.reader() as reader:
        text = reader.checkpoint()
    if output is None:
        click.echo(text, nl=False)
        return
    from commands.publish import write_plain

    write_plain(output, text.encode(), force=force)
    session.outputs.append(str(output))


@ledger.command()
@FOREIGN
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "parquet", "sqlite"]), required=True, help="Form of the copy."
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A directory; for sqlite, a file.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@recorded(tolerant=True)
def export(session: Session, form: str, output: Path, force: bool) -> None:
    """Write a copy for handing over: entries, commits with their envelopes and checkpoints, and the public keys."""
    from commands.export import write_export

    for path in write_export(session, form, output, force=force):
        click.echo(path)


def _named_root(identity: Identity, names: list[Any]) -> Identity | None:
    """Let an author's verifier key stand as a trust root: its name holds the ledger's id, and genesis binds the log key."""
    for key in names:
        if key.name == f"{identity.origin}/author" and key.public == identity.author_key:
            return identity
    return None


def _own_root(session: Session, identity: Identity) -> Identity | None:
    """Trust one's own keys for a ledger whose head this machine has kept."""
    from ledger.errors import KeyUnavailableError
    from ledger.keys import public_of

    try:
        author, log_key = (public_of(session.context.key_path(role)) for role in ("author", "log"))
    except KeyUnavailableError:
        return None
    known = heads.load(session.context.heads, identity.ledger) is not None
    return identity if known and (author, log_key) == (identity.author_key, identity.log_key) else None


def _report(result: Verification, *, as_json: bool, kept: bool, given: int) -> None:
    document: dict[str, Any] = {
        "ledger": result.identity.ledger,
        "entries": result.size,
        "commits": result.commits,
        "root": result.root.hex(),
        "authors": result.authors,
        "trusted": result.trusted,
        "heads_compared": given + kept,
        "not_checked": result.open_questions
        + ([] if given or kept else ["truncation: no head kept elsewhere was given (--against)"]),
        "does_not_prove": NOT_PROVEN,
        "checkpoint": result.checkpoint,
        "verdict": "incomplete" if result.open_questions else "verified",
    }
    if as_json:
        terminal.show_json(document)
        return
    click.echo(f"ledger      {result.identity.ledger}")
    click.echo(
        f"checked     {result.size} entries in {result.commits} commits: chain, payloads, signatures, seals, tree"
    )
    click.echo(f"root        {result.root.hex()}")
    click.echo(f"trusted     {', '.join(result.trusted) or 'nothing: no trust root was given'}")
    compared = (
        f"{given} given, {int(kept)} kept on this machine: contained" if given or kept else "none to compare with"
    )
    click.echo(f"heads       {compared}")
    for question in document["not_checked"]:
        click.echo(f"not checked {question}")
    click.echo(f"not proven  {NOT_PROVEN}")
    click.echo(f"verdict     {document['verdict']}")


NOT_PROVEN = (
    "that the holder of the keys did not rewrite everything before the oldest head you hold, that clocks were right, "
    "or that what an event claims is true"
)


def _entry(record: Record) -> dict[str, Any]:
    return {
        "position": record.position,
        "hash": record.hash.hex(),
        "header": json.loads(record.header),
        "payload": None if record.payload is None else json.loads(record.payload),
        "salt": None if record.salt is None else record.salt.hex(),
    }
