"""The worked example of `ledger/README.md`, recomputed twice: by the ledger room, and from the text of the README alone.

The second way uses nothing of ours (hashlib, base64, rfc8785 and `cryptography`'s Ed25519), so
that the specification is shown to be sufficient by itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import canonical, schema
from ledger.commit import Commit, Draft, Head, seal
from ledger.entry import content_bytes, header_bytes, parse_time
from ledger.events.artifact import ArtifactDeclared
from ledger.events.ledger import LedgerCreated
from ledger.identity import parse_trust_root, trust_root
from ledger.keys import signer
from ledger.mapper import encode_event
from ledger.reader import Reader
from ledger.verify import verify
from ledger.writer import register

README = Path(__file__).resolve().parents[2] / "ledger" / "README.md"
BLOCK = re.compile(r"^```text example=([a-z-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """What the README fixes (seeds, salts, times ...), and the bytes that it says follow."""

    inputs: dict[str, str]
    blocks: dict[str, str]

    def lines(self, name: str) -> list[str]:
        """Give a block's lines."""
        return self.blocks[name].splitlines()

    @property
    def times(self) -> list[str]:
        """Give the author's time of each of the four entries."""
        return [self.inputs["time-1"]] * 3 + [self.inputs["time-2"]]


@pytest.fixture(scope="module")
def example() -> Example:
    blocks = dict(BLOCK.findall(README.read_text(encoding="utf-8")))
    inputs = dict(line.split(maxsplit=1) for line in blocks["inputs"].splitlines())
    return Example(inputs, blocks)


# The first way: the ledger room.


def sealed(example: Example) -> list[Commit]:
    """Seal the example's two commits by `ledger.commit`."""
    given = example.inputs
    author, log = (signer(bytes.fromhex(given[name])) for name in ("author-seed", "log-seed"))
    ledger, origin = given["ledger"], given["origin"]
    placed = [
        (f"ledger/{ledger}", LedgerCreated(ledger=ledger, origin=origin, soup_version=given["soup-version"])),
        (f"key/{author.key_id}", register(ledger, "author", author, f"{origin}/author")),
        (f"key/{log.key_id}", register(ledger, "log", log, origin)),
        (f"dataset/{given['data']}", ArtifactDeclared(role="data", sha256=given["data"])),
    ]
    drafts = [
        Draft(stream, 1, type(event).TYPE, parse_time(time), encode_event(event), bytes.fromhex(given[f"salt-{n}"]))
        for n, ((stream, event), time) in enumerate(zip(placed, example.times, strict=True), 1)
    ]
    commits: list[Commit] = []
    head, previous = Head(), None
    for number, part in enumerate((drafts[:3], drafts[3:]), 1):
        commits.append(
            seal(
                head,
                part,
                ledger=ledger,
                origin=origin,
                command=given[f"command-{number}"],
                author=author,
                log=log,
                previous=previous,
                now=parse_time(given[f"logged-{number}"]),
            )
        )
        head, previous = commits[-1].head, canonical.sha256(commits[-1].envelope).hex()
    return commits


def test_the_ledger_room_gives_the_bytes_of_the_example(example: Example) -> None:
    commits = sealed(example)
    entries = [(commit, index, entry) for commit in commits for index, entry in enumerate(commit.entries)]
    assert example.lines("payloads") == [entry.draft.payload.decode() for _, _, entry in entries]
    assert example.lines("payload-digests") == [entry.payload_digest.hex() for _, _, entry in entries]
    assert example.lines("hashes") == [entry.hash.hex() for _, _, entry in entries]
    assert example.lines("envelopes") == [commit.envelope.decode() for commit in commits]
    assert example.lines("commits") == [canonical.sha256(commit.envelope).hex() for commit in commits]
    assert [example.blocks["checkpoint-one"], example.blocks["checkpoint-two"]] == [c.checkpoint for c in commits]

    previous, headers = "0" * 64, []
    for commit, index, entry in entries:
        draft = entry.draft
        content = content_bytes(
            draft.stream, draft.version, draft.event_type, draft.time, commit.command, commit.author,
            entry.payload_digest.hex(), len(draft.payload),
        )  # fmt: skip
        logged = example.inputs["logged-1" if commit.first == 1 else "logged-2"]
        digest = canonical.sha256(commit.envelope).hex()
        headers.append(header_bytes(content, entry.position, previous, logged, index, len(commit.entries), digest))
        previous = entry.hash.hex()
    assert example.lines("headers") == [header.decode() for header in headers]


