"""`soup attest`: who made what from what, as a signed statement that others can verify without soup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.attest_decide import RESULTS, STAGES, decide, hints
from commands.attest_model import model
from commands.attest_origin import reachable
from commands.attest_sign import deliver, prepare
from commands.attest_vsa import vsa
from commands.cli import SETTINGS, recorded
from commands.errors import UsageProblem
from commands.record import Session
from commands.signing import from_options, signing_options

A_PATH = click.Path(path_type=Path)


@click.group(context_settings=SETTINGS)
def attest() -> None:
    """Emit, verify and summarise in-toto attestations in DSSE envelopes."""


attest.add_command(vsa)
attest.add_command(model)


@attest.command()
@click.option("--stage", type=click.Choice(STAGES), required=True, help="What was done.")
@click.option(
    "--subject", multiple=True, help="Name of the artifact; a file or directory of this name is hashed (repeat)."
)
@click.option("--sha", multiple=True, metavar="SHA256", help="Its digest; needed where the file is not here (repeat).")
@click.option("--run", metavar="RUN", help="The recorded run: its id, the beginning of it, or `last`.")
@click.option("--builder", help="Who did it: a URI, or a name that is marked as local. Default: where soup runs.")
@click.option("--invocation", help="The command line that did it; recorded times are used when the ledger knows it.")
@click.option(
    "--dependency", multiple=True, metavar="ROLE=PATH", help="What it was made from; also ROLE=sha256:HEX (repeat)."
)
@click.option(
    "--result", type=click.Choice(list(RESULTS)), help="eval: the outcome. Default: what the tests below say."
)
@click.option("--passed-test", multiple=True, metavar="NAME", help="eval: a test that passed (repeat).")
@click.option("--warned-test", multiple=True, metavar="NAME", help="eval: a test that passed with a warning (repeat).")
@click.option("--failed-test", multiple=True, metavar="NAME", help="eval: a test that failed (repeat).")
@click.option("--test-url", metavar="URI", help="eval: where the test run can be looked at.")
@click.option("--purl", help="publish: the release, a package URL with a version.")
@click.option("--release-id", metavar="ID", help="publish: a stable identifier of the release in its registry.")
@signing_options
@click.option("--output", type=A_PATH, help="A file; without it, standard output.")
@click.option("--bundle", type=A_PATH, help="Write a Sigstore bundle (v0.3) of the same signature to this file, too.")
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@recorded()
def emit(session: Session, **options: Any) -> None:
    """Emit an in-toto Statement v1 in a DSSE envelope.

    The predicate is SLSA provenance v1; for `eval` with an outcome test-result v0.1, for `publish` with --purl release
    v0.1. Times and dependencies come from earlier events of the ledger, or are left out. No SLSA level is claimed: which
    one a verifier can reach, and why, is said on standard error.
    """
    signing = from_options(options, session.context.environ)
    road = prepare(session, signing, options)
    with session.reader() as reader:
        decision = decide(session, reader, options)
    deliver(session, road, decision.events, decision.streams)
    for line in (*hints(decision.declared), reachable(decision.declared, signing.backend)):
        click.echo(f"soup: {line}", err=True)


@attest.command()
@click.argument("file", type=A_PATH)
@click.option(
    "--key", "keys", multiple=True, metavar="PUBLIC", help="A trusted public key (file, vkey, hex, PEM, trust root)."
)
@click.option("--identity", metavar="ID", help="A trusted signer of a keyless bundle: an address or a workflow's URI.")
@click.option("--issuer", metavar="URL", help="Who vouches for the identity: the OpenID Connect provider.")
@click.option("--trusted-root", type=A_PATH, help="Sigstore's trusted root, or a client trust configuration (JSON).")
@click.option("--staging", is_flag=True, help="The bundle comes from Sigstore's staging instance.")
@click.option("--artifact", type=A_PATH, help="The artifact; its digest must be a subject's.")
@click.option("--json", "as_json", is_flag=True, help="Print the verified statement as JSON, and nothing else.")
@recorded(tolerant=True)
def verify(session: Session, file: Path, artifact: Path | None, as_json: bool, **options: Any) -> None:  # noqa: ARG001
    """Verify an envelope or a Sigstore bundle under a key or an identity that you trust, then read it. Works offline.

    Exit code 0: valid under a given key or identity. 3: none of them signed these bytes, or the artifact is another. 4: no
    key and no identity was given, or nobody signed. Without someone to trust the answer is never "valid".
    """
    from commands.attest_verify import read_statement, summary

    verified = verified_by(file, **options)
    statement = read_statement(verified, artifact)
    if as_json:
        terminal.show_json(statement)
        return
    for line in summary(statement, artifact, verified.signer):
        click.echo(terminal.neutral(line))


def verified_by(
    file: Path, keys: Sequence[str], identity: str | None, issuer: str | None, trusted_root: Path | None, staging: bool
) -> Any:
    """Verify a file under keys, or under an identity and its issuer. Raises what `commands.signing.verify` raises."""
    from commands.signing.verify import is_keyless, trusted_keys, verify_keyed, verify_keyless

    if identity is None and issuer is None:
        if trusted_root is not None or staging:
            raise UsageProblem("--trusted-root and --staging go with --identity and --issuer")
        return verify_keyed(file, trusted_keys(keys))
    if keys and not is_keyless(file):
        return verify_keyed(file, trusted_keys(keys))
    return verify_keyless(file, identity, issuer, trusted_root, staging=staging)
