"""Documents appear whole and together, or nothing changes: shown with real files, and a fault in every system call."""

import errno
import hashlib
import os
import resource
import signal
import stat
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from commands.errors import InputError, OutputError
from commands.observe import observe_file
from commands.publish import (
    Publication,
    aim,
    check_overwrite,
    clear_leftovers,
    find_leftovers,
    write_plain,
)

NAMES = ("m.cdx.json", "m.spdx.json")
OLD = {"m.cdx.json": b"old cyclonedx", "m.spdx.json": b"old spdx"}
NEW = {"m.cdx.json": b"new cyclonedx, longer", "m.spdx.json": b"new spdx, longer, too"}
STARTS = {"nothing": {}, "both": OLD, "the first": {NAMES[0]: OLD[NAMES[0]]}, "the second": {NAMES[1]: OLD[NAMES[1]]}}
CALLS = ("open", "write", "fsync", "link", "replace", "unlink", "stat", "fstat", "dup", "mkdir", "read", "fchmod")


def lay(directory: Path, files: dict[str, bytes]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def content(directory: Path) -> dict[str, bytes]:
    """Return everything in the directory, hidden files included."""
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}


def nothing() -> None:
    pass


def publish(
    directory: Path,
    files: Mapping[str, bytes] = NEW,
    after_check: Callable[[], object] = nothing,
    after_staging: Callable[[], object] = nothing,
) -> None:
    """Publish as a command does; at two moments something may happen."""
    targets = [(aim(directory / name), data) for name, data in files.items()]
    after_check()
    with Publication() as publication:
        for target, data in targets:
            publication.stage(target, data)
        after_staging()
        publication.commit()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_child(work: Callable[[], object]) -> int:
    """Run in a process of its own; return its exit code, or minus the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns where threads run; the child starts none
        child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 -- nothing of the test runner may go on in the child
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def sabotaged(
    call: str, number: int, act: Callable[[Callable[[], Any]], Any], *, on: bool = False
) -> Iterator[list[int]]:
    """Let `act` stand in for the `number`-th call of os.`call`, and with `on` for all later ones; count the calls."""
    real, seen = getattr(os, call), [0]

    def stand_in(*arguments: Any, **named: Any) -> Any:
        seen[0] += 1
        if seen[0] == number or (on and seen[0] > number):
            return act(lambda: real(*arguments, **named))
        return real(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, stand_in)
        yield seen


def fail(_: Callable[[], Any]) -> Any:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def no_links(_: Callable[[], Any]) -> Any:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # what FAT and fs.protected_hardlinks answer


def kill_before(_: Callable[[], Any]) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(call: Callable[[], Any]) -> Any:
    call()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=[True, False], ids=["hard links", "no hard links"])
def links(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Run on a file system with hard links, and on one that refuses them."""
    if request.param:
        yield True
    else:
        with sabotaged("link", 1, no_links, on=True):
            yield False


def of_start(function: Any) -> Any:
    return pytest.mark.parametrize("before", STARTS.values(), ids=[f"over {start}" for start in STARTS])(function)


# What a publication does


@of_start
def test_a_publication_replaces_everything_and_leaves_nothing_beside_it(
    tmp_path: Path, before: dict[str, bytes], links: bool
) -> None:
    held = descriptors()
    publish(lay(tmp_path, before))
    assert content(tmp_path) == NEW
    assert descriptors() == held


def test_a_staged_document_tells_its_digest_and_is_not_visible_before_the_commit(tmp_path: Path) -> None:
    lay(tmp_path, OLD)
    with Publication() as publication:
        staged = publication.stage(aim(tmp_path / NAMES[0]), NEW[NAMES[0]])
        assert (staged.sha256, staged.size) == (hashlib.sha256(NEW[NAMES[0]]).hexdigest(), len(NEW[NAMES[0]]))
        assert {name: content(tmp_path)[name] for name in NAMES} == OLD
        publication.commit()
    assert observe_file(tmp_path / NAMES[0]).sha256 == staged.sha256


