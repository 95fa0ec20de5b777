"""The registry knows names without importing, and refuses what is broken or taken."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from scidiff import registry
from scidiff.domain import Domain
from scidiff.errors import ConfigError, MissingPackageError, ScidiffError, UnknownNameError


@pytest.fixture
def plug_in(monkeypatch, tmp_path):
    """Declare one entry point; give the text of its module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def declare(name: str, target: str, module: str = "") -> None:
        (tmp_path / "plugin_under_test.py").write_text(module)
        monkeypatch.delitem(sys.modules, "plugin_under_test", raising=False)
        monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint(name, target, group)])

    yield declare
    sys.modules.pop("plugin_under_test", None)


GOOD = """
from pathlib import Path
from scidiff.domain import Domain, deferred
DOMAIN = Domain("crystals", "Crystals", Path(__file__).parent, "x:app", deferred("x:demo"), deferred("x:rows"))
"""


def test_a_plug_in_is_listed_without_being_imported(plug_in):
    plug_in("crystals", "plugin_under_test:DOMAIN", "raise RuntimeError('imported')")
    assert "crystals" in registry.domains()
    assert "plugin_under_test" not in sys.modules


def test_a_good_plug_in_loads(plug_in):
    plug_in("crystals", "plugin_under_test:DOMAIN", GOOD)
    domain = registry.load_domain("crystals")
    assert isinstance(domain, Domain)
    assert domain.title == "Crystals"
    assert domain.models == ()


def test_a_broken_plug_in_fails_when_it_is_asked_for_and_says_which(plug_in):
    plug_in("crystals", "plugin_under_test:DOMAIN", "raise RuntimeError('a part is lost')")
    with pytest.raises(ImportError, match=r"'crystals'.*'plugin_under_test:DOMAIN'.*a part is lost") as caught:
        registry.load_domain("crystals")
    assert isinstance(caught.value, MissingPackageError)


def test_a_missing_attribute_is_named(plug_in):
    plug_in("crystals", "plugin_under_test:DOMAIN", "other = 1")
    with pytest.raises(MissingPackageError, match="DOMAIN"):
        registry.load_domain("crystals")


@pytest.mark.parametrize("module", ["DOMAIN = 3", GOOD.replace('"crystals"', '"minerals"')])
def test_another_object_is_refused(plug_in, module):
    plug_in("crystals", "plugin_under_test:DOMAIN", module)
    with pytest.raises(ConfigError, match="named 'crystals'"):
        registry.load_domain("crystals")


def test_a_taken_name_is_refused(plug_in):
    plug_in("molecules", "plugin_under_test:DOMAIN", GOOD)
    with pytest.raises(ConfigError, match="'molecules'"):
        registry.domains()


def test_an_unknown_name_lists_what_exists():
    with pytest.raises(UnknownNameError, match="molecules") as caught:
        registry.load_domain("molecule")
    assert "Did you mean 'molecules'?" in str(caught.value)
    assert isinstance(caught.value, ScidiffError)
