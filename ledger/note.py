"""C2SP signed notes, verifier keys and checkpoints: the log's signed word on size and root of its tree.

A note is text ending in a newline, an empty line, then one or more signature lines (c2sp.org/signed-note):

    soup-ledger/00...00
    3
    NyTmZ...=                                    <- standard base64 of the root: a checkpoint's third line

    \N{EM DASH} soup-ledger/00...00 mVqbU...=    <- key name; standard base64 of (4-byte key id || signature)

True here:

- parsers are total: a whole value or `MalformedError`, and encoding the value again gives the same bytes;
- a key is known by its name *and* id; the id is `SHA-256(name || 0x0A || 0x01 || public key)[:4]`, a handle, no proof;
- the signature of a known key that does not hold condemns the whole note, signatures of unknown keys are ignored;
- a verifier returns what it verified or raises `AlteredError`, never a bool that could be forgotten.

Not known here: where private keys live (signing is a function passed in), whether two checkpoints are consistent,
which keys deserve trust. Signature types other than Ed25519 (0x01) belong to keys that are never known here.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from ledger.errors import AlteredError, MalformedError

MAX_NOTE_SIZE: Final = 1 << 20
MAX_SIGNATURES: Final = 100  # the specification asks verifiers for at least 16 and for some limit
_ED25519: Final = b"\x01"
_PUBLIC_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64
_KEY_ID_SIZE: Final = 4
_ROOT_SIZE: Final = 32
_MAX_TREE_SIZE: Final = (1 << 63) - 1  # what SQLite and the Go tools count in
_DASH: Final = "\N{EM DASH} "

_CONTROL_IN_NOTE = re.compile(r"[\x00-\x09\x0b-\x1f]")
_CONTROL = re.compile(r"[\x00-\x1f]")
# A key name is printed between spaces and pluses, so it has none; nor DEL and C1, which the specification lets pass.
_NOT_IN_NAME = re.compile(r"[\s+\x00-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class VerifierKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key (32 bytes) and the name it signs under; `MalformedError` for anything else."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or _NOT_IN_NAME.search(self.name):
            raise MalformedError(f"not the name of a key: {self.name!r}")
        _require_public(self.public)

    @property
    def id(self) -> bytes:
        """Return the 4-byte key id that signature lines carry."""
        return key_id(self.name, self.public)


class Signature(msgspec.Struct, frozen=True):
    """One signature line, unverified: key name, 4-byte key id, and the signature itself."""

    name: str
    key_id: bytes
    blob: bytes

    def line(self) -> str:
        """Return the signature line, its newline included."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.blob)}\n"


class Note(msgspec.Struct, frozen=True):
    """The signed text, its final newline included, and signature lines in their order."""

    body: str
    signatures: tuple[Signature, ...]

    def text(self) -> str:
        """Return the whole note, as `parse_note` reads it."""
        return "".join((self.body, "\n", *(signature.line() for signature in self.signatures)))


