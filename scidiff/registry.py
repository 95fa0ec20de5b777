"""Which domains exist: a built-in table and the entry-point group ``scidiff.domains``.

Both hold import strings, so that names are known without importing anything. A third party adds a domain in its own
``pyproject.toml``::

    [project.entry-points."scidiff.domains"]
    crystals = "scidiff_crystals:DOMAIN"
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

from scidiff.domain import Domain, resolve
from scidiff.errors import ConfigError, MissingPackageError, UnknownNameError

__all__ = ["GROUP", "Entry", "domains", "load_domain"]

GROUP = "scidiff.domains"


@dataclass(frozen=True)
class Entry:
    """A domain that is known by name.

    Parameters
    ----------
    name
        Name of the domain.
    target
        Import string of its `Domain`.
    summary
        One line for people.
    source
        The distribution that declares it.
    """

    name: str
    target: str
    summary: str
    source: str = "scidiff"


BUILT_IN = (
    Entry("ct", "scidiff.domains.ct:DOMAIN", "Computed tomography: simulate, reconstruct, validate."),
    Entry(
        "molecules", "scidiff.domains.molecules:DOMAIN", "Small molecules: sample, validate, evaluate, train, extend."
    ),
    Entry("pde", "scidiff.domains.pde:DOMAIN", "Partial differential equations: solve, certify, sample, train."),
    Entry("proteins", "scidiff.domains.proteins:DOMAIN", "Protein backbones: check, repair, assemble, design, draw."),
)


def domains() -> dict[str, Entry]:
    """Return the known domains by name, without importing any.

    Returns
    -------
    dict
        Built-in domains first, then plug-ins by name.

    Raises
    ------
    ConfigError
        If two distributions claim one name.
    """
    known = {entry.name: entry for entry in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        source = point.dist.name if point.dist is not None else "an unknown distribution"
        if point.name in known:
            raise ConfigError(
                f"'{source}' claims the domain name '{point.name}', which belongs to '{known[point.name].source}'; "
                "uninstall it, or ask its authors for another name"
            )
        known[point.name] = Entry(point.name, point.value, f"A domain of the package '{source}'.", source)
    return known


def load_domain(name: str) -> Domain:
    """Import one domain.

    Parameters
    ----------
    name
        Name of the domain.

    Returns
    -------
    Domain
        What the domain's package declares.

    Raises
    ------
    UnknownNameError
        If no domain has the name.
    MissingPackageError
        If the package of the domain cannot be imported; an `ImportError`.
    ConfigError
        If the package declares something else than a `Domain` of that name.

    Examples
    --------
    >>> from scidiff.registry import load_domain
    >>> load_domain("molecules").title
    'Molecules as two-dimensional graphs'
    """
    known = domains()
    if name not in known:
        raise UnknownNameError("domain", name, known)
    entry = known[name]
    try:
        domain = resolve(entry.target)
    except Exception as error:
        raise MissingPackageError(
            f"domain '{name}' cannot be imported from '{entry.target}': {type(error).__name__}: {error}; "
            f"reinstall '{entry.source}', or uninstall it"
        ) from error
    if not isinstance(domain, Domain) or domain.name != name:
        raise ConfigError(
            f"'{entry.target}' is {domain!r:.80}; expected a scidiff.domain.Domain named '{name}'; "
            f"correct '{entry.source}'"
        )
    return domain
