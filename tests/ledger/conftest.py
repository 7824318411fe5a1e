"""Fixtures of the ledger room: a small ledger made once, copied for whoever tampers with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

from tests.simulator import Saboteur, SmallLedger, make

# Nothing here asserts a time: a busy machine must not fail a law. Fixtures that an example copies from are never written to.
settings.register_profile("ledger", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ledger")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    """The small ledger, closed and without a WAL. Nobody writes to it."""
    return make(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def sibling(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    """Another ledger of the same keys and the same shape, with other facts in it."""
    return make(tmp_path_factory.mktemp("sibling"), numbers_from=100)


@pytest.fixture
def ledger(template: SmallLedger, tmp_path: Path) -> SmallLedger:
    """A copy of the small ledger to do with as one likes."""
    return template.copy_to(tmp_path / "own")


@pytest.fixture
def saboteur(ledger: SmallLedger) -> Saboteur:
    """Somebody who holds that copy."""
    return Saboteur(ledger)


@pytest.fixture
def listing() -> Callable[[Path], list[tuple[str, int, int, int]]]:
    """Everything a directory's entries tell of a write: names, inodes, sizes, times."""

    def look(directory: Path) -> list[tuple[str, int, int, int]]:
        return sorted(
            (each.name, status.st_ino, status.st_size, status.st_mtime_ns)
            for each in directory.iterdir()
            for status in [each.lstat()]
        )

    return look


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that somebody without rights can reach; pytest's own are closed to all but their owner."""
    with TemporaryDirectory(prefix="soup-test-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path
