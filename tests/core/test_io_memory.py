"""The peak of resident memory is that of the process itself."""

from __future__ import annotations

import subprocess
import sys

from scidiff.io.memory import peak_memory

_CHILD = "from scidiff.io.memory import peak_memory; print(peak_memory())"


def test_the_peak_keeps_what_was_freed_and_is_not_inherited():
    """256 MB are touched and freed: the peak of this process holds them, that of a process it starts does not. The
    kernel counts pages in batches, a fraction of 1 MB."""
    ours = bytearray(b"x") * (256 * 2**20)
    before = peak_memory()
    del ours
    assert before >= 256
    assert peak_memory() >= before - 1
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) < 200
