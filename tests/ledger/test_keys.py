"""Laws of key files: written once and for one reader, and whatever is wrong with one is said in a sentence."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical, keys
from ledger.errors import KeyUnavailableError
from ledger.keys import KeyFile, Role
from tests.processes import NOBODY, become_nobody, call
from tests.simulator import instead

PASSPHRASE = b"correct horse"


def never() -> bytes | None:
    raise AssertionError("a passphrase was asked for")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rewrite(path: Path, **changes: object) -> None:
    """Put other values into a key file, in its canonical spelling."""
    content = {**msgspec.json.decode(path.read_bytes()), **changes}
    path.write_bytes(canonical.encode(content) + b"\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keys.generate_pair(tmp_path, None)
    return tmp_path


@pytest.fixture(scope="session")
def locked_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Argon2id takes a tenth of a second: one pair for all."""
    directory = tmp_path_factory.mktemp("locked")
    keys.generate_pair(directory, PASSPHRASE)
    return directory


@pytest.fixture
def locked(locked_template: Path, tmp_path: Path) -> Path:
    for role in keys.ROLES:
        copy = tmp_path / f"{role}.key"
        copy.write_bytes((locked_template / copy.name).read_bytes())
        copy.chmod(0o600)
    return tmp_path


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_signatures_are_those_of_another_implementation_of_rfc_8032(seed: bytes, message: bytes) -> None:
    signer = keys.signer(seed)
    other = Ed25519PrivateKey.from_private_bytes(seed)
    assert signer.public == other.public_key().public_bytes_raw()
    assert signer.sign(message) == other.sign(message)
    Ed25519PublicKey.from_public_bytes(signer.public).verify(signer.sign(message), message)


def test_author_and_log_have_keys_of_their_own_that_only_their_owner_may_read(home: Path) -> None:
    author, log = keys.load(home / "author.key", "author", never), keys.load(home / "log.key", "log", never)
    assert author.public != log.public
    assert author.key_id == keys.key_id(author.public)
    assert [mode(home / f"{role}.key") for role in keys.ROLES] == [0o600, 0o600]
    assert sorted(each.name for each in home.iterdir()) == ["author.key", "log.key"]


def test_a_key_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.generate_pair(tmp_path, None)
    finally:
        os.umask(before)
    assert [mode(tmp_path / f"{role}.key") for role in keys.ROLES] == [0o600, 0o600]


def test_a_key_that_is_there_stays(home: Path) -> None:
    before = [(home / f"{role}.key").read_bytes() for role in keys.ROLES]
    keys.generate_pair(home, None)
    assert [(home / f"{role}.key").read_bytes() for role in keys.ROLES] == before


def test_a_key_is_not_written_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "author.key").symlink_to(tmp_path / "elsewhere")
    keys.generate_pair(tmp_path, None)
    assert not (tmp_path / "elsewhere").exists()


def test_the_public_key_needs_no_passphrase(locked: Path) -> None:
    assert keys.is_locked(locked / "log.key")
    assert keys.public_of(locked / "log.key") == keys.load(locked / "log.key", "log", lambda: PASSPHRASE).public


def test_an_open_key_asks_for_no_passphrase(home: Path) -> None:
    assert not keys.is_locked(home / "author.key")
    assert keys.load(home / "author.key", "author", never).public == keys.public_of(home / "author.key")


def test_both_locked_keys_open_with_one_passphrase_and_their_seeds_are_not_in_the_files(locked: Path) -> None:
    for role in keys.ROLES:
        file = msgspec.json.decode((locked / f"{role}.key").read_bytes(), type=KeyFile)
        opened = keys.load(locked / f"{role}.key", role, lambda: PASSPHRASE)
        assert opened.public.hex() == file.public
        assert len(bytes.fromhex(file.secret)) > 32


@pytest.mark.parametrize("given", [None, b"", b"wrong", PASSPHRASE + b"\n"])
def test_a_locked_key_opens_with_its_passphrase_only(locked: Path, given: bytes | None) -> None:
    with pytest.raises(KeyUnavailableError):
        keys.load(locked / "author.key", "author", lambda: given)


