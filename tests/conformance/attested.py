"""What others' verifiers say of attestations: envelopes, bundles with a key, keyless bundles, signed model directories.

What is true here:

- A verifier is handed the key, or the trust root and the identity, from elsewhere than the document.
- Each sees the bytes as soup wrote them; only the fault of a self-test changes them.

Not known here: whether a statement is true.
"""

from __future__ import annotations

import base64
import importlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boms import edited, refusals
from tools import NPM, PYTHON, Check, Document, Fault, Form, node, raised, refusal, run, spec

OMS = ("bundle", "envelope", "statement", "predicate")  # its schemas, outermost first
IDENTITY, ISSUER = "dev@example.org", "https://issuer.example.org"  # whom the private Sigstore certifies
PREDICATES = {  # predicate type -> the module and the message that the in-toto library has for it
    "https://slsa.dev/provenance/v1": ("provenance.v1.provenance_pb2", "Provenance"),
    "https://in-toto.io/attestation/test-result/v0.1": ("test_result.v0.test_result_pb2", "TestResult"),
    "https://slsa.dev/verification_summary/v1": ("vsa.v1.vsa_pb2", "VerificationSummary"),
    "https://in-toto.io/attestation/scai/v0.3": ("scai.v0.scai_pb2", "AttributeReport"),
}
DEMANDED = {  # what the specification of a predicate requires and its protocol buffer cannot say
    "https://slsa.dev/provenance/v1": (
        "buildDefinition.buildType",
        "buildDefinition.externalParameters",
        "runDetails.builder.id",
    ),
    "https://in-toto.io/attestation/test-result/v0.1": ("result", "configuration"),
    "https://slsa.dev/verification_summary/v1": (
        "verifier.id",
        "timeVerified",
        "resourceUri",
        "policy",
        "verificationResult",
    ),
}


def envelope(document: Document) -> dict[str, Any]:
    """Give the DSSE envelope of a file, on its own or in a bundle."""
    content = json.loads(document.path.read_bytes())
    return content.get("dsseEnvelope", content)


def dsse(document: Document) -> list[str]:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    content = envelope(document)
    key = load_pem_public_key(_key(document).read_bytes())
    trusted = SSlibKey.from_crypto(key, keyid=content["signatures"][0].get("keyid", ""))  # type: ignore[arg-type]
    return raised(lambda: Envelope.from_dict(content).verify([trusted], 1))


def openssl(document: Document) -> list[str]:
    """Check the signature over DSSE's pre-authentication encoding, which is put together here, from its definition."""
    content = envelope(document)
    kind, body = content["payloadType"].encode(), base64.b64decode(content["payload"])
    key = _key(document)
    described = run(["openssl", "pkey", "-pubin", "-in", key, "-noout", "-text"]).stdout
    digest = [] if "ED25519" in described else ["-digest", "sha256"]
    with tempfile.TemporaryDirectory() as folder:
        encoded, signature = Path(folder, "pae"), Path(folder, "sig")
        encoded.write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
        signature.write_bytes(base64.b64decode(content["signatures"][0]["sig"]))
        command = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            key,
            "-rawin",
            "-in",
            encoded,
            "-sigfile",
            signature,
        ]
        return refusal(run([*command, *digest]))


def in_toto(document: Document) -> list[str]:
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    body = base64.b64decode(envelope(document)["payload"])
    statement = json.loads(body)
    kind, predicate = statement["predicateType"], statement["predicate"]

    def parse() -> None:
        Statement.copy_from_pb(json_format.Parse(body, Message())).validate()
        if kind in PREDICATES:
            module, message = PREDICATES[kind]
            parsed = getattr(importlib.import_module(f"in_toto_attestation.predicates.{module}"), message)()
            # Predicates may carry fields of one's own, which a consumer ignores (in-toto's parsing rules).
            json_format.ParseDict(predicate, parsed, ignore_unknown_fields=True)

    return raised(parse) + [f"{kind} without {path}" for path in DEMANDED.get(kind, ()) if not _has(predicate, path)]


def javascript(document: Document) -> list[str]:
    command = [node(), Path(__file__).with_name("verify.cjs"), NPM, document.path]
    whom = [_told(document.trust), IDENTITY, ISSUER] if document.form == "keyless" else [_key(document)]
    return refusals(run([*command, *whom]))


