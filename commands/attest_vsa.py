"""`soup attest vsa`: verify an attestation against a policy, and put the result on the record as a signed summary.

What is true here:

- The signature is verified first, under keys that were given or identities that the policy names. Of a statement that no
  trusted signer made, nothing is believed, not even what it is about.
- A failed verification is recorded and written like a passed one, and exits with 3.
- The level is the policy's answer to two facts: who signed, and which builder the provenance names.

Not known here: the form of the summary (`projections.attestation.vsa`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from commands import terminal
from commands.attest_inputs import Texts
from commands.attest_sign import deliver, prepare
from commands.cli import recorded
from commands.errors import AlteredEvidence, Incomplete, InputError, UsageProblem, quoted
from commands.record import Session, printable
from commands.signing import BACKENDS, KEY_VARIABLE, from_options
from ledger.events.attestation import SummarizedAttestation, SummaryPolicy, SummarySubject, VsaDeclared

if TYPE_CHECKING:
    from commands.attest_policy import Policy, Signer
    from commands.observe import ObservedDirectory, ObservedFile
    from commands.signing.verify import Verified

A_PATH = click.Path(path_type=Path)
MAX_SUBJECTS = 10_001
MAX_SHOWN = 1024


@click.command()
@click.argument("attestation", type=A_PATH)
@click.option("--policy", "policy_file", type=A_PATH, required=True, help="Who is trusted how far (YAML or JSON).")
@click.option("--key", "keys", multiple=True, metavar="PUBLIC", help="A trusted public key (file, vkey, hex, PEM).")
@click.option("--trusted-root", type=A_PATH, help="Sigstore's trusted root, for an identity that the policy trusts.")
@click.option("--staging", is_flag=True, help="The attestation comes from Sigstore's staging instance.")
@click.option("--artifact", type=A_PATH, help="The artifact; its digest must be a subject's.")
@click.option("--attestation-uri", metavar="URI", help="Where the attestation can be fetched.")
@click.option("--sign", type=click.Choice(BACKENDS), default="ed25519", show_default=True, help="Signature backend.")
@click.option(
    "--signing-key", type=A_PATH, help=f"Private key to sign the summary with; also ${KEY_VARIABLE}. Default: soup's."
)
@click.option("--trust-config", type=A_PATH, help="A private Sigstore to sign with: its client trust configuration.")
@click.option("--identity-token-file", type=A_PATH, help="OpenID Connect token for Sigstore.")
@click.option("--output", type=A_PATH, required=True, help="The summary's file.")
@click.option("--bundle", type=A_PATH, help="Write a Sigstore bundle (v0.3) of the same signature to this file, too.")
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@recorded()
def vsa(session: Session, attestation: Path, **options: Any) -> None:
    r"""Verify an attestation against a policy; emit a SLSA verification summary (VSA v1).

    The policy names the verifier, itself, the resource, and which signer and builder deserve which level:

    \b
        verifier: https://verifier.example/
        uri: https://verifier.example/policies/adapters-1
        resource: pkg:huggingface/example/adapter@1.0
        minimum: 1
        rules:
          - key: SHA-256 of the key, 64 hex digits
            builder: urn:soup-ledger:builder:local@v1
            level: 1

    Instead of `key` a rule may have `identity` and `issuer`. Exit code 0: passed. 3: failed; the summary says so, and is
    written, too. 4: no key was given.
    """
    signing = from_options({**options, "key": options["signing_key"], "staging": False}, session.context.environ)
    road = prepare(session, signing, options)
    declared = examine(attestation, options)
    deliver(session, road, [(session.stream, declared)], [session.stream])
    click.echo(terminal.neutral(f"soup: {declared.result} {declared.levels[0]}: {declared.reason}"), err=True)
    if declared.result == "FAILED":
        raise AlteredEvidence(f"{quoted(attestation)} does not pass the policy: {declared.reason}")


class Finding(NamedTuple):
    """What came of a verification. `builder` and `predicate_type` are None where nothing was believed."""

    level: int
    reason: str
    passed: bool
    subjects: list[SummarySubject]
    predicate_type: str | None = None
    builder: str | None = None
    signer: str | None = None


def examine(file: Path, options: Mapping[str, Any]) -> VsaDeclared:
    """Verify `file` against the policy. Raises InputError for what cannot be read, Incomplete where no key was given."""
    from commands.attest_policy import read_policy
    from commands.observe import observe, observe_file

    texts = Texts()
    policy, policy_sha256 = read_policy(options["policy_file"])
    artifact = None if options["artifact"] is None else observe(options["artifact"])
    before = observe_file(file).sha256
    finding = _verify(file, policy, artifact, options)
    if observe_file(file).sha256 != before:
        raise InputError(f"{quoted(file)} changed while it was read", "wait until nothing writes to it, then run again")

    def shown(value: str | None) -> str | None:
        return None if value is None else texts.shown(value)[:MAX_SHOWN]

    return VsaDeclared(
        subjects=finding.subjects,
        verifier=policy.verifier,
        resource=policy.resource,
        policy=SummaryPolicy(uri=policy.uri, sha256=policy_sha256),
        attestation=SummarizedAttestation(
            name=texts.shown(file.name)[:MAX_SHOWN],
            uri=_uri(options["attestation_uri"], texts),
            sha256=before,
            predicate_type=shown(finding.predicate_type),
            builder=shown(finding.builder),
            signer=shown(finding.signer),
        ),
        result="PASSED" if finding.passed else "FAILED",
        levels=[f"SLSA_BUILD_LEVEL_{finding.level}" if finding.passed else "FAILED"],
        reason=texts.shown(finding.reason),
        redactions=dict(texts.redactor.counts),
    )


def _verify(
    file: Path, policy: Policy, artifact: ObservedFile | ObservedDirectory | None, options: Mapping[str, Any]
) -> Finding:
    from commands.attest_policy import level
    from commands.attest_verify import read_statement

    signed = list(_signed(file, policy, options))
    if not signed:
        return _nothing_believed(file, artifact)
    statement = read_statement(signed[0][1])
    subjects = list(_subjects(statement))
    if artifact is not None:
        own = [subject for subject in subjects if _names(subject, artifact)]
        if not own:
            return Finding(0, "the artifact is no subject of the attestation", False, [_subject_of(artifact)])
        subjects = own
    builder = _builder(statement)
    granted, signer = level(policy, [signer for signer, _ in signed], builder or "")
    verified = next(verified for each, verified in signed if each == signer)
    passed = builder is not None and granted >= policy.minimum
    return Finding(
        granted,
        _reason(policy, statement, builder, granted),
        passed,
        subjects,
        predicate_type=statement["predicateType"],
        builder=builder,
        signer=verified.signer,
    )


def _signed(file: Path, policy: Policy, options: Mapping[str, Any]) -> Iterator[tuple[Signer, Verified]]:
    """Give each trusted signer whose signature holds. Raises Incomplete where nobody was named to be trusted."""
    from commands.attest_policy import Signer
    from commands.signing.verify import is_keyless, trusted_keys, verify_keyed, verify_keyless

    if is_keyless(file):
        if not policy.identities:
            raise Incomplete(
                "an identity signed this, and the policy trusts none", "add a rule with identity and issuer"
            )
        for identity, issuer in policy.identities:
            try:
                root = options["trusted_root"]
                verified = verify_keyless(file, identity, issuer, root, staging=options["staging"])
            except AlteredEvidence:
                continue
            yield Signer(identity=(identity, issuer)), verified
        return
    trusted = trusted_keys(options["keys"])
    if not trusted:
        raise Incomplete("no trusted key was given, so nothing can be verified", "give one with --key")
    for public in trusted:
        try:
            verified = verify_keyed(file, [public])
        except (AlteredEvidence, Incomplete):  # another's signature, or none at all
            continue
        yield Signer(fingerprints=_fingerprints(public)), verified


def _fingerprints(public: bytes) -> frozenset[str]:
    """Give the SHA-256 of an Ed25519 key, and of its SubjectPublicKeyInfo; a P-256 key comes as the latter."""
    from hashlib import sha256

    from commands.keyring import SPKI_PREFIX

    prefixed = {SPKI_PREFIX + public} if len(public) == 32 else set()  # noqa: PLR2004 - RFC 8032: an Ed25519 key
    return frozenset(sha256(each).hexdigest() for each in {public, *prefixed})


def _nothing_believed(file: Path, artifact: ObservedFile | ObservedDirectory | None) -> Finding:
    if artifact is None:
        raise AlteredEvidence(
            f"{quoted(file)}: no signature holds under a trusted key or identity, so what it is about is not known",
            "to have the failure written, say what was examined with --artifact",
        )
    return Finding(0, "no signature holds under a trusted key or identity", False, [_subject_of(artifact)])


def _subjects(statement: Mapping[str, Any]) -> Iterator[SummarySubject]:
    """Take over the subjects, digests untouched. Raises InputError for one that no statement may have."""
    from msgspec import ValidationError, convert

    given = statement["subject"]
    if len(given) > MAX_SUBJECTS:
        raise InputError(f"the attestation has {len(given)} subjects, more than the {MAX_SUBJECTS} allowed")
    for subject in given:
        name = subject.get("name")
        text = printable(name)[:MAX_SHOWN] if isinstance(name, str) else None
        try:
            yield convert({"name": text or None, "digest": subject["digest"]}, SummarySubject)
        except ValidationError as error:
            raise InputError(f"a subject of the attestation is malformed: {error}") from None


def _names(subject: SummarySubject, artifact: ObservedFile | ObservedDirectory) -> bool:
    """Match by digest only; a directory has its listing's SHA-256 under either name (DigestSet v1.1)."""
    return artifact.sha256 in (subject.digest.get("sha256"), subject.digest.get("dirHash"))


