"""Conformance checks, for the package's own tests and for those of third parties.

Each check raises `AssertionError` with one sentence about what does not hold; called from a test, it makes the test
fail. ``docs/testing.md`` shows each of them at work.
"""

from scidiff.testing.denoiser import check_denoiser
from scidiff.testing.domain import check_bench, check_demo, check_domain
from scidiff.testing.network import check_equivariant
from scidiff.testing.process import check_process
from scidiff.testing.rule import check_label, check_rule
from scidiff.testing.space import check_space

__all__ = [
    "check_bench",
    "check_demo",
    "check_denoiser",
    "check_domain",
    "check_equivariant",
    "check_label",
    "check_process",
    "check_rule",
    "check_space",
]
