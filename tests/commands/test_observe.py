"""What is read from outside: hashed whole and unmoved, or refused with a sentence."""

import base64
import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import observe as room
from commands.errors import InputError, UsageProblem
from commands.observe import (
    ObservedDirectory,
    ObservedFile,
    match,
    observe,
    observe_directory,
    observe_file,
    parse_sha256,
    read_small,
)

EMPTY = hashlib.sha256().hexdigest()
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address holds 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def nothing(path: Path) -> None:
    pass


NO_FILES = [
    (a_pipe, "is a named pipe"),
    (a_socket, "is a socket"),
    (a_directory, "is a directory"),
    (a_device, "is a character device"),
    (a_dangling_link, "is a symbolic link that leads nowhere"),
    (a_loop, "Too many levels of symbolic links"),
    (nothing, "No such file or directory"),
]


@pytest.mark.parametrize("read", [observe_file, lambda path: read_small(path, 100)], ids=["observe_file", "read_small"])
@pytest.mark.parametrize(("make", "sentence"), NO_FILES, ids=lambda case: getattr(case, "__name__", ""))
def test_only_a_regular_file_is_read_and_nothing_else_is_waited_for(
    tmp_path: Path, make: Callable[[Path], None], sentence: str, read: Callable[[Path], object]
) -> None:
    make(path := tmp_path / "input")
    with pytest.raises(InputError, match=sentence) as caught:
        read(path)
    assert str(path) in caught.value.sentence


def test_a_device_is_refused_without_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object, **named: object) -> int:
        raise AssertionError(arguments)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(InputError, match="is a character device"):
        observe_file("/dev/zero")


def test_a_file_swapped_for_a_pipe_after_the_check_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "input").write_bytes(b"abc")
    real = os.open

    def swapped(*arguments: Any, **named: Any) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(*arguments, **named)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(InputError, match="is a named pipe"):
        observe_file(path)


@pytest.mark.parametrize("name", ["nul\0byte", "lone\ud800surrogate"])
def test_an_impossible_name_is_a_bad_input_and_no_crash(name: str) -> None:
    with pytest.raises(InputError, match="no file can have that name"):
        observe(name)


def test_a_sentence_never_carries_control_characters_of_a_hostile_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        observe(tmp_path / "\x1b]0;owned\x07\u202e")
    assert caught.value.sentence.isprintable()


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (path := tmp_path / "abc").write_bytes(b"abc")
    assert observe_file(path) == observe(path) == ObservedFile(str(path), ABC, 3)
    (path := tmp_path / "empty").touch()
    assert observe_file(str(path)) == ObservedFile(str(path), EMPTY, 0)


@pytest.mark.parametrize("size", [room._CHUNK - 1, room._CHUNK, room._CHUNK + 1, 3 * room._CHUNK])
def test_a_digest_does_not_depend_on_where_chunks_end(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (path := tmp_path / "file").write_bytes(content)
    assert observe_file(path) == ObservedFile(str(path), hashlib.sha256(content).hexdigest(), size)
    assert read_small(path, size) == content


def test_a_named_link_is_followed_to_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"abc")
    (link := tmp_path / "link").symlink_to("target")
    assert observe(link) == ObservedFile(str(link), ABC, 3)


