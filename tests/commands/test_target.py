"""Where an output may go: no link is written through, no stranger's file replaced, whoever meddles meanwhile."""

import hashlib
import os
from pathlib import Path

import pytest

from commands.errors import OutputError
from commands.publish import Publication, write_plain
from commands.target import aim, check_overwrite

NAMES = ("m.cdx.json", "m.spdx.json")
OLD = {name: name.encode() for name in NAMES}


def lay(directory: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("name", ["", ".", "..", "out/", "out/.", "out/..", "/"])
def test_a_name_of_a_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="names a directory"):
        aim(name)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree with two links, one that stays inside and one that leads out, and a place outside."""
    (work := tmp_path / "project").mkdir()
    (work / "real").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "elsewhere").symlink_to("outside")
    (work / "inner").symlink_to("real")
    (work / "out").symlink_to("../outside")
    (work / "missing").symlink_to("../outside/not-yet")
    (work / "loop").symlink_to("loop")
    monkeypatch.chdir(work)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "out/d",
        "out/new/d",
        "missing/d",
        "inner/../../project/out/d",
        "real/../out/d",
        "out/../d",
        "../project/out/d",
        "../elsewhere/d",
        "{tree}/project/out/d",
    ],
)
def test_a_link_out_of_the_working_tree_is_refused(tree: Path, path: str) -> None:
    with pytest.raises(OutputError, match="leads out of the working tree through a symbolic link"):
        aim(path.format(tree=tree))
    assert content(tree / "outside") == {}


@pytest.mark.parametrize(
    ("path", "lands"),
    [
        ("d", "project/d"),
        ("./real/d", "project/real/d"),
        ("inner/d", "project/real/d"),
        ("inner/new/d", "project/real/new/d"),
        ("../outside/d", "outside/d"),
        ("{tree}/outside/d", "outside/d"),
        ("{tree}/elsewhere/d", "outside/d"),
        ("{tree}/outside/../project/d", "project/d"),
    ],
)
def test_a_path_that_says_where_it_leads_is_published_to(tree: Path, path: str, lands: str) -> None:
    write_plain(path.format(tree=tree), b"landed")
    assert (tree / lands).read_bytes() == b"landed"


@pytest.mark.parametrize("path", ["loop/d", "real/file/d"])
def test_a_way_that_leads_nowhere_is_refused(tree: Path, path: str) -> None:
    (tree / "project/real/file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        aim(path)


def test_a_directory_swapped_for_a_link_after_the_check_is_not_followed(tree: Path) -> None:
    target = aim("real/d")
    (tree / "project/real").rename(tree / "project/moved")
    (tree / "project/real").symlink_to("../outside")
    publication = Publication()
    with pytest.raises(OutputError, match="leads out of the working tree"):
        publication.stage(target, b"")
    assert content(tree / "outside") == {}


def test_a_directory_swapped_between_resolving_and_entering_is_not_followed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realpath = os.path.realpath

    def swap_after(path: Path) -> str:
        resolved = realpath(path)
        (tree / "project/real").rename(tree / "project/moved")
        (tree / "project/real").symlink_to("../outside")
        return resolved

    monkeypatch.setattr(os.path, "realpath", swap_after)
    with pytest.raises(OutputError, match="Not a directory"):
        aim("real/d")


def test_a_directory_swapped_after_staging_cannot_redirect_the_document(tree: Path) -> None:
    with Publication() as publication:
        publication.stage(aim("real/d"), b"landed")
        (tree / "project/real").rename(tree / "project/moved")
        (tree / "project/real").symlink_to("../outside")
        publication.commit()
    assert content(tree / "outside") == {}
    assert content(tree / "project/moved") == {"d": b"landed"}


@pytest.mark.parametrize(
    ("name", "sentence", "hint"), [("n" * 240, "File name too long", "shorter"), ("a\0b", "no file can have", "")]
)
def test_an_impossible_name_is_refused(tmp_path: Path, name: str, sentence: str, hint: str) -> None:
    with pytest.raises(OutputError, match=sentence) as caught:
        write_plain(f"{tmp_path}/{name}", b"")
    assert hint in (caught.value.hint or "")
    assert content(tmp_path) == {}


def test_an_unknown_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    lay(tmp_path, OLD)
    ours = hashlib.sha256(OLD[NAMES[0]]).hexdigest()
    check_overwrite(aim(tmp_path / "absent"), lambda _: False, force=False)
    check_overwrite(aim(tmp_path / NAMES[0]), ours.__eq__, force=False)
    check_overwrite(aim(tmp_path / NAMES[1]), ours.__eq__, force=True)
    with pytest.raises(OutputError, match="exists and is no earlier document") as caught:
        check_overwrite(aim(tmp_path / NAMES[1]), ours.__eq__, force=False)
    assert "--force" in (caught.value.hint or "")


def test_aiming_makes_nothing(tmp_path: Path) -> None:
    aim(tmp_path / "a/b/document")
    assert content(tmp_path) == {}


def test_a_target_knows_which_file_stands_there(tmp_path: Path) -> None:
    assert aim(tmp_path / "d").existing is None
    (tmp_path / "d").write_bytes(b"one")
    first = aim(tmp_path / "d")
    assert first == aim(tmp_path / "d")
    (tmp_path / "d").write_bytes(b"other")
    assert first != aim(tmp_path / "d")
