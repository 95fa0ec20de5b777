"""Imports point one way, and heavy packages load when they are used."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# each part of the core imports parts to its left, and itself
ORDER = (
    "errors philox random field_noise io mesh spaces nets process denoise sample guidance train interchange analysis "
    "testing_targets domain registry testing bench campaign doctor demo cli __main__"
).split()
NARROW = {"io": {"errors"}, "nets": {"errors", "mesh", "spaces"}}
NOT_FOR_DOMAINS = {"bench", "campaign", "doctor", "demo", "cli", "registry", "__main__"}
HEAVY = {
    "torch",
    "rdkit",
    "matplotlib",
    "networkx",
    "e3nn",
    "torch_geometric",
    "lightning_fabric",
    "fcd_torch",
    "pandas",
    "dask",
    "distributed",
    "duckdb",
    "pyarrow",
    "pydantic",
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ["scidiff", *parts] if parts[0] == "domains" else parts


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, by its absolute name."""
    package = module_of(path)[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ([stem] if node.module else [f"{stem}.{alias.name}" for alias in node.names])
            if stem == "scidiff":
                yield from (f"scidiff.{alias.name}" for alias in node.names if alias.name != "__version__")


@pytest.mark.parametrize("path", sources("scidiff"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_only_what_lies_below_it(path):
    part = module_of(path)[1]
    if part in ("__init__", "domains"):
        return
    assert part in ORDER, f"say in ORDER where '{part}' lies"
    allowed = NARROW.get(part, set(ORDER[: ORDER.index(part)])) | {part}
    for name in imported(path):
        if name.startswith("scidiff."):
            assert name.split(".")[1] in allowed, f"{part} imports {name}"


@pytest.mark.parametrize("path", sources("scidiff/sample"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_machinery_of_sampling_knows_no_rule_and_rules_for_one_kind_none_for_another(path):
    inner = module_of(path)[2:]
    if inner == ["__init__"]:
        return
    allowed = {"continuous": {"continuous"}, "discrete": {"discrete"}, "learned": {"learned", "continuous"}}
    for name in imported(path):
        parts = name.split(".")
        if parts[:2] == ["scidiff", "sample"] and len(parts) > 2 and parts[2] in allowed:
            assert parts[2] in allowed.get(inner[0], set()), f"{'/'.join(inner)} imports {name}"


@pytest.mark.parametrize("path", sources("domains"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_domain_imports_the_core_and_itself(path):
    own = module_of(path)[:3]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "domains":
            pytest.fail(f"{name} is imported as 'scidiff.{name}'")
        if parts[:2] == ["scidiff", "domains"]:
            assert parts[:3] == own, f"another domain is imported: {name}"
        elif parts[0] == "scidiff" and len(parts) > 1:
            assert parts[1] not in NOT_FOR_DOMAINS, f"a domain imports {name}"


@pytest.mark.parametrize("path", sources("domains"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_domain_imports_itself_relatively(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert not (node.module or "").startswith("scidiff.domains"), f"write {node.module} as a relative import"


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sorted(sys.modules), sep='\\n', file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import scidiff",
        "import scidiff.registry; scidiff.registry.domains()",
        "import scidiff.cli; scidiff.cli.main(['--help'])",
        "from scidiff import load_domain; load_domain('molecules')",
    ],
)
def test_starting_loads_nothing_heavy(code):
    assert not modules_after(code) & HEAVY


def test_help_answers_within_a_second():
    """The best of three, in seconds of processor time: what other programs take from the clock does not count."""
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "scidiff", "--help"], check=True, capture_output=True, cwd=ROOT)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        seconds.append(used)
    assert min(seconds) < 1


def test_domains_as_a_top_level_package_is_refused():
    done = subprocess.run([sys.executable, "-c", "import domains"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "scidiff.domains.<name>" in done.stderr
