"""`soup keys`: which keys sign here, and what to give an auditor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.keyring import pem
from commands.record import Session
from ledger.events.key import KeyRegistered
from ledger.identity import Identity, read_identity, trust_root
from ledger.keys import ROLES, is_locked
from ledger.reader import Reader

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ROLE = click.argument("role", type=click.Choice(ROLES), default="author")


@click.group(context_settings=SETTINGS)
def keys() -> None:
    """List, show and export the signing keys."""


@keys.command(name="list")
@JSON
@recorded(tolerant=True)
def list_keys(session: Session, as_json: bool) -> None:
    """List the keys that the ledger knows."""
    with session.reader() as reader:
        rows = [_row(session, reader, role) for role in ROLES]
    if as_json:
        terminal.show_json(rows)
        return
    columns = ("role", "key id", "position", "locked", "file")
    terminal.show_table(
        columns, [[row["role"], row["key"][:16], row["position"], row["locked"], row["file"]] for row in rows]
    )


@keys.command()
@ROLE
@JSON
@recorded(tolerant=True)
def show(session: Session, role: str, as_json: bool) -> None:
    """Show one key: author (default) or log."""
    with session.reader() as reader:
        row = _row(session, reader, role)
    if as_json:
        terminal.show_json(row)
        return
    for name, value in row.items():
        click.echo(f"{name:10} {terminal.neutral(value)}")


@keys.command()
@ROLE
@click.option(
    "--trust-root", "whole", is_flag=True, help="Ledger id, log key and root author key: all that a verifier needs."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["vkey", "pem", "hex"]),
    default="vkey",
    show_default=True,
    help="C2SP verifier key, PEM (RFC 8410) or hex.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@recorded(tolerant=True)
def export(session: Session, role: str, whole: bool, form: str, output: Path | None, force: bool) -> None:
    """Print a public key, or the trust root of the ledger; secret keys never leave."""
    with session.reader() as reader:
        identity = read_identity(reader)
    document = trust_root(identity) if whole else FORMS[form](identity, role)
    if output is None:
        sys.stdout.buffer.write(document)
        return
    from commands.publish import write_plain

    write_plain(output, document, force=force)
    session.outputs.append(str(output))


def _row(session: Session, reader: Reader, role: str) -> dict[str, Any]:
    public, name = _key(read_identity(reader), role)
    path = session.context.key_path(role)
    record = next(
        record
        for record in reader.records(1, 3)
        if isinstance(event := record.event(), KeyRegistered) and event.role == role
    )
    event = record.event()
    return {
        "role": role,
        "key": event.key if isinstance(event, KeyRegistered) else "",
        "public": public.hex(),
        "vkey": name,
        "position": record.position,
        "locked": is_locked(path) if path.exists() else None,
        "file": str(path),
    }


def _key(identity: Identity, role: str) -> tuple[bytes, str]:
    if role == "log":
        return identity.log_key, identity.log_verifier_key
    return identity.author_key, identity.author_verifier_key


FORMS: dict[str, Callable[[Identity, str], bytes]] = {
    "vkey": lambda identity, role: f"{_key(identity, role)[1]}\n".encode(),
    "hex": lambda identity, role: f"{_key(identity, role)[0].hex()}\n".encode(),
    "pem": lambda identity, role: pem(_key(identity, role)[0]),
}