def test_a_ledger_filled_by_hand_from_the_example_verifies_under_its_trust_root(
    example: Example, tmp_path: Path
) -> None:
    """The README's table of columns and nothing else says which bytes go where."""
    path = tmp_path / "ledger.db"
    fill(path, example)
    root = parse_trust_root(example.blocks["trust-root"].encode())
    with Reader.open_foreign(path) as reader:
        result = verify(reader, trust=root, heads=[example.blocks["checkpoint-one"]])
    assert (result.size, result.commits, result.heads_checked, result.open_questions) == (4, 2, 1, [])
    assert result.checkpoint == example.blocks["checkpoint-two"]
    assert trust_root(result.identity).decode() == example.blocks["trust-root"]


def fill(path: Path, example: Example) -> None:
    headers = [json.loads(line) for line in example.lines("headers")]
    hashes = [bytes.fromhex(line) for line in example.lines("hashes")]
    envelopes = example.lines("envelopes")
    with closing(sqlite3.connect(path)) as database:
        for statement in (*schema.statements(), *schema.PRAGMAS):
            database.execute(statement)
        for first, number, envelope in ((1, "one", envelopes[0]), (4, "two", envelopes[1])):
            content, log = headers[first - 1]["content"], headers[first - 1]["log"]
            database.execute(
                "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    first, log["count"], bytes.fromhex(content["author"]), content["command"], micros(log["logged"]),
                    envelope.encode(), example.blocks[f"checkpoint-{number}"],
                ),
            )  # fmt: skip
        for position, header in enumerate(headers, 1):
            content, log = header["content"], header["log"]
            database.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    position, content["stream"], content["version"], content["type"], position - log["index"],
                    micros(content["time"]), bytes.fromhex(content["payload"]), content["size"], hashes[position - 1],
                ),
            )  # fmt: skip
            salt = bytes.fromhex(example.inputs[f"salt-{position}"])
            body = example.lines("payloads")[position - 1].encode()
            database.execute("INSERT INTO payloads VALUES (?, ?, ?)", (position, salt, body))
        root = base64.b64decode(example.lines("checkpoint-two")[2])  # a tree of four leaves is one full subtree
        database.execute("INSERT INTO head VALUES (1, 4, ?, ?)", (hashes[3], root))
        database.commit()