def _subject_of(artifact: ObservedFile | ObservedDirectory) -> SummarySubject:
    name = Texts().shown(Path(artifact.path).name)[:MAX_SHOWN]
    return SummarySubject(name=name or None, digest={"sha256": artifact.sha256})


def _builder(statement: Mapping[str, Any]) -> str | None:
    """Give `builder.id` of SLSA provenance v1; None for any other predicate, and for provenance without one."""
    from projections.attestation.predicates import PROVENANCE

    value: Any = statement.get("predicate") if statement["predicateType"] == PROVENANCE else None
    for name in ("runDetails", "builder", "id"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def _reason(policy: Policy, statement: Mapping[str, Any], builder: str | None, granted: int) -> str:
    if builder is None:
        return f"{statement['predicateType']} names no builder: only SLSA provenance v1 has a Build level"
    if granted == 0:
        return f"no rule of the policy trusts this signer with the builder {builder}"
    if granted < policy.minimum:
        return f"the policy grants Build L{granted} to this signer and builder, and asks for L{policy.minimum}"
    return f"the policy grants Build L{granted} to this signer and builder"


def _uri(value: str | None, texts: Texts) -> str | None:
    from commands.attest_decide import URL

    if value is None:
        return None
    text = texts("--attestation-uri", value)
    if not URL.fullmatch(text):
        raise UsageProblem(f"--attestation-uri {quoted(text[:200])} is not an absolute URI")
    return text


__all__: Sequence[str] = ("examine", "vsa")
