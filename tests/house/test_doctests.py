"""The examples of the docstrings are true, and the names that a reader meets first have one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CENTRAL = (
    "scidiff.random:Noise",
    "scidiff.sample:Table",
    "scidiff.spaces:Categorical",
    "scidiff.spaces:Euclidean",
    "scidiff.spaces:Hyperbolic",
    "scidiff.spaces:Simplex",
    "scidiff.spaces:SO3",
    "scidiff.spaces:Sphere",
    "scidiff.spaces:Torus",
    "scidiff.process:VPSchedule",
    "scidiff.denoise:GaussianMixture",
    "scidiff.guidance:LinearConstraint",
    "scidiff.mesh:torus",
    "scidiff.campaign:parse",
    "scidiff.registry:load_domain",
    "scidiff.domains.ct:simulate",
    "scidiff.domains.molecules:load",
    "scidiff.domains.molecules:validate",
    "scidiff.domains.pde:problem",
    "scidiff.domains.proteins:load",
)


def modules() -> list[str]:
    """Modules whose source holds an example."""
    names = []
    for folder, prefix in ((ROOT / "scidiff", ""), (ROOT / "domains", "scidiff.")):
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(prefix + ".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_are_true(name):
    found = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("name", CENTRAL)
def test_a_central_name_has_an_example(name):
    module, attribute = name.split(":")
    assert ">>> " in (inspect.getdoc(getattr(importlib.import_module(module), attribute)) or "")


def test_the_loop_has_an_example():
    """In the docstring of its package, because that of `run` is long as it is."""
    assert "run(" in (importlib.import_module("scidiff.sample").__doc__ or "")