class Checkpoint(msgspec.Struct, frozen=True):
    """A tree head: the log's origin, the number of leaves, the 32-byte root (c2sp.org/tlog-checkpoint).

    Extension lines are for reading other logs; ours has none. `MalformedError` for what has no encoding.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or _CONTROL.search(line):
                raise MalformedError(f"not a line of a checkpoint: {line!r}")
        if not 0 <= self.size <= _MAX_TREE_SIZE:
            raise MalformedError(f"not the size of a tree: {self.size}")
        if len(self.root) != _ROOT_SIZE:
            raise MalformedError(f"a root has {_ROOT_SIZE} bytes, not {len(self.root)}")

    def body(self) -> str:
        """Return the text that is signed: origin, size and root, a line each."""
        return "\n".join((self.origin, str(self.size), encode_base64(self.root), *self.extensions, ""))


def key_id(name: str, public: bytes) -> bytes:
    """Return the first 4 bytes of `SHA-256(name || 0x0A || 0x01 || public)`: the id of an Ed25519 key."""
    return sha256(_utf8(name) + b"\n" + _ED25519 + public).digest()[:_KEY_ID_SIZE]


def verifier_key(name: str, public: bytes) -> str:
    """Print a key as `name+hex(key id)+base64(0x01 || public)`; `MalformedError` for a bad name or length."""
    key = VerifierKey(name, public)
    return f"{key.name}+{key.id.hex()}+{encode_base64(_ED25519 + key.public)}"


def parse_verifier_key(text: str) -> VerifierKey:
    """Read what `verifier_key` prints, and only that; `MalformedError` otherwise."""
    name, _, rest = text.partition("+")
    claimed_id, _, encoded = rest.partition("+")
    typed = decode_base64(encoded)
    if typed[:1] != _ED25519:
        raise MalformedError(f"not an Ed25519 verifier key (type 0x01): {text!r}")
    key = VerifierKey(name, typed[1:])
    if claimed_id != key.id.hex():
        raise MalformedError(f"key id {claimed_id!r} does not belong to the key, whose id is {key.id.hex()}")
    return key


def parse_checkpoint_body(text: str, *, extensions: bool = False) -> Checkpoint:
    """Read the text of a checkpoint; lines after the third only where `extensions` allows them.

    Raise `MalformedError` for everything that `Checkpoint.body` would not have written.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "":  # noqa: PLR2004 - three lines, and nothing after the last newline
        raise MalformedError("a checkpoint has three lines: origin, size, root")
    origin, size, encoded_root, *more = lines
    if more and not extensions:
        raise MalformedError(f"a checkpoint with extension lines: {more[0]!r}")
    if not _DECIMAL.fullmatch(size):
        raise MalformedError(f"not the size of a tree: {size[:40]!r}")
    return Checkpoint(origin, int(size), decode_base64(encoded_root), tuple(more))


def seal(checkpoint: Checkpoint, sign: Callable[[bytes], bytes], public: bytes) -> str:
    """Return the checkpoint as a note with one signature, by the key that is named like the origin.

    `sign` makes the raw Ed25519 signature that belongs to `public`. `MalformedError` where an origin cannot name a key.
    """
    key = VerifierKey(checkpoint.origin, public)
    body = checkpoint.body()
    signature = sign(_utf8(body))
    if len(signature) != _SIGNATURE_SIZE:
        raise MalformedError(f"an Ed25519 signature has {_SIGNATURE_SIZE} bytes, not {len(signature)}")
    return Note(body, (Signature(key.name, key.id, signature),)).text()