def test_a_document_can_be_given_in_pieces(tmp_path: Path) -> None:
    with Publication() as publication:
        staged = publication.stage(aim(tmp_path / "rows.jsonl"), (b"%d\n" % number for number in range(3)))
        publication.commit()
    assert content(tmp_path) == {"rows.jsonl": b"0\n1\n2\n"}
    assert staged.sha256 == hashlib.sha256(b"0\n1\n2\n").hexdigest()


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    publish(tmp_path)
    assert content(tmp_path) == NEW


def test_leaving_without_a_commit_publishes_nothing(tmp_path: Path) -> None:
    lay(tmp_path, OLD)
    held = descriptors()
    with Publication() as publication:
        for name in NAMES:
            publication.stage(aim(tmp_path / name), NEW[name])
    assert content(tmp_path) == OLD
    assert descriptors() == held


def test_a_source_that_fails_midway_leaves_nothing_and_keeps_its_own_error(tmp_path: Path) -> None:
    def rows() -> Iterator[bytes]:
        yield b"first"
        raise ZeroDivisionError

    held = descriptors()
    with pytest.raises(ZeroDivisionError), Publication() as publication:
        publication.stage(aim(tmp_path / "rows"), rows())
    assert content(tmp_path) == {}
    assert descriptors() == held


@pytest.mark.parametrize(
    ("mask", "mode", "expected"), [(0o022, 0o666, 0o644), (0o077, 0o666, 0o600), (0, 0o600, 0o600)]
)
def test_permissions_are_the_mode_less_the_umask(tmp_path: Path, mask: int, mode: int, expected: int) -> None:
    before = os.umask(mask)
    try:
        with Publication() as publication:
            publication.stage(aim(tmp_path / "document"), b"", mode)
            publication.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "document").stat().st_mode) == expected


def test_missing_directories_are_made(tmp_path: Path) -> None:
    publish(tmp_path / "a/b/c")
    assert content(tmp_path / "a/b/c") == NEW


