"""What is installed is what is in the folder, in every way of installing it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import scidiff

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]

SMOKE = """
import json, pathlib, sys
import scidiff, scidiff.domains
from scidiff.registry import domains, load_domain
found = {name: [str(p) for p in load_domain(name).bundled] for name in domains()}
print(json.dumps({"file": scidiff.__file__, "version": scidiff.__version__, "domains": found,
                  "typed": (pathlib.Path(scidiff.__file__).parent / "py.typed").is_file(),
                  "torch": "torch" in sys.modules}))
"""


def packages_on_disk() -> set[str]:
    core = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "scidiff").rglob("__init__.py")}
    domains = {"scidiff." + ".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "domains").rglob("__init__.py")}
    return core | domains


def test_the_package_list_is_the_disk():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_every_source_file_lies_in_a_package():
    loose = [
        path
        for folder in ("scidiff", "domains")
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").is_file()
    ]
    assert not loose


def test_every_domain_is_mapped_and_registered():
    from scidiff.registry import BUILT_IN

    names = {path.parent.name for path in (ROOT / "domains").glob("*/__init__.py")}
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapped == {"scidiff": "scidiff"} | {f"scidiff.domains.{name}": f"domains/{name}" for name in names}
    assert {entry.name for entry in BUILT_IN} == names


def test_the_lock_pins_every_requirement_above_its_floor():
    pinned = dict(line.split("==") for line in LOCK)
    pinned = {re.sub("[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    for requirement in map(Requirement, wanted):
        name = re.sub("[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{name} is not in requirements.lock"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"
    assert LOCK[0].startswith("torch==")


def test_the_version_stands_in_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+", scidiff.__version__)
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "scidiff.__version__"}
    assert "version" not in PROJECT["project"]


def test_the_licence_is_there():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the sources, so that the checkout gets no build folder."""
    import shutil

    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("scidiff", "domains"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(source)], check=True, capture_output=True, cwd=out)
    return next(out.glob("*.whl"))


def smoke(where: str, cwd: Path) -> dict:
    environment = {**os.environ, "PYTHONPATH": where}
    done = subprocess.run(
        [sys.executable, "-c", SMOKE], env=environment, cwd=cwd, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_wheel_works_in_another_folder(wheel, tmp_path):
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    seen = smoke(str(target), tmp_path)
    assert Path(seen["file"]).is_relative_to(target)
    assert seen["version"] == scidiff.__version__
    assert seen["typed"]
    assert not seen["torch"]
    assert (target / "scidiff" / "demo.html").is_file()
    from scidiff.registry import load_domain

    for name, files in seen["domains"].items():
        assert [Path(file).name for file in files] == [path.name for path in load_domain(name).bundled]
        assert all(Path(file).is_relative_to(target) for file in files)


def test_a_checkout_works_without_being_installed(tmp_path):
    seen = smoke(str(ROOT), tmp_path)
    assert Path(seen["file"]).is_relative_to(ROOT)