def test_a_key_serves_in_its_own_role_only(home: Path) -> None:
    with pytest.raises(KeyUnavailableError, match="author"):
        keys.load(home / "author.key", "log", never)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "a directory": instead(lambda path: path.mkdir(mode=0o700)),
    "a FIFO": instead(lambda path: os.mkfifo(path, 0o600)),
    "a symlink to the key": lambda path: path.symlink_to(path.rename(path.with_suffix(".real"))),
    "a symlink to nowhere": instead(lambda path: path.symlink_to("nowhere")),
    "readable by the group": lambda path: path.chmod(0o640),
    "readable by all": lambda path: path.chmod(0o604),
    "writable by all": lambda path: path.chmod(0o602),
    "empty": lambda path: path.write_bytes(b""),
    "larger than a key file": lambda path: path.write_bytes(path.read_bytes() + b" " * keys.MAX_KEY_FILE),
    "endless": instead(lambda path: path.symlink_to("/dev/zero")),
    "not JSON": lambda path: path.write_bytes(b"-----BEGIN PRIVATE KEY-----\n"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff" * 100),
    "other JSON": lambda path: path.write_bytes(b"[]\n"),
    "another spelling": lambda path: path.write_bytes(path.read_bytes().replace(b'":', b'": ')),
    "an unknown field": lambda path: rewrite(path, more=1),
    "a newer format": lambda path: rewrite(path, format="soup-key/2"),
    "a secret that is not hex": lambda path: rewrite(path, secret="xy"),  # noqa: S106 - no secret
    "a secret with blanks": lambda path: rewrite(path, secret=" ".join(["00"] * 32)),
    "a short secret": lambda path: rewrite(path, secret="00"),  # noqa: S106 - no secret
    "no secret": lambda path: rewrite(path, secret=""),
    "another secret": lambda path: rewrite(path, secret="00" * 32),
    "another public key": lambda path: rewrite(path, public="00" * 32),
    "a public key that is not hex": lambda path: rewrite(path, public="zz" * 32),
    "a role that is none": lambda path: rewrite(path, role="admin"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_key_is_unavailable(home: Path, damage: Callable[[Path], object]) -> None:
    keys.load(home / "author.key", "author", never)
    damage(home / "author.key")
    with pytest.raises(KeyUnavailableError):
        keys.load(home / "author.key", "author", never)


KDF = {"memlimit": keys.MEMLIMIT, "opslimit": keys.OPSLIMIT, "salt": "00" * 16}
LOCK_DAMAGE = {
    "a salt that is not hex": {"kdf": {**KDF, "salt": "zz" * 16}},
    "no salt": {"kdf": {**KDF, "salt": ""}},
    "a short salt": {"kdf": {**KDF, "salt": "00"}},
    "a long salt": {"kdf": {**KDF, "salt": "00" * 32}},
    "another salt": {"kdf": {**KDF, "salt": "01" * 16}},
    "all memory of the machine": {"kdf": {**KDF, "memlimit": 2**50}},
    "hours of work": {"kdf": {**KDF, "opslimit": 2**31}},
    "no memory": {"kdf": {**KDF, "memlimit": 0}},
    "negative work": {"kdf": {**KDF, "opslimit": -1}},
    "a secret too short for a box": {"secret": "00"},
    "no secret": {"secret": ""},
    "a secret in the clear": {"secret": "00" * 32},
}


@pytest.mark.parametrize("changes", LOCK_DAMAGE.values(), ids=LOCK_DAMAGE)
def test_a_damaged_lock_is_unavailable(locked: Path, changes: dict[str, object]) -> None:
    rewrite(locked / "author.key", **changes)
    with pytest.raises(KeyUnavailableError):
        keys.load(locked / "author.key", "author", lambda: PASSPHRASE)


@given(at=st.integers(0, 400), bit=st.integers(0, 7), role=st.sampled_from(keys.ROLES))
def test_a_flipped_bit_in_a_key_file_never_gives_another_key(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, role: Role
) -> None:
    directory = tmp_path_factory.getbasetemp() / "flipped-key"
    directory.mkdir(exist_ok=True)
    keys.generate_pair(directory, None)
    path = directory / f"{role}.key"
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    try:
        opened = keys.load(path, role, never)
    except KeyUnavailableError:
        pass
    else:
        assert opened.public.hex() == msgspec.json.decode(whole, type=KeyFile).public
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("missing", ["nowhere", "a-file"])
def test_a_key_that_cannot_be_written_is_said_so(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    with pytest.raises(KeyUnavailableError):
        keys.generate_pair(tmp_path / missing, None)


def generate_on_a_full_disk(directory: str) -> None:
    """In a process of its own, since a limit cannot be raised again."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    try:
        keys.generate_pair(Path(directory), None)
    except KeyUnavailableError as error:
        sys.stdout.write(f"refused: {error}")


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path: Path) -> None:
    assert call("tests.ledger.test_keys:generate_on_a_full_disk", tmp_path).startswith("refused")
    assert list(tmp_path.iterdir()) == []


def load_as_nobody(path: str) -> None:
    """Print what somebody else is told about a key."""
    become_nobody()
    try:
        keys.load(Path(path), "author", never)
    except KeyUnavailableError as error:
        sys.stdout.write(f"refused: {error}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("permissions", [0o600, 0o644])
def test_the_key_of_another_user_is_refused(permissions: int, public_directory: Path) -> None:
    keys.generate_pair(public_directory, None)
    (public_directory / "author.key").chmod(permissions)
    output = call("tests.ledger.test_keys:load_as_nobody", public_directory / "author.key")
    assert output.startswith("refused")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_that_belongs_to_another_user_is_refused_though_root_could_read_it(home: Path) -> None:
    os.chown(home / "author.key", NOBODY, -1)
    with pytest.raises(KeyUnavailableError, match="another user"):
        keys.load(home / "author.key", "author", never)


def test_secrets_are_drawn_anew_for_each_pair(tmp_path: Path) -> None:
    publics: set[bytes] = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        keys.generate_pair(tmp_path / name, None)
        publics |= {keys.public_of(tmp_path / name / f"{role}.key") for role in keys.ROLES}
    assert len(publics) == 4
