"""What all tests share: one thread, both floating-point types, and the folder of development data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("scidiff", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("scidiff")


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """Run the test in single and in double precision."""
    return request.param


@pytest.fixture(scope="session")
def scidiff_data() -> Path:
    """Give the folder of SCIDIFF_DATA, or skip the test."""
    from scidiff.io.files import data_folder

    folder = data_folder()
    if folder is None:
        pytest.skip("SCIDIFF_DATA is not set")
    return folder


@pytest.fixture(autouse=True)
def _no_gpu_test_without_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