@pytest.mark.parametrize("name", [b"caf\xe9", b"new\nline", "\N{GRINNING FACE}".encode(), b"-rf", b"[x].(new|old)*"])
def test_any_name_that_the_system_allows_can_be_published_to(tmp_path: Path, name: bytes) -> None:
    publish(tmp_path, {os.fsdecode(name): b"once"})
    publish(tmp_path, {os.fsdecode(name): b"twice"})
    assert content(tmp_path) == {os.fsdecode(name): b"twice"}


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, synced and named, in order."""
    steps: list[str] = []

    def watch(call: str) -> None:
        real = getattr(os, call)

        def stand_in(*arguments: Any, **named: Any) -> Any:
            descriptor = arguments[0] if isinstance(arguments[0], int) else None
            kind = "" if descriptor is None else "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
            steps.append(f"{call} {kind}".strip())
            return real(*arguments, **named)

        monkeypatch.setattr(os, call, stand_in)

    for call in ("mkdir", "write", "fsync", "link", "replace"):
        watch(call)
    return steps


def test_bytes_are_durable_before_the_name_and_the_name_before_the_commit_returns(
    tmp_path: Path, trace: list[str]
) -> None:
    (tmp_path / NAMES[1]).write_bytes(b"old")
    publish(tmp_path)
    assert trace == [
        *("write file", "fsync file") * 2,
        "link",  # the earlier second document gets a second name
        "link",  # the first appears
        "replace",  # the second appears
        *("fsync directory",) * 2,
    ]


def test_a_made_directory_is_durable_before_anything_lies_in_it(tmp_path: Path, trace: list[str]) -> None:
    write_plain(tmp_path / "a/b/d", b"document")
    assert trace == [
        *("mkdir", "fsync directory") * 2,
        *("write file", "fsync file", "link", "fsync directory"),
    ]


def test_a_directory_that_another_process_makes_first_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def beaten(name: str, **named: Any) -> None:
        mkdir(name, **named)
        mkdir(name, **named)

    monkeypatch.setattr(os, "mkdir", beaten)
    publish(tmp_path / "new")
    assert content(tmp_path / "new") == NEW


# What a publication refuses


def make_device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a device takes root")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


KINDS: dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a named pipe": os.mkfifo,
    "a character device": make_device,
    "a symbolic link": lambda path: path.symlink_to(path.with_name("victim")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", ["before", "after_check", "after_staging"])
def test_only_a_regular_file_is_replaced_and_the_other_document_stays_too(
    tmp_path: Path, kind: str, moment: str
) -> None:
    lay(tmp_path, {NAMES[0]: OLD[NAMES[0]], "victim": b"untouched"})
    meddling: dict[str, Any] = {moment: lambda: KINDS[kind](tmp_path / NAMES[1])}
    meddling.pop("before", nothing)()
    with pytest.raises(OutputError, match=f"{NAMES[1]}' is {kind}"):
        publish(tmp_path, **meddling)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NAMES, "victim"])
    assert (tmp_path / NAMES[0]).read_bytes() == OLD[NAMES[0]]
    assert (tmp_path / "victim").read_bytes() == b"untouched"


def test_two_documents_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OutputError, match="is named for two documents"):
        publish(tmp_path, {"real/d": b"one", "link/d": b"other"})
    assert content(tmp_path / "real") == {}


def test_a_plain_file_is_replaced_only_by_force_or_by_itself(tmp_path: Path) -> None:
    write_plain(tmp_path / "key", b"one")
    write_plain(tmp_path / "key", b"one")
    with pytest.raises(OutputError, match="exists"):
        write_plain(tmp_path / "key", b"other")
    assert content(tmp_path) == {"key": b"one"}
    write_plain(tmp_path / "key", b"other", force=True)
    assert content(tmp_path) == {"key": b"other"}


# Other processes


def edit(path: Path) -> None:
    path.write_bytes(b"somebody's edit")


def swap(path: Path) -> None:
    edit(other := path.with_name("other"))
    other.replace(path)


@pytest.mark.parametrize("meddle", [edit, swap])
@pytest.mark.parametrize("moment", ["after_check", "after_staging"])
@of_start
def test_what_changed_since_the_check_is_not_replaced(
    tmp_path: Path, before: dict[str, bytes], moment: str, meddle: Callable[[Path], None], links: bool
) -> None:
    lay(tmp_path, before)
    meddling: dict[str, Any] = {moment: lambda: meddle(tmp_path / NAMES[1])}
    with pytest.raises(OutputError, match="was changed by another process"):
        publish(tmp_path, **meddling)
    assert content(tmp_path) == before | {NAMES[1]: b"somebody's edit"}


@of_start
def test_what_is_known_to_have_changed_keeps_the_other_document_from_ever_appearing(
    tmp_path: Path, before: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    appeared: list[str] = []

    def watched(call: str) -> None:
        real = getattr(os, call)

        def stand_in(source: str, name: str, **named: Any) -> Any:
            appeared.append(name)
            return real(source, name, **named)

        monkeypatch.setattr(os, call, stand_in)

    def meddle() -> None:
        edit(tmp_path / NAMES[1])
        watched("link")
        watched("replace")

    lay(tmp_path, before)
    with pytest.raises(OutputError, match="was changed by another process"):
        publish(tmp_path, after_staging=meddle)
    assert not {*appeared} & {*NAMES}


@pytest.mark.parametrize("call", ["replace", "link"])
def test_what_changes_during_the_commit_takes_the_other_document_back(tmp_path: Path, call: str) -> None:
    """The second one is swapped when the first is about to appear."""

    def meddle(go_on: Callable[[], Any]) -> Any:
        swap(tmp_path / NAMES[1])
        return go_on()

    before = OLD if call == "replace" else {}
    lay(tmp_path, before)
    with sabotaged(call, 1, meddle), pytest.raises(OutputError, match="was changed by another process"):
        publish(tmp_path)
    assert content(tmp_path) == before | {NAMES[1]: b"somebody's edit"}


@pytest.mark.parametrize("kind", ["new", "old"])
@pytest.mark.parametrize("trap", [os.link, os.symlink])
def test_what_waits_under_a_temporary_name_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, trap: Callable[[Path, Path], None]
) -> None:
    """The names are drawn at random; here somebody has guessed one."""
    monkeypatch.setattr(os, "urandom", bytes)
    lay(tmp_path, OLD | {"victim": b"untouched"})
    trap(tmp_path / "victim", tmp_path / f".{NAMES[0]}.soup-{kind}-0000000000000000")
    with pytest.raises(OutputError, match="File exists"):
        publish(tmp_path)
    assert {name: content(tmp_path)[name] for name in (*NAMES, "victim")} == OLD | {"victim": b"untouched"}


def test_what_was_deleted_since_the_check_is_not_made_again(tmp_path: Path) -> None:
    lay(tmp_path, OLD)
    with pytest.raises(OutputError, match="No such file"):
        publish(tmp_path, after_staging=(tmp_path / NAMES[1]).unlink)
    assert content(tmp_path) == {NAMES[0]: OLD[NAMES[0]]}


FIRST, SECOND = ["done", "refused"], ["refused", "done"]  # whose turn it was: the rival's outcome comes first


@pytest.mark.parametrize(
    ("before", "call", "number", "expected"),
    [
        ({}, "write", 1, FIRST),
        ({}, "link", 1, FIRST),
        ({}, "link", 2, SECOND),
        ({}, "fsync", 3, SECOND),
        ({}, "fsync", 4, SECOND),
        (OLD, "write", 1, FIRST),
        (OLD, "link", 1, SECOND),
        (OLD, "link", 2, SECOND),
        (OLD, "replace", 1, SECOND),
        (OLD, "replace", 2, SECOND),
        (OLD, "fsync", 3, SECOND),
        (OLD, "fsync", 4, SECOND),
    ],
)
def test_of_two_publications_at_once_one_is_refused_and_no_pair_is_mixed(
    tmp_path: Path, before: dict[str, bytes], call: str, number: int, expected: list[str]
) -> None:
    """A rival publishes, start to end, within the other one: after its check, before this call."""
    rival = dict.fromkeys(NAMES, b"rival")
    outcomes: list[str] = []

    def attempt(files: dict[str, bytes]) -> None:
        try:
            publish(tmp_path, files)
            outcomes.append("done")
        except OutputError:
            outcomes.append("refused")

    def with_rival(go_on: Callable[[], Any]) -> Any:
        attempt(rival)
        return go_on()

    lay(tmp_path, before)
    with sabotaged(call, number, with_rival):
        attempt(NEW)
    assert outcomes == expected
    assert content(tmp_path) == (rival if expected is FIRST else NEW)


def test_processes_that_publish_at_once_never_mix_a_pair(tmp_path: Path) -> None:
    def worker(number: int) -> None:
        for turn in range(25):
            tag = f"{number}.{turn}".encode()
            try:
                publish(tmp_path, dict.fromkeys(NAMES, tag))
            except OutputError:
                continue

    children = []
    for number in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                worker(number)
            except BaseException:  # noqa: BLE001 -- as in in_child
                traceback.print_exc(file=sys.__stderr__)
                os._exit(99)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert sorted(content(tmp_path)) == sorted(NAMES)
    assert len(set(content(tmp_path).values())) == 1


# Faults


@of_start
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_in_any_call_leaves_the_old_pair_or_completes_the_new(
    tmp_path: Path, call: str, before: dict[str, bytes], links: bool
) -> None:
    """One failing call, at each place where there is one; nested one deep, so that a directory is made, too."""
    for number in count(1):
        directory = tmp_path / str(number) / "manifests"
        if before:
            lay(directory, before)
        held, error = descriptors(), None
        with sabotaged(call, number, fail) as seen:
            try:
                publish(directory)
            except OutputError as caught:
                error = caught.sentence
        assert descriptors() == held
        assert error is None or os.strerror(errno.EIO) in error
        after = content(directory)
        visible = {name: after.pop(name) for name in NAMES if name in after}
        assert visible == (before if error else NEW)
        assert not after or (call == "unlink" and not error)
        if seen[0] < number:
            break


def test_the_fault_injection_reaches_every_call(tmp_path: Path) -> None:
    """The saboteur's own test: each call named above happens in one of the situations."""
    reached: set[str] = set()
    for start, before in STARTS.items():
        for linking in (True, False):
            for call in CALLS:
                directory = tmp_path / start / str(linking) / call
                if before:
                    lay(directory, before)
                with sabotaged("link", 1, no_links, on=not linking), sabotaged(call, 0, fail) as seen:
                    publish(directory)
                reached |= {call} if seen[0] else set()
    assert reached == set(CALLS)


