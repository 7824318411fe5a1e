"""Functions of the tests in processes of their own: to be killed, to compete, or to be somebody else.

A fresh interpreter and not a fork: the test runner has threads, and a fork of those may deadlock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tests.simulator import ROOT

NOBODY = 65_534


def start(target: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start `module:function` with text arguments in a Python of its own.

    Its standard output is a pipe, and what it writes to standard error is for whoever reads the test's report.
    """
    module, _, function = target.partition(":")
    code = f"import sys; from {module} import {function}; {function}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def call(target: str, *arguments: object) -> str:
    """Run `module:function` in a Python of its own to its end; give what it printed."""
    with start(target, *arguments) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, f"{target} ended with {process.returncode}"
    return output


def become_nobody() -> None:
    """Lay down root's powers for good; somebody who is not root keeps their own."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
