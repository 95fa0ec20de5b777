"""The doctor finds what is wrong and says how to mend it."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scidiff import cli, doctor


def test_a_missing_package_is_named_with_its_command():
    entry = doctor._package(Requirement("no-such-package>=2"), "")
    assert entry["status"] == "missing"
    assert entry["fix"].endswith("-m pip install 'no-such-package>=2'")
    assert entry["needed"]


def test_an_old_package_is_named_with_its_floor():
    entry = doctor._package(Requirement("rich>=9999"), "")
    assert entry["status"] == "expected >=9999"
    assert entry["version"] == metadata.version("rich")


def test_an_optional_package_is_not_needed():
    entry = doctor._package(Requirement("no-such-package"), "ct")
    assert not entry["needed"]
    assert entry["fix"].endswith("'scidiff[ct]'")


def test_a_package_that_does_not_import_is_broken(monkeypatch):
    def fail(name):
        raise OSError("undefined symbol")

    monkeypatch.setattr(doctor, "import_module", fail)
    entry = doctor._package(Requirement("rich"), "")
    assert entry["status"] == "broken: OSError: undefined symbol"
    assert "--force-reinstall" in entry["fix"]
    optional = doctor._package(Requirement("rich>=1; extra == 'ct'"), "ct")
    assert optional["fix"].endswith("-m pip install --force-reinstall --no-deps 'rich>=1'")


def test_extras_are_read_from_the_markers():
    assert doctor._extra(Requirement("astra-toolbox>=2; extra == 'ct'")) == "ct"
    assert doctor._extra(Requirement("numpy>=1; python_version > '3'")) == ""


@pytest.mark.parametrize(("written", "told", "ok"), [(b"abc", b"abc", True), (b"abd", b"abc", False)])
def test_a_changed_model_is_found(tmp_path: Path, written, told, ok):
    path = tmp_path / "small.safetensors"
    path.write_bytes(written)
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(told).hexdigest()}))
    entry = doctor._model("toys", path)
    assert (entry["status"] == "ok") is ok


def test_a_model_without_a_card_is_found(tmp_path: Path):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"abc")
    assert "does not exist" in doctor._model("toys", path)["status"]


def test_the_whole_visit(capsys):
    """Everything that the project pins is here, so this environment has to be well."""
    assert cli.main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["ok"]
    assert {entry["name"] for entry in findings["packages"]} >= {"torch", "rdkit", "numpy"}
    assert findings["environment"]["threads"] >= 1
    assert set(findings["folders"]) == {"cache", "SCIDIFF_DATA"}


def test_what_is_wrong_is_exit_code_1(capsys, monkeypatch):
    packages = [doctor._package(Requirement("no-such-package"), "")]
    monkeypatch.setattr(doctor, "_packages", lambda: iter(packages))
    assert cli.main(["doctor"]) == 1
    assert "pip install 'no-such-package'" in capsys.readouterr().out.replace("\n", "")