@of_start
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_dies_at_any_call_loses_no_document(tmp_path: Path, call: str, before: dict[str, bytes]) -> None:
    """From some call on all fail, the way back included: what is not in its place is kept, and named."""
    for number in count(1):
        directory = lay(tmp_path / str(number), before)
        error: OutputError | None = None
        with sabotaged(call, number, fail, on=True) as seen:
            try:
                publish(directory)
            except OutputError as caught:
                error = caught
        after = content(directory)
        for name in NAMES:
            assert after.get(name) in (before.get(name), NEW[name])
            if error is not None and after.get(name) != before.get(name):
                assert f"{name}' is new" in error.sentence
                kept = [path for path in after if path.startswith(f".{name}.soup-old-")]
                assert [after[path] for path in kept] == ([before[name]] if name in before else [])
                assert all(path in error.sentence for path in kept)
        if error is None:
            assert {name: after[name] for name in NAMES} == NEW
        if seen[0] < number:
            break


@of_start
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_during_a_commit_leaves_the_old_pair_or_the_new(
    tmp_path: Path, before: dict[str, bytes], interrupt: type[BaseException], when: str
) -> None:
    def stop(call: Callable[[], Any]) -> Any:
        if when == "after":
            call()
        raise interrupt

    for call in ("link", "replace", "fsync"):
        for number in count(1):
            directory = lay(tmp_path / call / str(number), before)
            stopped = False
            with sabotaged(call, number, stop) as seen:
                try:
                    publish(directory)
                except interrupt:
                    stopped = True
            assert content(directory) == (before if stopped else NEW)
            if seen[0] < number:
                break