def test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "key").write_bytes(b"abc")
    assert read_small(path, 3) == b"abc"
    assert observe_file(path, max_bytes=3).size == 3
    for read in (read_small, observe_file):
        with pytest.raises(InputError, match="has 3 bytes, more than the 2 allowed here"):
            read(path, 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def shrink(path: Path) -> None:
    os.truncate(path, 1)


def rewrite_in_place(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, ns=(1, 1))  # the same size, and the kernel's clock may not have ticked


def replace(path: Path) -> None:
    (other := path.with_name("other")).write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("meddle", [grow, shrink, rewrite_in_place, replace])
@pytest.mark.parametrize("when", ["before the first read", "after the first read"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meddle: Callable[[Path], None], when: str
) -> None:
    (path := tmp_path / "model").write_bytes(b"abcd" * room._CHUNK)
    meddlings = [path]
    readv = os.readv

    def meddled(descriptor: int, buffers: Sequence[memoryview]) -> int:
        count = readv(descriptor, buffers) if when.startswith("after") else None
        while meddlings:
            meddle(meddlings.pop())
        return readv(descriptor, buffers) if count is None else count

    monkeypatch.setattr(os, "readv", meddled)
    with pytest.raises(InputError, match="changed while it was read"):
        observe_file(path)
    assert not meddlings


def test_a_file_whose_size_is_a_lie_is_refused() -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(InputError, match="changed while it was read"):
        observe_file("/proc/self/maps")


def test_a_file_that_never_ends_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "file").write_bytes(b"abc")
    monkeypatch.setattr(os, "readv", lambda descriptor, buffers: 1)
    with pytest.raises(InputError, match="changed while it was read"):
        observe_file(path)


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (path := root / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


NAMES = ["b", "a/z", "a.txt", "a b", "a/é", "a/\N{GRINNING FACE}", "a/\uffee", ".hidden", "a/b/c/d", "back\\tick"]


def test_a_directory_digest_is_what_sha256sum_prints_over_its_sorted_files(tmp_path: Path) -> None:
    names = [name for name in NAMES if "\\" not in name]  # sha256sum marks an escaped name with a backslash
    tree(tmp_path, *names)
    listing = subprocess.run(
        ["bash", "-c", "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    observed = observe_directory(tmp_path)
    assert listing.count(b"\n") == len(names)
    assert observed.sha256 == hashlib.sha256(listing).hexdigest()


def test_a_directory_digest_is_the_one_that_go_publishes(tmp_path: Path) -> None:
    """The line `rsc.io/quote v1.5.2/go.mod h1:...` in every go.sum that names this module is Hash1 over its go.mod."""
    (tmp_path / "go.mod").write_text('module "rsc.io/quote"\n\nrequire "rsc.io/sampler" v1.3.0\n')
    digest = base64.b64encode(bytes.fromhex(observe_directory(tmp_path).sha256))
    assert digest == b"LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0="


def test_every_file_is_recorded_by_its_relative_path_in_code_point_order(tmp_path: Path) -> None:
    observed = observe(tree(tmp_path, *NAMES))
    assert isinstance(observed, ObservedDirectory)
    assert [file.path for file in observed.files] == sorted(NAMES, key=lambda name: name.encode())
    for file in observed.files:
        assert file.sha256 == hashlib.sha256(file.path.encode()).hexdigest()
    assert observed.size == sum(len(name.encode()) for name in NAMES)
    assert observed.path == str(tmp_path)


def test_a_directory_digest_does_not_depend_on_where_it_stands_or_in_which_order_it_was_made(tmp_path: Path) -> None:
    one = observe_directory(tree(tmp_path / "one", *NAMES))
    other = observe_directory(tree(tmp_path / "other", *reversed(NAMES)))
    assert (one.sha256, one.files) == (other.sha256, other.files)


@pytest.mark.parametrize("change", ["content", "name", "one more", "one less"])
def test_a_directory_digest_changes_with_every_file(tmp_path: Path, change: str) -> None:
    before = observe_directory(tree(tmp_path, *NAMES)).sha256
    victim = tmp_path / "a/b/c/d"
    changes: dict[str, Callable[[], object]] = {
        "content": lambda: victim.write_bytes(b"?"),
        "name": lambda: victim.rename(victim.with_name("e")),
        "one more": lambda: victim.with_name("e").touch(),
        "one less": victim.unlink,
    }
    changes[change]()
    assert observe_directory(tmp_path).sha256 != before


def test_a_snapshot_of_links_into_a_blob_store_has_the_digest_of_the_files_themselves(tmp_path: Path) -> None:
    plain = tree(tmp_path / "plain", "config.json", "model/weights")
    snapshot = tmp_path / "hub/snapshots/0123"
    for blob, name in (("b1", "config.json"), ("b2", "model/weights")):
        (store := tmp_path / "hub/blobs").mkdir(parents=True, exist_ok=True)
        (store / blob).write_bytes(name.encode())
        (link := snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(store / blob)
    assert observe_directory(snapshot).sha256 == observe_directory(plain).sha256


IN_A_DIRECTORY = [*((make, text) for make, text in NO_FILES if make not in {a_directory, nothing})]


@pytest.mark.parametrize(("make", "sentence"), IN_A_DIRECTORY, ids=lambda case: getattr(case, "__name__", ""))
def test_a_directory_with_something_else_than_files_is_refused_by_its_name(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tree(tmp_path, "fine", "sub/fine") / "sub/odd")
    with pytest.raises(InputError, match=sentence) as caught:
        observe(tmp_path)
    assert "sub/odd" in caught.value.sentence


@pytest.mark.parametrize("target", ["..", ".", "/etc", "beside"])
def test_a_link_to_a_directory_is_refused_wherever_it_leads(tmp_path: Path, target: str) -> None:
    tree(tmp_path, "sub/beside/file")
    (tmp_path / "sub/link").symlink_to(target)
    with pytest.raises(InputError, match="sub/link' is a symbolic link to a directory"):
        observe(tmp_path)


@pytest.mark.parametrize(("name", "sentence"), [(b"new\nline", "has a newline"), (b"\xff", "is not UTF-8")])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_name_that_the_listing_cannot_hold_is_refused(tmp_path: Path, name: bytes, sentence: str, kind: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tree(tmp_path, "fine")) + b"/" + name))
    path.touch() if kind == "file" else path.mkdir()
    with pytest.raises(InputError, match=sentence) as caught:
        observe(tmp_path)
    assert caught.value.sentence.isprintable()


def test_a_directory_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file"):
        observe(tmp_path)


def test_a_file_that_cannot_be_observed_as_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Not a directory"):
        observe_directory(tree(tmp_path, "file") / "file")


def test_the_deepest_allowed_file_is_observed_and_one_deeper_is_refused(tmp_path: Path) -> None:
    deepest = "d/" * room.MAX_DEPTH
    assert len(observe_directory(tree(tmp_path, deepest + "f")).files) == 1
    tree(tmp_path, deepest + "d/f")
    with pytest.raises(InputError, match="nested more than 32 directories deep"):
        observe(tmp_path)


@pytest.mark.parametrize("kind", ["files", "directories"])
def test_as_many_files_as_allowed_are_observed_and_one_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tree(tmp_path, *(f"{number}" if kind == "files" else f"{number}/f" for number in range(5)))
    monkeypatch.setattr(room, "MAX_FILES", 5 if kind == "files" else 6)  # the observed directory counts, too
    assert len(observe_directory(tmp_path).files) == 5
    tree(tmp_path, "9" if kind == "files" else "9/f")
    with pytest.raises(InputError, match="holds more than"):
        observe(tmp_path)


@pytest.mark.parametrize("count", [1, 5], ids=["one file", "files in threads"])
def test_a_directory_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    tree(tmp_path, *map(str, range(count)))
    readv = os.readv

    def meddled(descriptor: int, buffers: Sequence[memoryview]) -> int:
        (tmp_path / "newcomer").touch()
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", meddled)
    with pytest.raises(InputError, match="changed while it was read"):
        observe(tmp_path)


def test_no_descriptor_and_no_thread_outlives_an_observation(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    a_pipe(tree(tmp_path, *NAMES) / "pipe")
    before = held()
    with pytest.raises(InputError):
        observe(tmp_path)
    (tmp_path / "pipe").unlink()
    observe(tmp_path)
    assert held() == before


def test_a_typed_digest_must_be_the_observed_one() -> None:
    match(None, ABC, "--base-sha", "--base-path")
    match(ABC, ABC, "--base-sha", "--base-path")
    with pytest.raises(InputError, match="--base-sha says e3b0c44298fc but --base-path has ba7816bf8f01"):
        match(EMPTY, ABC, "--base-sha", "--base-path")


def test_digests_that_differ_only_past_the_short_form_are_shown_whole() -> None:
    forged = ABC[:-1] + "0"
    with pytest.raises(InputError, match=f"says {forged} but --data has {ABC}"):
        match(forged, ABC, "--data-sha", "--data")


@given(st.binary(min_size=32, max_size=32), st.booleans(), st.sampled_from(["", "sha256:", "SHA256:"]))
def test_every_sha256_is_accepted_in_either_case_and_becomes_lower(digest: bytes, upper: bool, prefix: str) -> None:
    text = digest.hex().upper() if upper else digest.hex()
    assert parse_sha256(prefix + text, "--sha") == digest.hex()


@given(st.text())
def test_any_text_is_a_sha256_or_a_usage_problem(text: str) -> None:
    problem = None
    try:
        digest = parse_sha256(text, "--sha")
    except UsageProblem as caught:
        problem = caught
    if problem is None:
        assert digest == bytes.fromhex(digest).hex()
    else:
        assert problem.exit_code == 2
        assert problem.sentence.startswith("--sha is not a SHA-256: ")
        assert problem.sentence.isprintable()


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("", "it has 0 hexadecimal digits, not 64", ""),
        (ABC[:-1], "it has 63 hexadecimal digits, not 64", ""),
        (ABC + "0", "it has 65 hexadecimal digits, not 64", ""),
        ("a" * 40, "it has 40 hexadecimal digits", "a SHA-1 or a Git revision"),
        ("a" * 32, "it has 32 hexadecimal digits", "an MD5"),
        ("g" + ABC[1:], "'g' at position 1 is no hexadecimal digit", ""),
        (ABC + "\n", r"'\\n' at position 65", ""),
        (" " + ABC, "' ' at position 1", ""),
        ("sha256:sha256:" + ABC, "'s' at position 1", ""),
        ("\N{FULLWIDTH DIGIT ONE}" * 64, "at position 1", ""),
    ],
)
def test_a_usage_problem_says_what_is_wrong_with_a_digest(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(UsageProblem, match=sentence) as caught:
        parse_sha256(text, "--base-sha")
    assert hint in (caught.value.hint or "")
