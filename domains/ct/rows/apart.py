"""Measurements in a process of their own, whose memory holds nothing of what was measured before."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from scidiff.errors import NumericalError

__all__ = ["apart"]


def apart(program: str, *arguments: str) -> Any:
    """Run a program; what it prints in its last line, read as JSON.

    Parameters
    ----------
    program
        Text of the program.
    *arguments
        For its ``sys.argv``.

    Raises
    ------
    NumericalError
        If the process fails.
    """
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NumericalError(f"the process ended with {done.returncode}: {done.stderr[-300:]}; expected a result")
    return json.loads(done.stdout.splitlines()[-1])
