"""The domain of samples that cost nothing, known to this process and to those that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHEAP = Path(__file__).resolve().parents[2] / "benchmarks" / "cheap"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch, tmp_path):
    """Put the plug-in on the path, and the caches of scores into a folder of the test."""
    monkeypatch.syspath_prepend(str(CHEAP))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHEAP), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path / "cache"))
    yield
    from scidiff.campaign import worker

    worker._plan.cache_clear()
    worker._loaded.cache_clear()
