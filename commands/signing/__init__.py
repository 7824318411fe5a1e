"""Signing a document: which backend, with what, and the event that records the signature.

What is true here:

- What is signed is DSSE's pre-authentication encoding of the payload (`ledger.dsse.pae`), whichever backend signs. A
  signature is recorded before any envelope leaves: the envelope is assembled from the event, so it can be rebuilt.
- Options that do not belong to the chosen backend are refused, never ignored: nobody should believe that a key was used.
- Nothing heavy is imported before a backend needs it; `unsigned`, and `ed25519` with soup's own key, need no more than
  the ledger does.

Not known here: what payloads say, where documents go, and how signatures are verified (`commands.signing.verify`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import click

from commands.errors import UsageProblem

if TYPE_CHECKING:
    from commands.record import Session
    from ledger.events.document import DocumentSigned2

BACKENDS = ("unsigned", "ed25519", "ecdsa-p256", "sigstore")
KEYED = ("ed25519", "ecdsa-p256")
KEY_VARIABLE = "SOUP_SIGNING_KEY"
MAX_TOKEN = 65_536  # bytes of an identity token; those of CI systems have one to three thousand

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Signing:
    """How to sign, as asked for. `key`: a private key's file; the others belong to `sigstore`."""

    backend: str
    key: Path | None = None
    trust_config: Path | None = None
    staging: bool = False
    identity_token: str | None = field(default=None, repr=False)  # a bearer secret


_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--key", type=_FILE, help=f"Private key to sign with: PEM or a soup key file; also ${KEY_VARIABLE}."),
    click.option("--trust-config", type=_FILE, help="A private Sigstore: its client trust configuration (JSON)."),
    click.option("--staging", is_flag=True, help="Sign with Sigstore's staging instance instead of the public one."),
    click.option(
        "--identity-token-file", type=_FILE, help="OpenID Connect token for Sigstore; else ambient or a browser."
    ),
)


@overload
def signing_options(function: F) -> F: ...
@overload
def signing_options(*, default: str | None) -> Callable[[F], F]: ...
def signing_options(function: F | None = None, *, default: str | None = "ed25519") -> F | Callable[[F], F]:
    """Add `--sign` and what belongs to it to a click command; `from_options` reads them.

    As `@signing_options`, or as `@signing_options(default=None)` where signing is what has to be asked for.
    """

    def decorate(function: F) -> F:
        for option in reversed(_OPTIONS):
            function = option(function)
        help_text = "Signature backend."
        choice = click.Choice(BACKENDS)
        return click.option("--sign", type=choice, default=default, show_default=True, help=help_text)(function)

    return decorate if function is None else decorate(function)


def from_options(options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Signing:
    """Read the options of `signing_options`, an absent one as not given. Raises UsageProblem, InputError for the token."""
    backend = options.get("sign") or "unsigned"
    _check_combination(backend, options)
    key = options.get("key")
    if key is None and backend in KEYED and (named := (os.environ if environ is None else environ).get(KEY_VARIABLE)):
        key = Path(named)
    if key is None and backend == "ecdsa-p256":
        raise UsageProblem(
            "--sign ecdsa-p256 needs a private key",
            f"name its file with --key or {KEY_VARIABLE}; soup's own is Ed25519",
        )
    token_file = options.get("identity_token_file")
    return Signing(
        backend=backend,
        key=key,
        trust_config=options.get("trust_config"),
        staging=bool(options.get("staging")),
        identity_token=None if token_file is None else _read_token(token_file),
    )


def sign(session: Session, signing: Signing, payload_type: str, payload: bytes) -> DocumentSigned2:
    """Sign `payload`; give the event that records it. The caller appends it.

    Raises InputError where a key, token or service cannot be used.
    """
    if signing.backend == "sigstore":
        from commands.signing.sigstore import sign as sign_keyless

        return sign_keyless(session, signing, payload_type, payload)
    from commands.signing.local import sign as sign_locally

    return sign_locally(session, signing, payload_type, payload)


_BELONGS: dict[str, tuple[str, ...]] = {
    "key": KEYED,
    "trust_config": ("sigstore",),
    "staging": ("sigstore",),
    "identity_token_file": ("sigstore",),
}


def _check_combination(backend: str, options: Mapping[str, Any]) -> None:
    for name, backends in _BELONGS.items():
        if options.get(name) and backend not in backends:
            flag, chosen = "--" + name.replace("_", "-"), options.get("sign")
            raise UsageProblem(
                f"{flag} does not belong to --sign {chosen}" if chosen else f"{flag} without --sign signs nothing",
                f"it goes with --sign {' or --sign '.join(backends)}",
            )
    if options.get("trust_config") and options.get("staging"):
        raise UsageProblem("--trust-config and --staging name two different Sigstores", "give one of them")


def _read_token(path: Path) -> str:
    from commands.errors import InputError, quoted
    from commands.observe import read_small

    try:
        return read_small(path, MAX_TOKEN).decode("ascii").strip()
    except UnicodeDecodeError:
        raise InputError(f"{quoted(path)} holds no identity token: a token is ASCII (RFC 7519)") from None
