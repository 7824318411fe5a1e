"""A Sigstore of one's own on the loopback: certificate authority, CT log, both generations of Rekor, time stamps.

What is true here:

- Real HTTP, real keys, real proofs. A client needs nothing but `trust_config()`, and cannot tell it from a private
  deployment: certificates carry an embedded SCT (RFC 6962), logs give inclusion proofs and signed checkpoints.
- Every stand-in has keys of its own, so the trust root of one is the wrong one for another.
- A service answers wrongly only where a test has put a fault into `faults`.

Not known here: real identities (tokens are signed by the stand-in itself), and persistence: the logs live in memory.

Sources: Fulcio's certificate specification; Rekor API v1, and v2 (rekor-tiles); RFC 3161 through the openssl program.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

IDENTITY, ISSUER = "dev@example.org", "https://issuer.example.org"
ISSUER_V1, ISSUER_V2 = (x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{last}") for last in (1, 8))
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
TOKEN_KEY = b"the stand-in's own issuer, 32 bytes and more"
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
TSA_CONFIG = """[tsa]
serial = {directory}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def spki(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign_p256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


class Authority:
    """A self-signed root, and what it issues."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        root = self.builder(self.name, self.key.public_key(), BEGIN, timedelta(days=36500))
        self.root = root.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True).add_extension(
            self.usage(key_cert_sign=True), critical=True
        )
        self.root = self.root.sign(self.key, hashes.SHA256())

    @staticmethod
    def usage(**on: bool) -> x509.KeyUsage:
        names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        return x509.KeyUsage(**{**dict.fromkeys(names, False), **on})

    def builder(self, subject: x509.Name, public: Any, begin: datetime, life: timedelta) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + life)
        )
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return builder.add_extension(authority, critical=False)


class Log:
    """A Merkle tree (RFC 6962) with a few older leaves, so that proofs have hashes in them."""

    def __init__(self, origin: str, key: Any) -> None:
        self.origin, self.key = origin, key
        self.leaves = [f"older entry {number}".encode() for number in range(5)]
        if isinstance(key, ed25519.Ed25519PrivateKey):  # C2SP signed-note: Ed25519 has the name in its key id
            raw = key.public_key().public_bytes_raw()
            self.id = hashlib.sha256(origin.encode() + b"\n\x01" + raw).digest()
        else:
            self.id = hashlib.sha256(spki(key)).digest()

    def sign(self, message: bytes) -> bytes:
        return (
            self.key.sign(message) if isinstance(self.key, ed25519.Ed25519PrivateKey) else sign_p256(self.key, message)
        )

    def add(self, leaf: bytes) -> tuple[int, list[bytes], str]:
        """Give the index of the new leaf, its inclusion proof and the signed checkpoint."""
        self.leaves.append(leaf)
        index = len(self.leaves) - 1
        body = f"{self.origin}\n{len(self.leaves)}\n{b64(self.root)}\n"
        note = f"{body}\n\N{EM DASH} {self.origin} {b64(self.id[:4] + self.sign(body.encode()))}\n"
        return index, path(index, self.leaves), note

    @property
    def root(self) -> bytes:
        return root(self.leaves)


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(leaves[:middle]) + root(leaves[middle:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    if index < middle:
        return [*path(index, leaves[:middle]), root(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), root(leaves[:middle])]


class Standin:
    """The services; a context manager that serves while it is open, and keeps its keys when it is closed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: set[str] = set()
        self.requests: list[str] = []
        self.ca, self.tsa_ca = Authority("stand-in CA"), Authority("stand-in TSA CA")
        self.ct_key = ec.generate_private_key(ec.SECP256R1())
        self.ct_id = hashlib.sha256(spki(self.ct_key)).digest()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.v1 = Log("127.0.0.1", ec.generate_private_key(ec.SECP256R1()))
        self.v2 = Log("127.0.0.1", ed25519.Ed25519PrivateKey.generate())
        self._prepare_tsa()

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def token(self, identity: str = IDENTITY, issuer: str = ISSUER, **claims: Any) -> str:
        """An OpenID Connect token of this stand-in's issuer."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": identity, "aud": "sigstore", "iat": now, "exp": now + 600, **claims}
        return jwt.encode(claims, TOKEN_KEY, algorithm="HS256")

    def trusted_root(self) -> dict[str, Any]:
        def log(key: Any, details: str, key_id: bytes) -> dict[str, Any]:
            public = {"rawBytes": b64(spki(key)), "keyDetails": details, "validFor": {"start": BEGIN.isoformat()}}
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": b64(key_id)},
            }

        def authority(*chain: x509.Certificate) -> dict[str, Any]:
            certificates = [{"rawBytes": b64(each.public_bytes(Encoding.DER))} for each in chain]
            subject = {"organization": "stand-in", "commonName": "stand-in"}
            valid = {"start": BEGIN.isoformat()}
            return {"subject": subject, "uri": self.url, "certChain": {"certificates": certificates}, "validFor": valid}

        p256 = "PKIX_ECDSA_P256_SHA_256"
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.v1.key, p256, self.v1.id), log(self.v2.key, "PKIX_ED25519", self.v2.id)],
            "certificateAuthorities": [authority(self.ca.root)],
            "ctlogs": [log(self.ct_key, p256, self.ct_id)],
            "timestampAuthorities": [authority(self.tsa_cert, self.tsa_ca.root)],
        }

    def trust_config(self, rekor: int = 2) -> dict[str, Any]:
        """What `--trust-config` names; `rekor` is the generation of the log to sign with."""

        def service(url: str, version: int = 1) -> list[dict[str, Any]]:
            valid = {"start": BEGIN.isoformat()}
            return [{"url": url, "majorApiVersion": version, "validFor": valid, "operator": "stand-in"}]

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service(self.url),
                "oidcUrls": service(self.url),
                "rekorTlogUrls": service(self.url, rekor),
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": service(f"{self.url}/api/v1/timestamp") if rekor == 2 else [],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, {"issuer": ISSUER, "authorization_endpoint": "", "token_endpoint": ""})

            def do_POST(self) -> None:
                standin.requests.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path in standin.faults:
                    self.answer(503, {"message": "out of order"})
                elif self.path == "/api/v2/signingCert":
                    self.answer(*standin.fulcio(json.loads(body), self.headers["Authorization"]))
                elif self.path == "/api/v1/log/entries":
                    self.answer(201, standin.rekor_v1(json.loads(body)))
                elif self.path == "/api/v2/log/entries":
                    self.answer(201, standin.rekor_v2(json.loads(body)))
                else:
                    self.answer(201, standin.timestamp(body))

            def answer(self, status: int, content: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def fulcio(self, request: dict[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        try:
            claims = jwt.decode(authorization.removeprefix("Bearer "), TOKEN_KEY, ["HS256"], audience="sigstore")
        except jwt.InvalidTokenError as error:
            return 401, {"message": str(error)}
        csr = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        assert csr.is_signature_valid
        chain = [self.certificate(csr.public_key(), claims["sub"], claims["iss"]), self.ca.root]
        pems = [each.public_bytes(Encoding.PEM).decode() for each in chain]
        return 200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}

    def certificate(self, public: Any, identity: str, issuer: str) -> x509.Certificate:
        begin = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
        name = x509.UniformResourceIdentifier if "://" in identity else x509.RFC822Name
        builder = self.ca.builder(x509.Name([]), public, begin, timedelta(minutes=10))
        for extension, critical in (
            (self.ca.usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (x509.SubjectAlternativeName([name(identity)]), True),
            (x509.UnrecognizedExtension(ISSUER_V1, issuer.encode()), False),
            (x509.UnrecognizedExtension(ISSUER_V2, bytes([0x0C, len(issuer.encode())]) + issuer.encode()), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        before = builder.sign(self.ca.key, hashes.SHA256()).tbs_certificate_bytes
        scts = x509.UnrecognizedExtension(SCT_LIST, self.sct_list(before))
        return builder.add_extension(scts, critical=False).sign(self.ca.key, hashes.SHA256())

    def sct_list(self, tbs: bytes) -> bytes:
        """RFC 6962 sections 3.2 and 3.3: a precertificate's timestamp, in a list, in an OCTET STRING."""
        now = int(time.time() * 1000)
        issuer = hashlib.sha256(spki(self.ca.key)).digest()
        signed = struct.pack("!BBQH", 0, 0, now, 1) + issuer + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
        key = ec.generate_private_key(ec.SECP256R1()) if "sct" in self.faults else self.ct_key
        signature = sign_p256(key, signed)
        sct = struct.pack("!B32sQHBBH", 0, self.ct_id, now, 0, 4, 3, len(signature)) + signature
        content = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        return bytes([0x04, len(content)] if len(content) < 128 else [0x04, 0x81, len(content)]) + content

    def rekor_v1(self, proposed: dict[str, Any]) -> dict[str, Any]:
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = base64.b64decode(envelope["payload"])

        def sha256(raw: bytes) -> dict[str, str]:
            return {"algorithm": "sha256", "value": hashlib.sha256(raw).hexdigest()}

        signatures = [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}]
        spec = {"envelopeHash": sha256(content["envelope"].encode()), "payloadHash": sha256(payload)}
        body = rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": {**spec, "signatures": signatures}})
        index, proof, note = self._logged(self.v1, body)
        entry = {"body": b64(body), "integratedTime": int(time.time()), "logID": self.v1.id.hex(), "logIndex": index}
        inclusion = {"logIndex": index, "rootHash": self.v1.root.hex(), "treeSize": len(self.v1.leaves)}
        inclusion |= {"hashes": [each.hex() for each in proof], "checkpoint": note}
        promise = b64(self.v1.sign(rfc8785.dumps(entry)))
        return {"stand-in": {**entry, "verification": {"inclusionProof": inclusion, "signedEntryTimestamp": promise}}}

    def rekor_v2(self, request: dict[str, Any]) -> dict[str, Any]:
        asked = request["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": asked["digest"]}
        spec = {"hashedRekordV002": {"data": data, "signature": asked["signature"]}}
        body = rfc8785.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})
        index, proof, note = self._logged(self.v2, body)
        inclusion = {"logIndex": str(index), "rootHash": b64(self.v2.root), "treeSize": str(len(self.v2.leaves))}
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.v2.id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": inclusion | {"hashes": list(map(b64, proof)), "checkpoint": {"envelope": note}},
            "canonicalizedBody": b64(body),
        }

    def _logged(self, log: Log, body: bytes) -> tuple[int, list[bytes], str]:
        index, proof, note = log.add(body)
        return index, [bytes(32), *proof[1:]] if "inclusion proof" in self.faults else proof, note

    def _prepare_tsa(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in TSA")])
        builder = self.tsa_ca.builder(subject, key.public_key(), BEGIN, timedelta(days=36500))
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        builder = builder.add_extension(self.tsa_ca.usage(digital_signature=True), critical=True)
        self.tsa_cert = builder.sign(self.tsa_ca.key, hashes.SHA256())
        plain = (Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.directory / "tsa.key").write_bytes(key.private_bytes(*plain))
        (self.directory / "tsa.pem").write_bytes(self.tsa_cert.public_bytes(Encoding.PEM))
        (self.directory / "serial").write_text("01\n")
        (self.directory / "tsa.cnf").write_text(TSA_CONFIG.format(directory=self.directory))

    def timestamp(self, query: bytes) -> bytes:
        (self.directory / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query"]
        command += ["-inkey", "tsa.key", "-signer", "tsa.pem"]
        return subprocess.run(command, cwd=self.directory, check=True, capture_output=True).stdout
