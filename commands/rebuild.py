"""`soup rebuild`: everything that was ever shown, again from the ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.emit import restore_path
from commands.errors import AlteredEvidence, OutputError
from commands.pending import Pending, pending
from commands.publish import Publication, clear_leftovers
from commands.record import Session
from commands.target import aim, check_overwrite
from ledger.entry import time_text
from ledger.events.document import DocumentPublished
from ledger.identity import read_identity
from ledger.reader import Reader
from projections import documents


@click.command(context_settings=SETTINGS)
@click.option(
    "--check", "check", is_flag=True, help="Only compare; the projection file is checked row by row, not replaced."
)
@click.option("--publish", "publish", is_flag=True, help="Complete documents that were rendered, and not published.")
@click.option("--force", is_flag=True, help="With --publish: replace files that soup has not written.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@recorded()
def rebuild(session: Session, check: bool, publish: bool, force: bool, as_json: bool) -> None:
    """Render each document ever emitted again, and compare it with the digest in the ledger.

    Without --check the projection file is rebuilt from nothing as well. Exit code 3 names the first difference.
    """
    if publish:
        _publish(session, force=force, as_json=as_json)
        return
    with session.reader() as reader:
        rows = [_row(comparison) for comparison in _compare_all(reader)]
        _projection(session, reader, check=check)
    counts = Counter(row["verdict"] for row in rows)
    if as_json:
        terminal.show_json({"documents": rows, "counts": counts})
    else:
        columns = ("position", "emitted (UTC)", "kind", "sha256", "verdict", "reason")
        terminal.show_table(columns, [[row[name] for name in FIELDS] for row in rows], styles=("different=red",))
        click.echo(f"{len(rows)} documents: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    for row in rows:
        if row["verdict"] == "different":
            raise AlteredEvidence(f"entry {row['position']}: {row['kind']} is not what was emitted: {row['reason']}")


FIELDS = ("position", "emitted", "kind", "sha256", "verdict", "reason")


def _compare_all(reader: Reader) -> list[documents.Comparison]:
    origin = read_identity(reader).origin
    return [documents.compare(reader, origin, record) for record in documents.rendered(reader)]


def _row(comparison: documents.Comparison) -> dict[str, Any]:
    return {
        "position": comparison.record.position,
        "emitted": time_text(comparison.record.time)[:19],
        "kind": comparison.event.kind,
        "sha256": comparison.event.sha256,
        "verdict": comparison.verdict,
        "reason": comparison.reason,
    }


def _projection(session: Session, reader: Reader, *, check: bool) -> None:
    """Check the projection file against the ledger, or make it again from nothing."""
    from projections import cache

    directory = session.context.projections
    if check:
        try:
            cache.check_cache(reader, directory)
        except cache.CacheAlteredError as error:
            raise AlteredEvidence(str(error), "it is a cache: `soup rebuild` makes it again from the ledger") from None
    else:
        cache.rebuild(reader, directory)


def _publish(session: Session, *, force: bool, as_json: bool) -> None:
    with session.reader() as reader:
        origin = read_identity(reader).origin
        waiting = list(pending(reader, session.command))
        done = [_complete(session, reader, origin, one, force=force) for one in waiting]
    if as_json:
        terminal.show_json(done)
        return
    for row in done:
        click.echo(f"published {row['target']}  {row['sha256']}")
    if not done:
        click.echo("nothing waits to be published")


def _complete(session: Session, reader: Reader, origin: str, waiting: Pending, *, force: bool) -> dict[str, Any]:
    """Publish one document that a killed command had put on the record."""
    comparison = documents.compare(reader, origin, waiting.record)
    if comparison.verdict == "different":
        raise AlteredEvidence(f"entry {waiting.record.position}: {comparison.reason}")
    if comparison.document is None or waiting.event.target is None:
        raise OutputError(f"entry {waiting.record.position} cannot be published: {comparison.reason}")
    path: Path = restore_path(waiting.event.target)
    clear_leftovers(path)
    target = aim(path)
    check_overwrite(
        target,
        lambda digest: digest == waiting.event.sha256 or reader.version(f"document/{digest}") > 0,
        force=force,
    )
    with Publication() as publication:
        publication.stage(target, comparison.document)
        publication.commit()
    session.outputs.append(str(path))
    session.append(
        [(waiting.record.stream, DocumentPublished(sha256=waiting.event.sha256, target=waiting.event.target))]
    )
    return {"target": str(path), "sha256": waiting.event.sha256, "position": waiting.record.position}
