"""`soup attest model`: a signature over all files of a model, in OpenSSF Model Signing's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.cli import recorded
from commands.errors import InputError, UsageProblem, quoted
from commands.record import Session, printable
from commands.signing import from_options, sign, signing_options
from ledger.events.artifact import ArtifactObserved
from ledger.events.base import Event, FileDigest
from ledger.events.document import ModelSignatureDeclared

ABLE = ("ecdsa-p256", "sigstore")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The signature file, outside of the model."
)
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@signing_options
@recorded()
def model(session: Session, path: Path, output: Path, force: bool, **options: Any) -> None:
    """Sign every file of a model: what `model_signing verify` checks (OpenSSF Model Signing v1.0).

    Needs `--sign ecdsa-p256 --key FILE`, or `--sign sigstore`: OMS knows no Ed25519.
    """
    from commands.emit import aim_all, origin_of
    from commands.emit import emit as emit_documents
    from commands.observe import ObservedDirectory, observe
    from projections.attestation.envelope import PAYLOAD_TYPE
    from projections.attestation.oms import statement
    from projections.documents import sources

    signing = from_options(options)
    if signing.backend not in ABLE:
        raise UsageProblem(
            "OpenSSF Model Signing knows no such key", "use --sign ecdsa-p256 --key FILE, or --sign sigstore"
        )
    if output.resolve().is_relative_to(path.resolve()) and path.is_dir():
        raise UsageProblem("the signature would be a file of the model that it signs", "write it beside the model")
    wanted = aim_all([("model-signature", output)], session, force=force)
    found = observe(path)
    seen, declared = _events(
        session, path, found.sha256, found.size, found.files if isinstance(found, ObservedDirectory) else None
    )
    commit = session.append([(f"model/{found.sha256}", seen), (session.stream, declared)])
    streams = [session.stream, f"model/{found.sha256}"]
    with session.reader() as reader:
        payload = statement(sources(reader, origin_of(session), streams, commit.head.size))
    signed = sign(session, signing, PAYLOAD_TYPE, payload)
    streams.append(f"document/{signed.payload_sha256}")
    commit = session.append([(streams[-1], signed)])
    (document,) = emit_documents(session, wanted, streams, commit.head.size)
    click.echo(f"{output}  {document.sha256}", err=True)


def _events(session: Session, path: Path, sha256: str, size: int, files: Any) -> tuple[Event, Event]:
    from commands.emit import recorded_path

    name = path.resolve().name
    hidden = next(
        (each for each in (name, *(file.path for file in files or ())) if _clean(session, each) != each), None
    )
    if hidden is not None:
        raise InputError(
            f"the name {quoted(hidden)} holds what may not be recorded, and the signature must name its file as it is",
            "rename the file: no e-mail addresses, tokens or bytes that are not UTF-8",
        )
    seen = ArtifactObserved(
        role="subject",
        path=recorded_path(session, path),
        kind="file" if files is None else "directory",
        sha256=sha256,
        size=size,
        files=[FileDigest(path=file.path, sha256=file.sha256, size=file.size) for file in files or ()],
    )
    return seen, ModelSignatureDeclared(name=name, digest=sha256)


def _clean(session: Session, name: str) -> str:
    return printable(session.redactor.text(name))
