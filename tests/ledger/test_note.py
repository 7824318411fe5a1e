"""Laws of signed notes and checkpoints, with vectors of the Go implementation and of the specification."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ledger.errors import AlteredError, LedgerError, MalformedError
from ledger.note import (
    MAX_SIGNATURES,
    Checkpoint,
    Signature,
    VerifierKey,
    decode_base64,
    encode_base64,
    key_id,
    open_checkpoint,
    open_note,
    open_sealed,
    parse_checkpoint_body,
    parse_note,
    parse_verifier_key,
    seal,
    verifier_key,
    verify_signature,
)

# golang.org/x/mod/sumdb/note, the example of its documentation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
GO_NOTE = f"{GO_TEXT}\n{GO_LINE}"
# c2sp.org/tlog-checkpoint, the example of the specification.
C2SP_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)

ORIGIN = "soup-ledger/" + "5a" * 32
CHECKPOINT = Checkpoint(ORIGIN, 1234, sha256(b"root").digest())


class Signer:
    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed * 32)
        self.public = bytes(self._key.verify_key)
        self.key = VerifierKey(name, self.public)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature

    def line(self, body: str) -> str:
        return Signature(self.key.name, self.key.id, self.sign(body.encode())).line()


LOG = Signer(ORIGIN, b"l")
OTHER = Signer("other.example", b"o")
SEALED = seal(CHECKPOINT, LOG.sign, LOG.public)

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1)
lines = st.text(st.characters(codec="utf-8", exclude_characters="".join(map(chr, range(32)))), min_size=1)
checkpoints = st.builds(
    Checkpoint,
    origin=lines,
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    extensions=st.lists(lines, max_size=3).map(tuple),
)


# Verifier keys


def test_the_verifier_key_of_the_go_implementation_is_read_and_printed_alike() -> None:
    key = parse_verifier_key(GO_KEY)
    assert (key.name, key.id.hex()) == ("PeterNeumann", "c74f20a3")
    assert verifier_key(key.name, key.public) == GO_KEY


@given(names, st.binary(min_size=32, max_size=32))
def test_a_verifier_key_comes_back_whole(name: str, public: bytes) -> None:
    assert parse_verifier_key(verifier_key(name, public)) == VerifierKey(name, public)


def test_a_key_id_covers_name_type_and_key() -> None:
    assert key_id("n", b"k" * 32) == sha256(b"n\n\x01" + b"k" * 32).digest()[:4]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        GO_KEY + "\n",
        GO_KEY + "=",
        GO_KEY[:-1],
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("c74f20a3", "c74f20a"),
        GO_KEY.replace("+ARpc", "+AhpcAA"),
        GO_KEY.replace("PeterNeumann", ""),
        GO_KEY.replace("PeterNeumann", "PeterNeuman"),
        GO_KEY.replace("PeterNeumann", "\ud800"),
        GO_KEY.replace("+ARpc", "+BBpc"),
        verifier_key("n", b"k" * 32).replace("AWtra2tr", "AWtra2t\u00e9"),
    ],
)
def test_text_that_is_no_verifier_key_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\tb", "a\x00", "a\x7f", "a\x85", "a\u00a0b", "a\u2028b", "a\u3000"]
)
def test_a_key_name_has_no_spaces_pluses_or_control_characters(name: str) -> None:
    with pytest.raises(MalformedError):
        VerifierKey(name, b"k" * 32)


@given(st.binary(max_size=40).filter(lambda raw: len(raw) != 32))
def test_a_public_key_has_32_bytes(public: bytes) -> None:
    with pytest.raises(MalformedError):
        verifier_key("n", public)
    with pytest.raises(MalformedError):
        parse_verifier_key("+".join(("n", key_id("n", public).hex(), encode_base64(b"\x01" + public))))


@given(st.text())
def test_reading_a_verifier_key_is_total(text: str) -> None:
    try:
        key = parse_verifier_key(text)
    except MalformedError:
        return
    assert verifier_key(key.name, key.public) == text


# Checkpoints


def test_a_checkpoint_is_three_lines() -> None:
    assert Checkpoint("o", 3, bytes(32)).body() == f"o\n3\n{'A' * 43}=\n"


@given(checkpoints)
def test_a_checkpoint_comes_back_whole(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint_body(checkpoint.body(), extensions=True) == checkpoint


@given(checkpoints.filter(lambda checkpoint: bool(checkpoint.extensions)))
def test_extension_lines_are_refused_unless_asked_for(checkpoint: Checkpoint) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint_body(checkpoint.body())


@given(checkpoints, st.data())
def test_an_edited_checkpoint_is_another_one_or_malformed_but_never_the_same(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    body = checkpoint.body()
    place = data.draw(st.integers(0, len(body) - 1))
    edited = body[:place] + data.draw(st.text(max_size=2)) + body[place + 1 :]
    try:
        again = parse_checkpoint_body(edited, extensions=True)
    except MalformedError:
        return
    assert again.body() == edited
    assert (again == checkpoint) == (edited == body)


ROOT = "A" * 43 + "="


@pytest.mark.parametrize(
    "body",
    [
        "",
        "o\n3\n",
        f"o\n3\n{ROOT}",
        f"o\n3\n{ROOT}\n\n",
        f"\n3\n{ROOT}\n",
        f"o\n03\n{ROOT}\n",
        f"o\n+3\n{ROOT}\n",
        f"o\n-3\n{ROOT}\n",
        f"o\n 3\n{ROOT}\n",
        f"o\n3_0\n{ROOT}\n",
        f"o\n٣\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"o\n{'9' * 5000}\n{ROOT}\n",
        f"o\n3\r\n{ROOT}\n",
        f"o\r\n3\n{ROOT}\n",
        f"o\x00\n3\n{ROOT}\n",
        f"o\n3\n{ROOT[:-1]}\n",
        f"o\n3\n{ROOT}=\n",
        f"o\n3\n {ROOT}\n",
        f"o\n3\n{ROOT[:-2]}B=\n",
        f"o\n3\n{'A' * 40}\n",
        f"o\n3\n{'A' * 44}\n",
        f"o\n3\n{'_' * 43}=\n",
    ],
)
def test_a_body_that_is_no_checkpoint_is_malformed(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint_body(body, extensions=True)


@pytest.mark.parametrize(
    "change", [{"origin": ""}, {"origin": "a\nb"}, {"size": -1}, {"size": 2**63}, {"root": bytes(31)}]
)
def test_a_checkpoint_without_an_encoding_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(**{"origin": "o", "size": 0, "root": bytes(32)} | change)  # type: ignore[arg-type]  # one field is wrong


# Notes


def test_the_example_of_the_specification_is_a_note_with_a_checkpoint() -> None:
    note = parse_note(C2SP_CHECKPOINT)
    checkpoint = parse_checkpoint_body(note.body)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert [(each.name, each.key_id.hex()) for each in note.signatures] == [("example.com/behind-the-sofa", "033de0ae")]
    assert note.text() == C2SP_CHECKPOINT


def test_the_note_of_the_go_implementation_is_verified() -> None:
    note = open_note(GO_NOTE.encode(), [parse_verifier_key(GO_KEY)])
    assert note.body == GO_TEXT
    assert note.text() == GO_NOTE


def test_a_note_is_split_at_its_last_empty_line() -> None:
    text = "a\n\n— n AAAAAAA=\n\nb\n"
    assert parse_note(f"{text}\n— n AAAAAAA=\n").body == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n",
        GO_TEXT,
        GO_TEXT + "\n",
        GO_TEXT + GO_LINE,
        GO_NOTE[:-1],
        GO_NOTE + "\n",
        GO_NOTE + "x",
        GO_NOTE + "trailing\n",
        GO_NOTE + "\n\n",
        GO_NOTE.replace("—", "-"),
        GO_NOTE.replace("— ", "—"),
        GO_NOTE.replace("— ", "—  "),
        GO_NOTE.replace("— ", "—\u00a0"),
        GO_NOTE.replace("PeterNeumann x08", "PeterNeumann  x08"),
        GO_NOTE.replace("PeterNeumann", "Peter+Neumann"),
        GO_NOTE.replace("PeterNeumann", "Peter\u2003Neumann"),
        GO_NOTE.replace("nAM=\n", "nAM= \n"),
        GO_NOTE.replace("nAM=\n", "nAM\n"),
        GO_NOTE.replace("nAM=\n", "nAN=\n"),
        GO_NOTE.replace("/", "_"),
        GO_NOTE.replace("\n", "\r\n"),
        GO_NOTE.replace("problem", "prob\tlem"),
        GO_NOTE.replace("problem", "prob\x00lem"),
        GO_NOTE.replace("problem", "prob\ud800lem"),
        f"{GO_TEXT}\n— n x08gow==\n",  # a key id without a signature
        f"{GO_TEXT}\n— n \n",
        f"{GO_TEXT}\n— n\n",
        f"{GO_TEXT}\n—  x08go/Y=\n",
    ],
)
def test_text_that_is_no_note_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_note(text)


def test_a_note_is_utf_8() -> None:
    for raw in (
        GO_NOTE.encode("utf-16"),
        GO_NOTE.encode().replace(b"problem", b"\xff"),
        b"\xc0\x80" + GO_NOTE.encode(),
    ):
        with pytest.raises(MalformedError):
            parse_note(raw)


def test_a_note_has_at_most_its_size_in_bytes() -> None:
    size = len(GO_NOTE.encode())
    parse_note(GO_NOTE, max_size=size)
    for text in (GO_NOTE, GO_NOTE.encode()):
        with pytest.raises(MalformedError):
            parse_note(text, max_size=size - 1)


def test_a_note_has_at_most_a_hundred_signatures() -> None:
    assert len(parse_note(f"t\n\n{GO_LINE * MAX_SIGNATURES}").signatures) == MAX_SIGNATURES
    with pytest.raises(MalformedError):
        parse_note(f"t\n\n{GO_LINE * (MAX_SIGNATURES + 1)}")


@given(st.one_of(st.text(), st.binary(), st.text().map(lambda body: f"{body}\n\n{GO_LINE}")))
def test_reading_a_note_is_total(text: str | bytes) -> None:
    try:
        note = parse_note(text)
    except MalformedError:
        return
    assert note.text() == (text if isinstance(text, str) else text.decode())


# Verification


@given(checkpoints.filter(lambda checkpoint: not checkpoint.extensions), names)
def test_a_sealed_checkpoint_opens_to_itself(checkpoint: Checkpoint, origin: str) -> None:
    checkpoint = msgspec.structs.replace(checkpoint, origin=origin)
    text = seal(checkpoint, LOG.sign, LOG.public)
    key = VerifierKey(origin, LOG.public)
    assert open_checkpoint(text, key) == open_checkpoint(text.encode(), key) == open_sealed(text, key) == checkpoint
    assert len(parse_note(text).signatures) == 1


def test_every_flipped_bit_of_a_sealed_note_is_refused() -> None:
    raw = SEALED.encode()
    assert open_checkpoint(raw, LOG.key) == CHECKPOINT
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((AlteredError, MalformedError)):
            open_checkpoint(bytes(flipped), LOG.key)


@given(st.data())
def test_every_edit_of_a_sealed_note_is_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SEALED)))
    end = data.draw(st.integers(start, min(start + 3, len(SEALED))))
    edited = SEALED[:start] + data.draw(st.text(max_size=3)) + SEALED[end:]
    if edited != SEALED:
        with pytest.raises(LedgerError):
            open_sealed(edited, LOG.key)


def test_unknown_signatures_beside_the_logs_own_are_ignored_but_not_at_rest() -> None:
    cosigned = SEALED + OTHER.line(CHECKPOINT.body())
    assert open_checkpoint(cosigned, LOG.key) == CHECKPOINT
    with pytest.raises(AlteredError):
        open_sealed(cosigned, LOG.key)
    with pytest.raises(AlteredError):
        open_sealed(SEALED + LOG.line(CHECKPOINT.body()), LOG.key)


def test_only_verified_signatures_are_returned_one_a_key() -> None:
    body = "text\n"
    text = f"{body}\n{GO_LINE}{LOG.line(body)}{OTHER.line(body)}{LOG.line(body)}"
    opened = open_note(text, [OTHER.key, LOG.key, LOG.key])
    assert opened.body == body
    assert [each.name for each in opened.signatures] == [LOG.key.name, OTHER.key.name]


def test_a_known_keys_signature_that_fails_condemns_the_note_even_beside_a_good_one() -> None:
    body = "text\n"
    forged = LOG.line("another text\n")
    for text in (
        f"{body}\n{forged}{LOG.line(body)}",
        f"{body}\n{LOG.line(body)}{forged}",
        f"{body}\n{OTHER.line(body)}{forged}",
    ):
        with pytest.raises(AlteredError) as found:
            open_note(text, [LOG.key, OTHER.key])
        assert found.value.attack == "forged"


@pytest.mark.parametrize("size", [1, 63, 65, 72])
def test_a_known_keys_signature_of_another_length_is_forged(size: int) -> None:
    blob = (LOG.sign(b"text\n") + b"text\n" * 2)[:size]
    with pytest.raises(AlteredError):
        open_note("text\n\n" + Signature(LOG.key.name, LOG.key.id, blob).line(), [LOG.key])


def test_a_note_that_no_trusted_key_signed_is_refused() -> None:
    same_name = VerifierKey(LOG.key.name, OTHER.public)
    same_key = VerifierKey("another.name", LOG.public)
    for keys in ([], [OTHER.key], [same_name], [same_key]):
        with pytest.raises(AlteredError) as found:
            open_note(SEALED, keys)
        assert found.value.attack == "foreign key"


def test_a_key_that_shares_name_and_id_with_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real collision of 32 bits takes minutes to find; a constant id stands for it.
    monkeypatch.setattr(VerifierKey, "id", b"same")
    with pytest.raises(MalformedError):
        open_note(SEALED, [LOG.key, VerifierKey(LOG.key.name, OTHER.public)])


def test_a_checkpoint_transplanted_from_another_log_of_the_same_key_is_refused() -> None:
    body = Checkpoint("soup-ledger/" + "00" * 32, 1234, CHECKPOINT.root).body()
    with pytest.raises(AlteredError) as found:
        open_checkpoint(f"{body}\n{LOG.line(body)}", LOG.key)
    assert found.value.attack == "foreign key"


def test_a_signed_note_that_is_no_checkpoint_is_malformed() -> None:
    with pytest.raises(MalformedError):
        open_checkpoint(GO_NOTE, parse_verifier_key(GO_KEY))


def test_a_seal_needs_an_origin_that_can_name_a_key_and_a_signature_of_64_bytes() -> None:
    with pytest.raises(MalformedError):
        seal(Checkpoint("go.sum database tree", 1, bytes(32)), LOG.sign, LOG.public)
    with pytest.raises(MalformedError):
        seal(CHECKPOINT, lambda message: LOG.sign(message)[:63], LOG.public)
    with pytest.raises(MalformedError):
        seal(CHECKPOINT, LOG.sign, LOG.public[:31])


def test_a_signature_cannot_borrow_bytes_from_its_message() -> None:
    signature = LOG.sign(b"message")
    verify_signature(LOG.public, b"message", signature)
    with pytest.raises(AlteredError):
        verify_signature(LOG.public, signature[60:] + b"message", signature[:60])


@pytest.mark.parametrize("public", [b"", b"k" * 31, b"k" * 33])
def test_a_short_public_key_is_malformed_and_never_read_past_its_end(public: bytes) -> None:
    with pytest.raises(MalformedError):
        verify_signature(public, b"message", bytes(64))


def test_a_public_key_of_small_order_signs_nothing() -> None:
    # The neutral element as key and as R with S = 0 satisfies the equation of RFC 8032 for every message.
    neutral = b"\x01" + bytes(31)
    with pytest.raises(AlteredError):
        verify_signature(neutral, b"any message", neutral + bytes(32))


# Base64


@given(st.binary(max_size=100))
def test_base64_comes_back_whole(raw: bytes) -> None:
    assert decode_base64(encode_base64(raw)) == raw


@given(st.text(st.sampled_from("ABQZaz09+/=-_ \n\u00e9"), max_size=12))
def test_base64_has_one_form(text: str) -> None:
    try:
        raw = decode_base64(text)
    except MalformedError:
        return
    assert encode_base64(raw) == text


@pytest.mark.parametrize(
    "text", ["QR==", "QQF=", "QQ", "QQ=", "QQ===", "Q", "QQ==QQ==", "QQ==\n", " QQ==", "Q-==", "Q\u00e9==", "="]
)
def test_stray_bits_characters_and_padding_are_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_base64(text)
