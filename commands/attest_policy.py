r"""A verifier's policy: which signer and builder together deserve which SLSA Build level. YAML or JSON.

    verifier: https://verifier.example/
    uri: https://verifier.example/policies/adapters-1
    resource: pkg:huggingface/example/adapter@1.0
    minimum: 1
    rules:
      - {key: 5f0b...2d, builder: "urn:soup-ledger:builder:local@v1", level: 1}
      - {identity: release@example.org, issuer: "https://issuer.example", builder: "https://ci.example/runner@v1", level: 2}

What is true here:

- The level comes from this file alone; what an attestation says of its own level counts for nothing.
- A rule names a key by fingerprint, or an identity together with its issuer; and one builder, letter by letter. What no rule
  names has level 0.
- Unknown keys are refused: a misspelt rule must not be a rule that is missing.

Not known here: how an attestation is verified.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from commands import plain
from commands.errors import InputError, quoted
from ledger.events.base import Hex32, Name
from ledger.events.facts import Url

MAX_POLICY = 65_536  # bytes


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signer, one builder, one level. `key`: SHA-256 of the raw key (as `soup keys list` shows) or of its SPKI."""

    builder: Name
    level: Annotated[int, Meta(ge=0, le=3)]
    key: Hex32 | None = None
    identity: Name | None = None
    issuer: Url | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who verifies what, and what is asked for. `minimum` is the level that passes."""

    verifier: Url
    uri: Url
    resource: Url
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=1000)]
    minimum: Annotated[int, Meta(ge=1, le=3)] = 1

    @property
    def identities(self) -> list[tuple[str, str]]:
        """The identities that rules trust, with their issuers, each once."""
        pairs = [(rule.identity, rule.issuer) for rule in self.rules]
        return list(dict.fromkeys((one, issuer) for one, issuer in pairs if one is not None and issuer is not None))


class Signer(NamedTuple):
    """Who signed, as it was verified: every fingerprint of a key, or an identity with its issuer."""

    fingerprints: frozenset[str] = frozenset()
    identity: tuple[str, str] | None = None


def read_policy(path: Path) -> tuple[Policy, str]:
    """Read a policy; give it with the SHA-256 of its file. Raises InputError."""
    from hashlib import sha256

    from commands.observe import read_small

    raw = read_small(path, MAX_POLICY)
    try:
        policy = msgspec.convert(_values(plain.parse(raw)), Policy, strict=False)
    except plain.NotPlainError as error:
        where = f" (line {error.line})" if error.line else ""
        raise InputError(f"{quoted(path)} is no policy: {error}{where}") from None
    except msgspec.ValidationError as error:
        raise InputError(f"{quoted(path)} is no policy: {error}", "soup attest vsa --help shows one") from None
    for number, rule in enumerate(policy.rules, start=1):
        if (rule.key is None) == (rule.identity is None) or (rule.identity is None) != (rule.issuer is None):
            raise InputError(
                f"{quoted(path)} is no policy: rule {number} names no single signer",
                "a rule has either a key, or an identity and its issuer",
            )
    return policy, sha256(raw).hexdigest()


def level(policy: Policy, signers: Collection[Signer], builder: str) -> tuple[int, Signer]:
    """Give the highest level that a rule grants to one of the signers (at least one) and the builder."""
    return max(
        ((_level(policy, signer, builder), signer) for signer in signers),
        key=lambda pair: pair[0],
    )


def _level(policy: Policy, signer: Signer, builder: str) -> int:
    return max(
        (
            rule.level
            for rule in policy.rules
            if rule.builder == builder
            and (rule.key in signer.fingerprints if rule.key else (rule.identity, rule.issuer) == signer.identity)
        ),
        default=0,
    )


def _values(node: plain.Node) -> Any:
    """Give plain values; a number stays text, and the field decides."""
    if isinstance(node, plain.Table):
        return {key: _values(inner) for key, inner in node.entries.items()}
    if isinstance(node, plain.Row):
        return [_values(inner) for inner in node.items]
    return None if node.is_null else node.text