@pytest.mark.slow
@of_start
def test_a_kill_at_any_call_leaves_each_document_old_or_new_and_the_next_publication_completes_it(
    tmp_path: Path, before: dict[str, bytes], links: bool
) -> None:
    killed = mixed = 0
    for call in CALLS[:9]:
        for act in (kill_before, kill_after):
            for number in count(1):
                directory = lay(tmp_path / act.__name__ / call / str(number), before)

                def work(directory: Path = directory, call: str = call, number: int = number, act: Any = act) -> None:
                    with sabotaged(call, number, act):
                        publish(directory)

                exit_code = in_child(work)
                after = content(directory)
                new = [after.get(name) == NEW[name] for name in NAMES]
                for name in NAMES:
                    assert after.get(name) in (before.get(name), NEW[name])
                assert new != [False, True]  # in the order in which they were staged
                mixed += new == [True, False]

                temporaries = {directory / name for name in after if name not in NAMES}
                assert {path for name in NAMES for path in find_leftovers(directory / name)} == temporaries
                publish(directory)
                assert {path for name in NAMES for path in clear_leftovers(directory / name)} == temporaries
                assert content(directory) == NEW
                if exit_code == 0:
                    break
                assert exit_code == -signal.SIGKILL
                killed += 1
    assert killed > 40
    assert mixed  # the one gap that renaming cannot close was met


def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    def full(_: Callable[[], Any]) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lay(tmp_path, OLD)
    with sabotaged("write", 2, full), pytest.raises(OutputError, match="No space left on device") as caught:
        publish(tmp_path)
    assert "free some space" in (caught.value.hint or "")
    assert content(tmp_path) == OLD


def test_a_file_size_limit_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(OSError, match="File too large"):  # the limit is real
            (tmp_path / "witness").write_bytes(bytes(4097))
        (tmp_path / "witness").unlink()
        with pytest.raises(OutputError, match="File too large") as caught:
            publish(tmp_path, NEW | {NAMES[1]: bytes(5000)})
        assert "ulimit -f" in (caught.value.hint or "")

    lay(tmp_path, OLD)
    assert in_child(work) == 0
    assert content(tmp_path) == OLD


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user can enter and write to; pytest's own is private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def as_nobody(work: Callable[[], object]) -> int:
    def unprivileged() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work()

    return in_child(unprivileged)


def test_an_unwritable_directory_is_reported_and_stays_untouched(shared: Path) -> None:
    locked = lay(shared / "locked", OLD)
    locked.chmod(0o555)

    def work() -> None:
        with pytest.raises(PermissionError):  # the refusal is real
            (locked / "witness").touch()
        for path in (locked / NAMES[0], locked / "new/document"):
            with pytest.raises(OutputError, match="Permission denied") as caught:
                write_plain(path, b"", force=True)
            assert caught.value.hint == "choose a place that you may write to"

    assert as_nobody(work) == 0
    assert content(locked) == OLD