def parse_note(text: bytes | str, max_size: int = MAX_NOTE_SIZE) -> Note:
    """Take a note of at most `max_size` bytes apart; nothing is verified. `MalformedError` where it is no note."""
    decoded = _decode_note(text, max_size)
    body, separator, tail = decoded.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise MalformedError("a note is text, an empty line, and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"a note with more than {MAX_SIGNATURES} signatures")
    return Note(body + "\n", tuple(_parse_signature(line) for line in lines))


def open_note(text: bytes | str, keys: Sequence[VerifierKey]) -> Note:
    """Verify a note and return its text with the verified signatures only, at most one a key.

    Raise `AlteredError` where a signature of a key in `keys` does not hold, or where none of them signed.
    """
    known: dict[tuple[str, bytes], bytes] = {}
    for key in keys:
        if known.setdefault((key.name, key.id), key.public) != key.public:
            raise MalformedError(f"two different keys share the name {key.name!r} and the id {key.id.hex()}")
    note = parse_note(text)
    message = _utf8(note.body)
    verified: dict[tuple[str, bytes], Signature] = {}
    for signature in note.signatures:
        handle = (signature.name, signature.key_id)
        if handle in known:
            verify_signature(known[handle], message, signature.blob)
            verified.setdefault(handle, signature)
    if not verified:
        raise AlteredError("no trusted key signed this note", attack="foreign key")
    return Note(note.body, tuple(verified.values()))


def open_checkpoint(text: bytes | str, key: VerifierKey) -> Checkpoint:
    """Verify a note by the log's key and read the checkpoint in it; cosignatures of others may stand beside.

    Raise `AlteredError` where the signature does not hold or the origin is not the key's name.
    """
    return _read_checkpoint(open_note(text, (key,)), key)


def open_sealed(text: str, key: VerifierKey) -> Checkpoint:
    """Verify a note of the form that `seal` writes: as `open_checkpoint`, and no other signature stands beside.

    This is the form of a note at rest, where every byte is accounted for.
    """
    note = open_note(text, (key,))
    if note.text() != text:
        raise AlteredError("signatures were added to a note that has one")
    return _read_checkpoint(note, key)


def verify_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Check a raw Ed25519 signature (RFC 8032 section 5.1.7, with libsodium's refusal of small-order keys).

    Raise `AlteredError` where it does not hold, whatever its length; `MalformedError` where `public` is no key.
    """
    # Deferred: whoever only reads or renders notes does not pay 20 ms for libsodium. A repeated import costs 0.5 us.
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import BadSignatureError

    # crypto_sign_open checks neither length: a short key would be read past its end, and a short signature would
    # take its missing bytes from the message.
    _require_public(public)
    if len(signature) != _SIGNATURE_SIZE:
        raise AlteredError(f"a signature of {len(signature)} bytes is none by Ed25519", attack="forged")
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        raise AlteredError("the signature does not hold", attack="forged") from None


def encode_base64(raw: bytes) -> str:
    """Encode in standard base64 with padding (RFC 4648 section 4)."""
    return b2a_base64(raw, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode the one standard form; `MalformedError` for foreign characters, wrong padding or stray padding bits."""
    try:
        raw = a2b_base64(text)
    except (Base64Error, ValueError):  # ValueError: not ASCII
        raise MalformedError(f"not base64: {text[:80]!r}") from None
    if encode_base64(raw) != text:  # a2b_base64 skips foreign characters and ignores padding bits (RFC 4648 s. 3.5)
        raise MalformedError(f"not the canonical base64 of any bytes: {text[:80]!r}")
    return raw


def _read_checkpoint(note: Note, key: VerifierKey) -> Checkpoint:
    checkpoint = parse_checkpoint_body(note.body)
    if checkpoint.origin != key.name:
        raise AlteredError(f"a checkpoint of {checkpoint.origin!r}, signed by {key.name!r}", attack="foreign key")
    return checkpoint


def _parse_signature(line: str) -> Signature:
    dash, name, encoded = line[: len(_DASH)], *line[len(_DASH) :].partition(" ")[::2]
    if dash != _DASH or not name or _NOT_IN_NAME.search(name):
        raise MalformedError(f"not a signature line: {line[:80]!r}")
    raw = decode_base64(encoded)
    if len(raw) <= _KEY_ID_SIZE:
        raise MalformedError(f"a signature line without a signature: {line[:80]!r}")
    return Signature(name, raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:])


def _decode_note(text: bytes | str, max_size: int) -> str:
    """Return the note as text once its size, encoding and characters are known to be those of a note."""
    raw = _utf8(text) if isinstance(text, str) else text
    if len(raw) > max_size:
        raise MalformedError(f"a note of {len(raw)} bytes, more than {max_size}")
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("a note that is not UTF-8") from None
    if _CONTROL_IN_NOTE.search(decoded):
        raise MalformedError("a note with control characters")
    return decoded


def _require_public(public: bytes) -> None:
    if len(public) != _PUBLIC_SIZE:
        raise MalformedError(f"an Ed25519 public key has {_PUBLIC_SIZE} bytes, not {len(public)}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedError("text with lone surrogates has no bytes to sign") from None
