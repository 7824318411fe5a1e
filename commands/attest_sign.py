"""From a declaration to the envelope and the bundle that leave: one road for attestations and summaries.

What is true here:

- What is signed is what anybody can rebuild from the ledger; the signature is recorded before an envelope leaves.
- Targets are opened before anything is declared. No signature of a replaced statement stays beside the new one.

Not known here: what the statement says, and which backend signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from commands import terminal
from commands.errors import UsageProblem
from commands.record import Session
from commands.signing import Signing, sign
from ledger.events.base import Event

if TYPE_CHECKING:
    from commands.attest_stale import Stale
    from commands.emit import Wanted


class Road(NamedTuple):
    """Where documents will go, and what they will leave behind."""

    signing: Signing
    wanted: list[Wanted]
    stale: list[Stale]


def prepare(session: Session, signing: Signing, options: Mapping[str, Any]) -> Road:
    """Open the road to `output` and `bundle`. Raises UsageProblem for a bundle of nothing, OutputError."""
    from commands.attest_stale import bundles_beside
    from commands.emit import aim_all

    wanted: list[tuple[str, Path | None]] = [("attestation", options["output"])]
    if options["bundle"] is not None:
        if signing.backend == "unsigned":
            raise UsageProblem("--bundle holds a signature, and --sign unsigned makes none", "leave one of them out")
        wanted.append(("attestation.bundle", options["bundle"]))
    aimed = aim_all(wanted, session, force=options["force"])
    return Road(signing, aimed, bundles_beside(session, options["output"]))


def deliver(session: Session, road: Road, events: Sequence[tuple[str, Event]], streams: Sequence[str]) -> None:
    """Record the declaration, sign what the ledger gives, record that, and let the documents leave."""
    from commands.attest_stale import take_away
    from commands.emit import emit

    position = session.append(events).head.size
    payload_type, payload = _statement(session, streams, position)
    signed = sign(session, road.signing, payload_type, payload)
    stream = f"document/{signed.payload_sha256}"
    position = session.append([(stream, signed)]).head.size
    documents = emit(session, road.wanted, [*streams, stream], position)
    for wish, document in zip(road.wanted, documents, strict=True):
        if wish.target is not None:
            click.echo(f"{wish.target.path}  {document.sha256}", err=True)
    for line in take_away(road.stale, [wish.target.path for wish in road.wanted if wish.target is not None]):
        click.echo(f"soup: {terminal.neutral(line)}", err=True)


def _statement(session: Session, streams: Sequence[str], position: int) -> tuple[str, bytes]:
    from commands.emit import origin_of
    from projections.attestation.envelope import PAYLOAD_TYPE
    from projections.attestation.statement import statement
    from projections.documents import sources

    with session.reader() as reader:
        return PAYLOAD_TYPE, statement(sources(reader, origin_of(session), streams, position))