# The second way: from the text of the README, with nothing of ours.


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def leaf(raw: bytes) -> bytes:
    return sha256(b"\x00" + raw)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, by its own recursion."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:]))


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def micros(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class Key:
    """An Ed25519 key, by another implementation than the ledger's."""

    def __init__(self, seed: str, name: str) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        self.public = self._private.public_key().public_bytes_raw()
        self.id, self.name = sha256(self.public).hex(), name
        self.short = sha256(name.encode() + b"\n\x01" + self.public)[:4]
        self.vkey = f"{name}+{self.short.hex()}+{b64(bytes([1]) + self.public)}"

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def registered(self, ledger: str, role: str) -> dict[str, Any]:
        proof = self.sign(f"soup-key-possession/1\n{ledger}\n{role}\n{self.public.hex()}\n".encode())
        return {
            "admin": role == "author", "key": self.id, "name": self.vkey, "proof": proof.hex(),
            "public": self.public.hex(), "role": role,
        }  # fmt: skip


def independent(example: Example) -> dict[str, str]:
    """Build every block of the example from its inputs, as the README tells."""
    given = example.inputs
    ledger, origin = given["ledger"], given["origin"]
    author, log = Key(given["author-seed"], f"{origin}/author"), Key(given["log-seed"], origin)
    facts: list[tuple[str, str, dict[str, Any]]] = [
        (
            "ledger.created/1",
            f"ledger/{ledger}",
            {"ledger": ledger, "origin": origin, "soup_version": given["soup-version"]},
        ),
        ("key.registered/1", f"key/{author.id}", author.registered(ledger, "author")),
        ("key.registered/1", f"key/{log.id}", log.registered(ledger, "log")),
        ("artifact.declared/1", f"dataset/{given['data']}", {"role": "data", "sha256": given["data"]}),
    ]
    payloads = [rfc8785.dumps(payload) for _, _, payload in facts]
    digests = [sha256(bytes.fromhex(given[f"salt-{n}"]) + payload) for n, payload in enumerate(payloads, 1)]
    headers: list[str] = []
    hashes: list[bytes] = []
    statements: list[bytes] = []
    envelopes: list[bytes] = []
    checkpoints: list[str] = []
    for number, first, last in ((1, 0, 3), (2, 3, 4)):
        contents: list[dict[str, Any]] = [
            {
                "author": author.id, "command": given[f"command-{number}"], "format": 1, "payload": digests[n].hex(),
                "size": len(payloads[n]), "stream": facts[n][1], "time": example.times[n], "type": facts[n][0], "version": 1,
            }
            for n in range(first, last)
        ]  # fmt: skip
        statement: dict[str, Any] = {
            "author": author.id,
            "command": given[f"command-{number}"],
            "count": last - first,
            "ledger": ledger,
            "previous": sha256(envelopes[-1]).hex() if envelopes else None,
            "root": root_of([leaf(rfc8785.dumps(content)) for content in contents]).hex(),
            "seen": {"root": root_of(hashes).hex(), "size": first},
        }
        statements.append(rfc8785.dumps(statement))
        kind = "application/vnd.soup.commit.v1+json"
        signed = author.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(statements[-1]), statements[-1]))
        envelopes.append(
            rfc8785.dumps(
                {
                    "payload": b64(statements[-1]),
                    "payloadType": kind,
                    "signatures": [{"keyid": author.id, "sig": b64(signed)}],
                }
            )
        )
        for index, content in enumerate(contents):
            order: dict[str, Any] = {
                "commit": sha256(envelopes[-1]).hex(),
                "count": last - first,
                "index": index,
                "logged": given[f"logged-{number}"],
                "position": first + index + 1,
                "previous": hashes[-1].hex() if hashes else "0" * 64,
            }
            header = rfc8785.dumps({"content": content, "log": order})
            headers.append(header.decode())
            hashes.append(leaf(header))
        body = f"{origin}\n{len(hashes)}\n{b64(root_of(hashes))}\n"
        checkpoints.append(f"{body}\n\N{EM DASH} {origin} {b64(log.short + log.sign(body.encode()))}\n")
    trusted = {"author": author.vkey, "format": "soup-trust-root/1", "ledger": ledger, "log": log.vkey}
    many: dict[str, Sequence[str]] = {
        "keys": [f"author {author.public.hex()} {author.id}", f"log {log.public.hex()} {log.id}"],
        "payloads": [payload.decode() for payload in payloads],
        "payload-digests": [digest.hex() for digest in digests],
        "headers": headers,
        "hashes": [one.hex() for one in hashes],
        "statements": [statement.decode() for statement in statements],
        "envelopes": [envelope.decode() for envelope in envelopes],
        "commits": [sha256(envelope).hex() for envelope in envelopes],
        "trust-root": [rfc8785.dumps(trusted).decode()],
    }
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in many.items()} | {
        "checkpoint-one": checkpoints[0],
        "checkpoint-two": checkpoints[1],
    }


def test_the_text_of_the_readme_is_enough_to_compute_every_byte_of_the_example(example: Example) -> None:
    computed = independent(example)
    assert computed.keys() == example.blocks.keys() - {"inputs"}
    for name, block in computed.items():
        assert example.blocks[name] == block, name