def bundle_model(document: Document) -> list[str]:
    from sigstore_models.bundle.v1 import Bundle

    return raised(lambda: Bundle.from_json(document.path.read_bytes()))


def sigstore(document: Document) -> list[str]:
    command = [PYTHON / "sigstore", "--trust-config", _told(document.trust), "verify", "identity", "--offline"]
    who = ["--cert-identity", IDENTITY, "--cert-oidc-issuer", ISSUER]
    return refusal(run([*command, "--bundle", document.path, *who, _told(document.subject)]))


def model_signing(document: Document) -> list[str]:
    command = [PYTHON / "model_signing", "verify", "key", "--signature", document.path, "--public_key", _key(document)]
    return refusal(run([*command, _told(document.subject)]))


def oms_schemas(document: Document) -> list[str]:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    schemas = {name: json.loads(_told(spec(_oms(name))).read_bytes()) for name in OMS}
    known = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in schemas.values())
    bundle = json.loads(document.path.read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    parts = dict(zip(OMS, (bundle, bundle["dsseEnvelope"], statement, statement["predicate"]), strict=True))
    return [
        f"{name}: {error.json_path}: {error.message[:200]}"
        for name, part in parts.items()
        for error in Draft202012Validator(schemas[name], registry=known).iter_errors(part)
    ]


def _oms(part: str) -> str:
    return f"oms-1.0/{part}.schema.json"


def _has(predicate: Any, path: str) -> bool:
    for step in path.split("."):
        if not isinstance(predicate, dict) or step not in predicate:
            return False
        predicate = predicate[step]
    return True


def _told(path: Path | None) -> Path:
    if path is None:
        raise ValueError("nobody told the verifier what it needs")
    return path


def _key(document: Document) -> Path:
    return _told(document.key)


# The faults: another payload under the same signature, a statement about nothing, a bundle of no known kind.


def _restated(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Change the statement inside an envelope; the signature stays."""

    def of(content: dict[str, Any]) -> None:
        inner = content.get("dsseEnvelope", content)
        inner["payload"] = base64.b64encode(edited(change)(base64.b64decode(inner["payload"]))).decode()

    return edited(of)


other_subject = _restated(lambda statement: statement["subject"][0]["digest"].update(sha256="0" * 64))
no_subject = _restated(lambda statement: statement.update(subject=[]))
no_serialization = _restated(lambda statement: statement["predicate"].pop("serialization"))
unknown_kind = edited(lambda bundle: bundle.update(mediaType="application/json"))

KEYED: tuple[Form, ...] = ("envelope", "bundle")
CHECKS = (
    Check(
        "securesystemslib, DSSE", "securesystemslib", KEYED, dsse, Fault(other_subject, "VerificationError|threshold")
    ),
    Check("openssl on the PAE", "openssl", KEYED, openssl, Fault(other_subject, "Signature Verification Failure")),
    Check(
        "in-toto-attestation, statement and predicate",
        "in-toto-attestation",
        (*KEYED, "keyless"),
        in_toto,
        Fault(no_subject, "At least one subject"),
    ),
    Check(
        "@sigstore/verify",
        "@sigstore/verify",
        ("bundle", "keyless"),
        javascript,
        Fault(other_subject, "SIGNATURE_ERROR"),
    ),
    Check(
        "sigstore-models, bundle v0.3",
        "sigstore-models",
        ("bundle", "keyless", "oms"),
        bundle_model,
        Fault(edited(lambda bundle: bundle.pop("verificationMaterial")), "verification_?[mM]aterial"),
    ),
    Check(
        "sigstore verify identity, offline",
        "sigstore",
        ("keyless",),
        sigstore,
        Fault(other_subject, "invalid signature"),
    ),
    Check(
        "model_signing verify key",
        "model-signing",
        ("oms",),
        model_signing,
        Fault(other_subject, "Verification failed"),
    ),
    Check(
        "official OMS 1.0 JSON schemas",
        "jsonschema",
        ("oms",),
        oms_schemas,
        Fault(no_serialization, "predicate: .*serialization"),
        needs=tuple(_oms(name) for name in OMS),
    ),
)