def test_a_directory_below_one_that_may_only_be_passed_can_be_published_to(shared: Path) -> None:
    lay(shared / "passage/open", {})
    (shared / "passage/open").chmod(0o777)
    (shared / "passage").chmod(0o711)
    assert as_nobody(lambda: publish(shared / "passage/open")) == 0
    assert content(shared / "passage/open") == NEW


def test_a_working_directory_below_one_that_may_not_even_be_passed_can_be_published_to(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(shared / "locked/open", {}).chmod(0o777)
    monkeypatch.chdir(shared / "locked/open")
    (shared / "locked").chmod(0o600)

    def work() -> None:
        with pytest.raises(PermissionError):  # the refusal is real
            (shared / "locked/open/witness").touch()
        publish(Path("manifests"))

    assert os.geteuid() == 0 or pytest.skip("nobody can lock out oneself and still be there")
    assert as_nobody(work) == 0
    assert content(Path("manifests")) == NEW


def test_an_unreadable_document_is_not_taken_for_ours(shared: Path) -> None:
    lay(shared, {"secret": b"of root"})
    (shared / "secret").chmod(0o000)

    def work() -> None:
        with pytest.raises(InputError, match="Permission denied"):
            check_overwrite(aim(shared / "secret"), lambda _: True, force=False)

    assert as_nobody(work) == 0


def test_another_users_document_is_replaced_where_the_directory_allows_it(shared: Path) -> None:
    lay(shared, OLD)  # fs.protected_hardlinks forbids the second name to it, so a copy is kept
    assert as_nobody(lambda: publish(shared)) == 0
    assert content(shared) == NEW


# Leftovers


def test_what_a_living_process_has_staged_is_no_leftover(tmp_path: Path) -> None:
    with Publication() as publication:
        publication.stage(aim(tmp_path / NAMES[0]), b"at work")
        assert find_leftovers(tmp_path / NAMES[0]) == clear_leftovers(tmp_path / NAMES[0]) == ()
        publication.commit()
    assert content(tmp_path) == {NAMES[0]: b"at work"}


@pytest.mark.parametrize("call", ["link", "replace", "fsync"])
def test_what_a_living_process_keeps_during_a_commit_is_no_leftover(tmp_path: Path, call: str, links: bool) -> None:
    lay(tmp_path, OLD)
    looks: list[tuple[Path, ...]] = []

    def look(go_on: Callable[[], Any]) -> Any:
        looks.extend(clear_leftovers(tmp_path / name) for name in NAMES)
        return go_on()

    with sabotaged(call, 1, look, on=True):
        publish(tmp_path)
    assert looks
    assert not any(looks)
    assert content(tmp_path) == NEW


def test_only_our_own_temporaries_of_that_very_name_are_leftovers(tmp_path: Path) -> None:
    ours = [f".d.soup-{kind}-{'0123456789abcdef'}" for kind in ("new", "old")]
    others = [
        ".d.soup-new-0123456789abcde",
        ".d.soup-new-0123456789abcdef0",
        ".d.soup-new-0123456789ABCDEF",
        ".d.soup-tmp-0123456789abcdef",
        ".e.soup-new-0123456789abcdef",
        ".d.d.soup-new-0123456789abcdef",
        "d.soup-new-0123456789abcdef",
        ".d.soup-new-0123456789abcdef\n",
    ]
    lay(tmp_path, dict.fromkeys([*ours, *others, "d"], b""))
    assert clear_leftovers(tmp_path / "d") == tuple(tmp_path / name for name in ours)
    assert sorted(content(tmp_path)) == sorted([*others, "d"])


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_under_a_temporary_name_is_left_alone(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / ".d.soup-new-0123456789abcdef")
    lay(tmp_path, {"victim": b"untouched"})
    assert clear_leftovers(tmp_path / "d") == ()
    assert os.path.lexists(tmp_path / ".d.soup-new-0123456789abcdef")


def test_where_there_is_no_directory_there_are_no_leftovers(tmp_path: Path) -> None:
    assert find_leftovers(tmp_path / "absent/d") == ()
