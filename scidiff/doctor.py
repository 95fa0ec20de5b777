"""``scidiff doctor``: what works on this machine, and the command that mends what does not.

Every package that the installed scidiff requires is imported, because an installed package can still be broken; every
bundled model is compared with the hash on its card.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["examine", "render"]

_MODULES = {"astra-toolbox": "astra", "scikit-fem": "skfem"}


def examine() -> dict[str, Any]:
    """Look at everything.

    Returns
    -------
    dict
        ``ok`` (whether the core and all bundled models work), ``environment``, ``folders``, and the lists ``packages``,
        ``domains`` and ``models``, whose entries have ``name``, ``status`` (``ok`` or what is wrong), ``needed`` and
        ``fix`` (a command, or empty).
    """
    packages = list(_packages())
    domains = list(_domains())
    models = [model for entry in domains for model in entry.pop("models")]
    bad = [entry for entry in (*packages, *domains, *models) if entry["needed"] and entry["status"] != "ok"]
    return {
        "ok": not bad,
        "environment": _environment(),
        "folders": _folders(),
        "packages": packages,
        "domains": domains,
        "models": models,
    }


def _environment() -> dict[str, Any]:
    """Environment of a report, or the little that can be said without torch."""
    try:
        from scidiff.bench.environment import environment

        return environment()
    except ImportError:
        return {"python": sys.version.split()[0], "platform": platform.platform()}


def _packages() -> Iterator[dict[str, Any]]:
    """One entry for each requirement of the installed distribution."""
    try:
        from packaging.requirements import Requirement

        declared = [Requirement(text) for text in metadata.requires("scidiff") or ()]
    except ImportError as error:
        yield _entry("scidiff", "", f"not installed ({error})", True, f"{sys.executable} -m pip install -e .")
        return
    for requirement in declared:
        extra = _extra(requirement)
        if extra not in ("dev", "docs"):
            yield _package(requirement, extra)


def _extra(requirement: Requirement) -> str:
    """Name of the extra that a requirement belongs to; empty for a hard one."""
    marker = str(requirement.marker or "")
    return marker.partition("extra ==")[2].strip().strip("\"'") if "extra ==" in marker else ""


def _package(requirement: Requirement, extra: str) -> dict[str, Any]:
    """Look at one requirement."""
    own = f"{requirement.name}{requirement.specifier}"
    wanted = f"scidiff[{extra}]" if extra else own
    fix = f"{sys.executable} -m pip install '{wanted}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return _entry(requirement.name, "", "missing", not extra, fix)
    if not requirement.specifier.contains(version, prereleases=True):
        return _entry(requirement.name, version, f"expected {requirement.specifier}", not extra, fix)
    try:
        import_module(_MODULES.get(requirement.name, requirement.name.replace("-", "_").lower()))
    except Exception as error:
        again = f"{sys.executable} -m pip install --force-reinstall --no-deps '{own}'"
        return _entry(requirement.name, version, f"broken: {type(error).__name__}: {error}", not extra, again)
    return _entry(requirement.name, version, "ok", not extra, "")


def _domains() -> Iterator[dict[str, Any]]:
    """One entry for each registered domain, with its models."""
    from scidiff.registry import domains, load_domain

    for entry in domains().values():
        try:
            domain = load_domain(entry.name)
        except Exception as error:
            yield {
                **_entry(
                    entry.name,
                    "",
                    str(error),
                    True,
                    f"{sys.executable} -m pip install --force-reinstall {entry.source}",
                ),
                "models": [],
            }
        else:
            models = [_model(entry.name, path) for path in domain.models]
            yield {**_entry(entry.name, domain.protocol, "ok", True, ""), "models": models}


def _model(domain: str, path: Any) -> dict[str, Any]:
    """Compare a bundled model with its card."""
    from scidiff.errors import ScidiffError

    name = f"{domain}/{path.stem}"
    try:
        from scidiff.io.checkpoint import card_path, read_json
        from scidiff.io.files import sha256_file

        told, found = read_json(card_path(path)).get("sha256"), sha256_file(path)
    except (ScidiffError, ImportError) as error:
        return _entry(name, "", str(error), True, "")
    status = "ok" if told == found else f"sha256 is {found}, the card says {told}"
    return _entry(name, found[:12], status, True, "")


def _folders() -> dict[str, str]:
    """Where data are read and kept."""
    from scidiff.errors import ConfigError

    try:
        from scidiff.io.files import cache_folder, data_folder

        return {"cache": str(cache_folder()), "SCIDIFF_DATA": str(data_folder() or "not set")}
    except (ConfigError, ImportError) as error:
        return {"SCIDIFF_DATA": str(error)}


def _entry(name: str, version: str, status: str, needed: bool, fix: str) -> dict[str, Any]:
    return {"name": name, "version": version, "status": status, "needed": needed, "fix": fix}


def render(findings: dict[str, Any]) -> Iterator[Any]:
    """Draw the findings for the terminal.

    Parameters
    ----------
    findings
        What `examine` returned.

    Yields
    ------
    rich renderables
        Tables, then the commands that mend what is wrong.
    """
    from rich.markup import escape
    from rich.table import Table

    facts = Table(show_header=False, box=None)
    for name, value in {**findings["environment"], **findings["folders"]}.items():
        facts.add_row(name, escape(str(value)))
    yield facts
    for kind in filter(findings.get, ("packages", "domains", "models")):
        table = Table("name", "version", "status", title=kind, title_justify="left")
        for entry in findings[kind]:
            colour = "green" if entry["status"] == "ok" else "red" if entry["needed"] else "yellow"
            table.add_row(entry["name"], entry["version"], f"[{colour}]{escape(entry['status'])}[/]")
        yield table
    for entry in (*findings["packages"], *findings["domains"], *findings["models"]):
        if entry["fix"]:
            yield escape(f"{entry['name']}{'' if entry['needed'] else ' (optional)'}: {entry['fix']}")
    yield "[bold green]everything needed works[/]" if findings["ok"] else "[bold red]something needed does not work[/]"
