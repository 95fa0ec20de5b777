"""What the package promises, by the checks that hold the built-in domains."""

from __future__ import annotations

import pytest
from scidiff_crystals import certify, draw_cells, load

from scidiff import load_domain
from scidiff.testing import check_bench, check_demo, check_domain


@pytest.fixture(scope="module")
def domain():
    return load_domain("crystals")


def test_the_declaration(domain):
    check_domain(domain)


def test_the_demonstration(domain, tmp_path):
    check_demo(domain, tmp_path)


def test_the_benchmark_reaches_its_bars(domain):
    assert all(row.passed is not False for row in check_bench(domain))


def test_a_sample_is_a_function_of_its_seed_and_index():
    whole = load().sample(12, steps=5, seed=3)
    part = load().sample(4, steps=5, seed=3, first=8)
    assert part.index.tolist() == whole.index.tolist()[8:]
    for a, b in zip(part.items, whole.items[8:], strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_crystals_are_crystals():
    assert float(certify(draw_cells(500, seed=1)).valid.double().mean()) > 0.9
