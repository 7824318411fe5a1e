"""Fixtures of the command room: a user with a home of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner import Soup


@pytest.fixture
def soup(tmp_path: Path) -> Soup:
    """A user who has never run soup."""
    work = tmp_path / "work"
    work.mkdir()
    return Soup(tmp_path / "user" / ".soup", work)
