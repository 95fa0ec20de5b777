"""Trained models of the domain, by name or file: the card says what a model is, and so who loads it."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

from scidiff.domain import resolve
from scidiff.errors import CheckpointError, ConfigError, UnknownNameError
from scidiff.io.checkpoint import card_path, read_json

from .field_model import EXACT, load_field

__all__ = ["LOADERS", "bundled", "load"]

LOADERS = MappingProxyType(
    {
        "pde/darcy": "scidiff.domains.pde.darcy.model:load_darcy",
        "pde/family": "scidiff.domains.pde.constraints.family_model:load_family",
        "pde/flow": "scidiff.domains.pde.flow_model:load_flow",
    }
)
"""Function ``(path, *, device)`` that loads a model, by the domain on its card."""

_WEIGHTS = Path(__file__).parent / "weights"


def bundled() -> dict[str, Path]:
    """Models that come with the package, by name."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.safetensors"))}


def load(model: str | Path, *, device: str = "cpu") -> Any:
    """Load a bundled model by name, or a model file by path.

    Parameters
    ----------
    model
        Name or path.
    device
        Where the network runs.

    Returns
    -------
    Any
        `DarcyModel` for ``"darcy"``, `FamilyModel` for ``"heat"`` and ``"burgers"``, `FlowModel` for ``"flow"``, and
        `FieldModel` for the problems with an exact law: ``"poisson"``, ``"helmholtz"``, ``"mesh_flow"``.

    Raises
    ------
    UnknownNameError
        If there is neither.
    ConfigError
        If a device is named for a law that has no network.
    CheckpointError, IntegrityError
        If the file is damaged or of another domain.
    """
    if str(model) in EXACT:
        if device != "cpu":
            raise ConfigError(f"device '{device}' came with model '{model}', which has no network; leave it out")
        return load_field(str(model))
    known = bundled()
    path = known.get(str(model), Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("model", str(model), [*known, *EXACT])
    kind = read_json(card_path(path)).get("task", {}).get("domain")
    if kind not in LOADERS:
        raise CheckpointError(f"{path} is a model of domain '{kind}'; expected one of {', '.join(LOADERS)}")
    return resolve(LOADERS[kind])(path, device=device)
