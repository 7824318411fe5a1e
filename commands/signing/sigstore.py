"""Keyless signing with Sigstore: a short-lived certificate for an identity, and an entry in a public log.

What is true here:

- The identity comes from a token that was given, from the surroundings (a CI system's OpenID Connect), or from a browser.
- A bundle is verified against the trust root that it was made under before it reaches the ledger: a log or certificate
  authority that answers nonsense fails the command, not the verifier of next year.
- The recorded identity is redacted like every other text. The certificate inside the bundle still names it, since naming
  is what a certificate is for: whoever signs keyless publishes an identity, in a log that forgets nothing.
- Whatever fails inside of the library leaves here as one sentence; a token is in none of them.

Not known here: what statements say, and how a stranger's bundle is verified (`commands.signing.verify`).
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from commands.errors import CommandError, InputError, UsageProblem, quoted
from commands.observe import read_small
from commands.record import printable
from commands.signing import Signing
from commands.terminal import neutral
from ledger.events.document import DocumentSigned2
from projections.attestation.envelope import PAYLOAD_TYPE  # the one type that sigstore's DSSE signs

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.oidc import IdentityToken

    from commands.record import Session

MAX_TRUST_CONFIG = 1_048_576  # bytes; the public instance's has nine thousand
MAX_PAYLOAD = 700_000  # bytes; in base64, with certificate and proofs, it still fits the event that records the bundle
MAX_REASON = 160  # characters
REFUSED = (400, 401, 403)  # what a certificate authority answers to a token that it does not accept
FAILED = "signing with sigstore failed"
MISSING = "install it with: pip install 'sigstore>=4.5,<5'"


def sign(session: Session, signing: Signing, payload_type: str, payload: bytes) -> DocumentSigned2:
    """Sign an in-toto statement; ask certificate authority, log and time stamp authority. Raises InputError."""
    if payload_type != PAYLOAD_TYPE:
        raise UsageProblem(f"sigstore signs in-toto statements, not {quoted(payload_type)}")
    if len(payload) > MAX_PAYLOAD:
        raise InputError(
            f"the statement has {len(payload)} bytes, too many for a Sigstore bundle in the ledger ({MAX_PAYLOAD})",
            "sign with a key, or attest to the document's digest",
        )
    with told_in_one_line(FAILED):
        from sigstore.dsse import Statement
        from sigstore.sign import SigningContext

        config = _trust_config(signing)
        context = SigningContext.from_trust_config(config)
        with context.signer(_token(signing, config)) as signer:
            made = signer.sign_dsse(Statement(payload))
        certificate = _verified(made, config, payload)
        return _event(session, payload, made, certificate)


@contextmanager
def told_in_one_line(what: str) -> Iterator[None]:
    """Turn whatever the library raises into one InputError that begins with `what`.

    Its errors have no common root: `sigstore.errors.Error`, clients' own, `requests`, `pydantic`, `cryptography`,
    KeyError on answers that lack a field. They come from services and files, so none of them is soup's own fault.
    """
    try:
        yield
    except CommandError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{what}: the library {error.name} is not installed", MISSING) from None
    except Exception as error:
        raise InputError(f"{what}: {reason_of(error)}", hint_for(error)) from error


def reason_of(error: BaseException) -> str:
    """Give the first thing that an error or one of its causes says, short and in one line that no terminal acts upon.

    A bundle is hostile and its errors quote it. A service that did not answer is named instead: what `requests` says of it
    shows the library's own objects.
    """
    chain = _chain(error)
    silent = (f"{each.request.url} does not answer" for each in chain if _status(each) == 0)
    words = (text for each in chain if (text := " ".join(str(each).split())))
    told = neutral(next(silent, None) or next(words, type(error).__name__))
    return told if len(told) <= MAX_REASON else f"{told[:MAX_REASON]} ..."


def hint_for(error: BaseException) -> str | None:
    """Say what to do, where that is known."""
    names = {type(each).__name__ for each in _chain(error)}
    refused = "FulcioClientError" in names and any(_status(each) in REFUSED for each in _chain(error))
    if refused or names & {"IdentityError", "ExpiredIdentity"}:
        return "give a fresh token with --identity-token-file; its audience must be sigstore"
    if "CertValidationError" in names:
        return "it may belong to another Sigstore: a private one needs its trust root, the staging instance its flag"
    return None


def _chain(error: BaseException) -> list[Any]:
    """Give an error and its causes, outermost first."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    return chain


def _status(error: Any) -> int | None:
    """Give the HTTP status behind an error of `requests`: 0 where there was no answer, None where it is another error."""
    if getattr(error, "request", None) is None:
        return None
    return 0 if error.response is None else int(error.response.status_code)


def _trust_config(signing: Signing) -> ClientTrustConfig:
    """Say where to sign, and whom to believe: a file, or the public instance's signed metadata (TUF)."""
    from sigstore.models import ClientTrustConfig

    if signing.trust_config is None:
        return ClientTrustConfig.staging() if signing.staging else ClientTrustConfig.production()
    raw = read_small(signing.trust_config, MAX_TRUST_CONFIG)
    with told_in_one_line(f"{quoted(signing.trust_config)} is no client trust configuration of Sigstore"):
        return ClientTrustConfig.from_json(raw.decode("utf-8"))


def _token(signing: Signing, config: ClientTrustConfig) -> IdentityToken:
    """Take the given token, else the surroundings' (CI), else ask in a browser; without a terminal nobody is asked."""
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    raw = signing.identity_token or detect_credential()
    if raw:
        return IdentityToken(raw)
    if not (sys.stdin and sys.stdin.isatty()):
        raise InputError(
            "there is no identity to sign as: no token in the surroundings, and no terminal to ask at",
            "give one with --identity-token-file",
        )
    return Issuer(config.signing_config.get_oidc_url()).identity_token()


def _verified(made: Bundle, config: ClientTrustConfig, payload: bytes) -> Certificate:
    """Verify what was made, as others will; give the certificate."""
    from sigstore.verify import Verifier

    payload_type, signed = Verifier(trusted_root=config.trusted_root).verify_dsse(made, _AnyIdentity())
    if (payload_type, signed) != (PAYLOAD_TYPE, payload):
        raise InputError(f"{FAILED}: the bundle holds another statement than the one to be signed")
    return made.signing_certificate


class _AnyIdentity:
    """A policy (sigstore.verify.policy) that leaves the identity to the certificate authority: it is one's own."""

    def verify(self, cert: Certificate) -> None:
        """Accept."""


def _event(session: Session, payload: bytes, made: Bundle, certificate: Certificate) -> DocumentSigned2:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = made.to_json()
    public = certificate.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return DocumentSigned2(
        backend="sigstore",
        payload_sha256=sha256(payload).hexdigest(),
        payload_type=PAYLOAD_TYPE,
        key=sha256(spki).hexdigest(),
        public=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"),
        signature=base64.b64decode(json.loads(text)["dsseEnvelope"]["signatures"][0]["sig"]).hex(),
        bundle=text,
        identity=printable(session.redactor.text(identity_of(certificate))),
    )


def identity_of(certificate: Certificate) -> str:
    """Give the subject alternative names of a certificate: an address, or the URI of a workflow."""
    from cryptography.x509 import SubjectAlternativeName

    names: Any = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return ", ".join(str(name.value) for name in names)
