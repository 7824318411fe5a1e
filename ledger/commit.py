"""A commit: the entries that one append writes atomically, signed by its author and sealed by the log.

What is true here (pure; no storage, no clock, no randomness):

- The author signs one DSSE envelope over: ledger id, command, count, the RFC 6962 root over the contents, the author's
  previous commit, and the last sealed size and root that the author has seen.
- The log gives positions without gaps, chains the headers and signs one C2SP checkpoint over the tree that results.
- `commit` in each header is SHA-256 of the envelope's exact bytes, so neither signature can be moved, swapped or stripped.

Both directions live side by side: `seal` makes a commit, `open_statement` reads an envelope of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from ledger import canonical, dsse, note, tree
from ledger.entry import ZERO, chain, contents, leaves, payload_digest, time_text
from ledger.errors import MalformedError
from ledger.events.base import Count, Hex32

PAYLOAD_TYPE = "application/vnd.soup.commit.v1+json"
MAX_ENVELOPE = 8192


class Signer(msgspec.Struct, frozen=True):
    """An Ed25519 key that can sign: 32-byte public key, its SHA-256 in hex, and the signing function."""

    public: bytes
    key_id: str
    sign: Callable[[bytes], bytes]


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event about to be recorded: where it goes and its canonical payload. `time` in microseconds."""

    stream: str
    version: int
    event_type: str
    time: int
    payload: bytes
    salt: bytes


class Head(msgspec.Struct, frozen=True):
    """Where the log stands: entries so far, hash of the last, the tree's right edge, and the last `logged` time."""

    size: int = 0
    hash: bytes = ZERO
    frontier: bytes = b""
    logged: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A sealed entry, as it is stored."""

    position: int
    draft: Draft
    payload_digest: bytes
    hash: bytes


class Commit(msgspec.Struct, frozen=True):
    """A sealed commit, as it is stored, and the head it leaves behind."""

    first: int
    entries: tuple[Entry, ...]
    author: str
    command: str
    logged: int
    envelope: bytes
    checkpoint: str
    head: Head


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sealed head that the author had in view."""

    root: Hex32
    size: Count


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an author signs. Digests in hex; `previous` is the author's own last commit."""

    author: Hex32
    command: str
    count: Count
    ledger: Hex32
    previous: Hex32 | None
    root: Hex32
    seen: Seen


_statement = msgspec.json.Decoder(Statement)


def seal(
    head: Head,
    drafts: Sequence[Draft],
    *,
    ledger: str,
    origin: str,
    command: str,
    author: Signer,
    log: Signer,
    previous: str | None,
    now: int,
) -> Commit:
    """Sign `drafts` as `author`, then order and seal them as `log`, on top of `head`. `now` in microseconds.

    `previous` is the hex digest of the author's last commit in this ledger, None for the first.
    """
    author_id = author.key_id
    digests = [payload_digest(draft.salt, draft.payload) for draft in drafts]
    claims = contents(
        [draft.stream for draft in drafts],
        [draft.version for draft in drafts],
        [draft.event_type for draft in drafts],
        [draft.time for draft in drafts],
        digests,
        [len(draft.payload) for draft in drafts],
        command=command,
        author=author_id,
    )
    frontier = tree.Frontier.from_bytes(head.size, head.frontier)
    statement = Statement(
        author=author_id,
        command=command,
        count=len(drafts),
        ledger=ledger,
        previous=previous,
        root=tree.root(leaves(claims)).hex(),
        seen=Seen(root=frontier.root().hex(), size=head.size),
    )
    envelope = dsse.encode(dsse.sign(PAYLOAD_TYPE, canonical.encode(statement), author_id, author.sign))

    logged = max(now, head.logged)
    first = head.size + 1
    hashes = chain(
        claims,
        head.hash,
        position=first,
        logged=time_text(logged),
        count=len(drafts),
        commit=sha256(envelope).hexdigest(),
    )
    entries = tuple(map(Entry, range(first, first + len(drafts)), drafts, digests, hashes))
    frontier.extend(hashes)
    checkpoint = note.seal(note.Checkpoint(origin, frontier.size, frontier.root()), log.sign, log.public)
    return Commit(
        first=first,
        entries=entries,
        author=author_id,
        command=command,
        logged=logged,
        envelope=envelope,
        checkpoint=checkpoint,
        head=Head(frontier.size, hashes[-1], frontier.to_bytes(), logged),
    )


def open_statement(envelope: bytes, author: str, public: bytes) -> Statement:
    """Verify an envelope under `public`, then read it. Every byte of it is accounted for.

    Raises MalformedError for any other spelling of the same content, AlteredError where the signature does not hold.
    """
    parsed = dsse.decode_strict(envelope, max_size=MAX_ENVELOPE)
    if parsed.payload_type != PAYLOAD_TYPE:
        raise MalformedError(f"payload type {parsed.payload_type!r} is not {PAYLOAD_TYPE}")
    if len(parsed.signatures) != 1 or parsed.signatures[0].keyid != author:
        raise MalformedError("not exactly one signature under the author's key id")
    payload = dsse.verify(parsed, [public])
    if not canonical.is_canonical(payload):
        raise MalformedError("the signed statement is not canonical JSON")
    try:
        return _statement.decode(payload)
    except msgspec.DecodeError as error:
        raise MalformedError(f"the signed statement is not one of ours: {error}") from None
