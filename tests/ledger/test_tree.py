"""Laws of the Merkle tree, against the RFC's own recursion and the vectors of Certificate Transparency."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import AlteredError, MalformedError
from ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(index.to_bytes(2, "big")) for index in range(64)]
ROOTS = [root(LEAVES[:size]) for size in range(65)]

# The reference vectors of Certificate Transparency (google/certificate-transparency, merkletree tests).
CT_DATA = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_LEAVES = [leaf_hash(bytes.fromhex(data)) for data in CT_DATA]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = [  # index, size, proof
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [  # first, second, proof
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def recursive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def flip(raw: bytes, bit: int) -> bytes:
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def pairs_up_to(size: int) -> list[tuple[int, int]]:
    return [(first, second) for second in range(size + 1) for first in range(second + 1)]


# Roots


def test_leaves_and_nodes_are_hashed_in_separate_domains() -> None:
    assert leaf_hash(b"ab") == sha256(b"\x00ab").digest()
    assert node_hash(b"a", b"b") == sha256(b"\x01ab").digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


@given(st.integers(min_value=0, max_value=300))
def test_a_root_is_that_of_the_recursion_of_the_rfc(size: int) -> None:
    leaves = [leaf_hash(bytes([index % 251])) for index in range(size)]
    assert root(leaves) == recursive_root(leaves)


def test_computing_a_root_leaves_its_input_alone() -> None:
    leaves = LEAVES[:7]
    root(leaves)
    root(tuple(leaves))
    assert leaves == LEAVES[:7]


# Frontier


def test_a_frontier_grown_one_by_one_has_the_root_of_every_prefix() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, start=1):
        frontier.append(leaf)
        assert (frontier.size, frontier.root()) == (size, ROOTS[size])


@given(st.lists(st.integers(min_value=0, max_value=70), max_size=8), st.booleans())
def test_a_frontier_does_not_depend_on_how_its_leaves_were_grouped(groups: list[int], stored: bool) -> None:
    leaves = [leaf_hash(index.to_bytes(2, "big")) for index in range(sum(groups))]
    grouped, single = Frontier(), Frontier()
    start = 0
    for count in groups:
        grouped.extend(iter(leaves[start : start + count]))
        start += count
        if stored:
            grouped = Frontier.from_bytes(grouped.size, grouped.to_bytes())
        assert grouped.root() == root(leaves[:start])
    for leaf in leaves:
        single.append(leaf)
    assert (grouped.size, grouped.hashes) == (single.size, single.hashes)


@given(st.integers(min_value=0, max_value=64))
def test_a_stored_frontier_comes_back_whole(size: int) -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    raw = frontier.to_bytes()
    assert len(raw) == 32 * size.bit_count()
    again = Frontier.from_bytes(size, raw)
    assert (again.size, again.hashes, again.to_bytes(), again.root()) == (size, frontier.hashes, raw, ROOTS[size])


def test_a_frontier_taken_before_an_append_is_not_changed_by_it() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    before = Frontier(frontier.size, frontier.hashes)
    frontier.extend(LEAVES[5:9])
    assert (before.size, before.root()) == (5, ROOTS[5])


@pytest.mark.parametrize(
    ("size", "raw"),
    [
        (0, b"x"),
        (0, bytes(32)),
        (1, b""),
        (1, bytes(31)),
        (1, bytes(33)),
        (3, bytes(32)),
        (3, bytes(63)),
        (-1, bytes(32)),
    ],
)
def test_a_frontier_whose_hashes_do_not_fit_its_size_is_malformed(size: int, raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Frontier.from_bytes(size, raw)


# Proofs


@pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int, proof: list[str]) -> None:
    assert [each.hex() for each in inclusion_proof(CT_LEAVES[:size], index)] == proof
    verify_inclusion(CT_LEAVES[index], index, size, [bytes.fromhex(each) for each in proof], root(CT_LEAVES[:size]))


@pytest.mark.parametrize(("first", "second", "proof"), CT_CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(first: int, second: int, proof: list[str]) -> None:
    assert [each.hex() for each in consistency_proof(CT_LEAVES[:second], first)] == proof
    old, new = bytes.fromhex(CT_ROOTS[first]), bytes.fromhex(CT_ROOTS[second])
    verify_consistency(first, second, old, new, [bytes.fromhex(each) for each in proof])


@pytest.mark.parametrize("size", range(1, 65))
def test_every_leaf_of_every_tree_is_proved_and_at_no_other_place(size: int) -> None:
    for index in range(size):
        proof = inclusion_proof(LEAVES[:size], index)
        verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
        for other in {(index + 1) % size, index ^ 1, size - 1} - {index}:
            with pytest.raises((AlteredError, MalformedError)):
                verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])
            with pytest.raises(AlteredError):
                verify_inclusion(LEAVES[other], index, size, proof, ROOTS[size])


@pytest.mark.parametrize("second", range(65))
def test_every_tree_extends_each_of_its_prefixes_and_no_other_tree(second: int) -> None:
    stranger = leaf_hash(b"stranger")
    for first in range(second + 1):
        proof = consistency_proof(LEAVES[:second], first)
        verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)
        with pytest.raises(AlteredError):
            verify_consistency(first, second, stranger, ROOTS[second], proof)
        if first:
            with pytest.raises(AlteredError):
                verify_consistency(first, second, ROOTS[first], stranger, proof)


@pytest.mark.parametrize("size", range(1, 65))
def test_no_element_of_an_inclusion_proof_can_be_flipped_dropped_or_added(size: int) -> None:
    for index in range(size):
        proof = inclusion_proof(LEAVES[:size], index)
        for place, each in enumerate(proof):
            for changed in ([flip(each, (index * 7 + place) % 256)], [], [each, each]):
                with pytest.raises(AlteredError):
                    verify_inclusion(
                        LEAVES[index], index, size, [*proof[:place], *changed, *proof[place + 1 :]], ROOTS[size]
                    )
        with pytest.raises(AlteredError):
            verify_inclusion(LEAVES[index], index, size, [*proof, LEAVES[0]], ROOTS[size])


@pytest.mark.parametrize("second", range(1, 65))
def test_no_element_of_a_consistency_proof_can_be_flipped_dropped_or_added(second: int) -> None:
    for first in range(second + 1):
        proof = consistency_proof(LEAVES[:second], first)
        for place, each in enumerate(proof):
            for changed in ([flip(each, (first * 7 + place) % 256)], [], [each, each]):
                altered = [*proof[:place], *changed, *proof[place + 1 :]]
                with pytest.raises(AlteredError):
                    verify_consistency(first, second, ROOTS[first], ROOTS[second], altered)
        with pytest.raises(AlteredError):
            verify_consistency(first, second, ROOTS[first], ROOTS[second], [*proof, LEAVES[0]])


@given(st.data(), st.sampled_from(pairs_up_to(40)))
def test_a_flipped_bit_anywhere_in_a_proof_is_found(data: st.DataObject, sizes: tuple[int, int]) -> None:
    index, size = sizes[0], sizes[1] + 1
    inclusion = b"".join(inclusion_proof(LEAVES[:size], index))
    consistency = b"".join(consistency_proof(LEAVES[:size], index))
    if inclusion:
        raw = flip(inclusion, data.draw(st.integers(0, len(inclusion) * 8 - 1)))
        with pytest.raises(AlteredError):
            verify_inclusion(LEAVES[index], index, size, hashes_of(raw), ROOTS[size])
    if consistency:
        raw = flip(consistency, data.draw(st.integers(0, len(consistency) * 8 - 1)))
        with pytest.raises(AlteredError):
            verify_consistency(index, size, ROOTS[index], ROOTS[size], hashes_of(raw))


@pytest.mark.parametrize("claimed", [1, 2, 4, 9, 16, 64])
def test_a_proof_for_a_tree_of_another_height_is_refused_although_its_hashes_lead_to_the_root(claimed: int) -> None:
    with pytest.raises(AlteredError):
        verify_inclusion(LEAVES[0], 0, claimed, inclusion_proof(LEAVES[:8], 0), ROOTS[8])
    if claimed > 1:
        with pytest.raises(AlteredError):
            verify_consistency(1, claimed, ROOTS[1], ROOTS[8], consistency_proof(LEAVES[:8], 1))


@pytest.mark.parametrize(("index", "size"), [(0, 1), (1, 2), (3, 4)])
def test_the_right_edge_of_a_tree_cannot_pose_as_that_of_a_smaller_one(index: int, size: int) -> None:
    # Past the claimed height the iterative algorithm would go on hashing to the left, as the true right edge does.
    with pytest.raises(AlteredError):
        verify_inclusion(LEAVES[7], index, size, inclusion_proof(LEAVES[:8], 7), ROOTS[8])
    with pytest.raises(AlteredError):
        verify_consistency(3, 4, ROOTS[7], ROOTS[8], consistency_proof(LEAVES[:8], 7))


def hashes_of(raw: bytes) -> list[bytes]:
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


def test_a_rewritten_leaf_breaks_consistency_with_the_old_head() -> None:
    rewritten = [leaf_hash(b"rewritten"), *LEAVES[1:40]]
    with pytest.raises(AlteredError) as found:
        verify_consistency(20, 40, ROOTS[20], root(rewritten), consistency_proof(rewritten, 20))
    assert found.value.attack == "forked"


def test_a_tree_that_shrank_is_truncated_and_not_merely_malformed() -> None:
    with pytest.raises(AlteredError) as found:
        verify_consistency(9, 8, ROOTS[9], ROOTS[8], [])
    assert found.value.attack == "truncated"


def test_two_trees_of_one_size_must_have_one_root() -> None:
    with pytest.raises(AlteredError) as found:
        verify_consistency(8, 8, ROOTS[8], ROOTS[7], [])
    assert found.value.attack == "forked"


def test_the_empty_tree_has_one_root_only() -> None:
    for first_root, second, second_root in (
        (ROOTS[1], 5, ROOTS[5]),
        (ROOTS[1], 0, ROOTS[1]),
        (EMPTY_ROOT, 0, ROOTS[1]),
    ):
        with pytest.raises(AlteredError):
            verify_consistency(0, second, first_root, second_root, [])


@pytest.mark.parametrize("count", [31, 33])
def test_hashes_of_other_lengths_cannot_be_shifted_into_each_other(count: int) -> None:
    proof = inclusion_proof(LEAVES[:2], 0)
    both = LEAVES[0] + proof[0]
    with pytest.raises(MalformedError):
        verify_inclusion(both[:count], 0, 2, [both[count:]], ROOTS[2])
    with pytest.raises(MalformedError):
        verify_consistency(1, 2, both[:count], ROOTS[2], [both[count:]])
    with pytest.raises(MalformedError):
        verify_inclusion(LEAVES[0], 0, 2, proof, (ROOTS[2] * 2)[:count])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (8, 7)])
def test_places_outside_of_the_tree_are_malformed(index: int, size: int) -> None:
    with pytest.raises(MalformedError):
        inclusion_proof(LEAVES[:size], index)
    with pytest.raises(MalformedError):
        verify_inclusion(LEAVES[0], index, size, [], ROOTS[size])


@pytest.mark.parametrize("first", [-1, 4])
def test_sizes_outside_of_the_tree_are_malformed(first: int) -> None:
    with pytest.raises(MalformedError):
        consistency_proof(LEAVES[:3], first)


@pytest.mark.parametrize(("first", "second"), [(-1, 3), (-2, -1)])
def test_a_negative_size_is_malformed(first: int, second: int) -> None:
    with pytest.raises(MalformedError):
        verify_consistency(first, second, ROOTS[1], ROOTS[3], [])
