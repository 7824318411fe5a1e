"""Digests of rows, the tree over them, the split, and what rows declare. Needs no torch."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import manifest
from trainer.data.formats import Passage
from trainer.data.manifest import Origins, declared, is_held_out, leaf, root, threshold


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@given(st.integers(0, 70))
def test_the_root_is_the_merkle_tree_hash_of_rfc_6962(size: int) -> None:
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(size)]
    assert root(iter(leaves)) == mth(leaves)


def test_the_leaf_of_a_row_is_known_for_ever() -> None:
    assert leaf(Passage("a")) == hashlib.sha256(b'\0{"passage":"a"}').digest()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_about_the_share_that_was_asked_for_is_held_out(share: float) -> None:
    rows = [leaf(Passage(str(number))) for number in range(4000)]
    held_out = sum(is_held_out(row, threshold(share)) for row in rows)
    assert held_out == {0.0: 0, 0.1: 408, 0.5: 2005}[share]


def test_the_share_is_the_number_as_written_and_not_the_nearest_binary_one() -> None:
    assert threshold(0.1) == (1 << 256) // 10
    assert threshold(0.0) == 0
    assert threshold(0.5) == 1 << 255


@given(st.binary(min_size=32, max_size=32), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_share_holds_out_what_a_smaller_one_does(row: bytes, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_held_out(row, threshold(high)) or not is_held_out(row, threshold(low))


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"language": "EN"}, ("en", None)),
        ({"lang": "pt_BR"}, ("pt-br", None)),
        ({"language": None, "lang": "de"}, ("de", None)),
        ({"language": "english, mostly"}, (None, None)),
        ({"language": 3}, (None, None)),
        ({"url": "https://User:pw@Example.ORG:8443/secret?token=1"}, (None, "example.org")),
        ({"source": "https://example.org/a", "url": None}, (None, "example.org")),
        ({"source": "wikipedia"}, (None, "wikipedia")),
        ({"source": "a\x1b[31m"}, (None, None)),
        ({"source": " padded"}, (None, None)),
        ({"source": manifest.OTHERS}, (None, None)),
        ({"url": "https://[oops"}, (None, None)),
        ({"url": "https:///path"}, (None, None)),
        ({"url": "x" * 10_000}, (None, None)),
        ({"url": ["https://example.org"]}, (None, None)),
        ("text", (None, None)),
    ],
    ids=str,
)
def test_a_row_declares_a_language_tag_and_the_host_or_name_of_its_source(
    record: object, wanted: tuple[str | None, str | None]
) -> None:
    assert declared(record) == tuple(name or manifest.UNDECLARED for name in wanted)


def test_shares_are_told_by_size_and_what_is_not_declared_is_one_of_them() -> None:
    origins = Origins()
    for name, size in (("en", 10), ("de", 30), ("en", 5), (manifest.UNDECLARED, 1)):
        origins.count((name, manifest.UNDECLARED), size)
    assert [(share.name, share.rows, share.size) for share in origins.shares("language")] == [
        ("de", 1, 30),
        ("en", 2, 15),
        (manifest.UNDECLARED, 1, 1),
    ]
    assert origins.shares("source") == ()


def test_many_names_are_told_as_others_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_COUNTED", 150)
    origins = Origins()
    for number in range(500):
        origins.count((manifest.UNDECLARED, f"host{number}"), 2)
    shares = origins.shares("source")
    assert len(shares) == manifest.NAMED + 1
    assert shares[-1].name == manifest.OTHERS
    assert (sum(share.rows for share in shares), sum(share.size for share in shares)) == (500, 1000)
