"""Repair of backbones in internal coordinates; the raw chains and the repaired ones are both reported.

``refit`` returns the backbone of exact local geometry nearest to the given one: bonds at their ideal lengths, bond
angles within 4 sd of their means, omega within 20 degrees of 180 (of 0 for a cis peptide), in the least squares sense
over N, CA and C after superposition. The bounds hold by construction (`bounded`).

``relax`` descends the energy of `relaxation` by Adam, in variables whose local geometry is valid by construction:
clashes go, residues leave the deserts of the Ramachandran map, nearly formed hydrogen bonds close, and the chain
becomes compact. A chain without a fault hardly moves. Neither repair invents a fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.errors import ConfigError

from .backbone import build
from .bounded import bounded, from_bounded
from .chains import Chains
from .descent import descend
from .quaternion_fit import fit
from .relaxation import Relaxation, Strain, Variables
from .superpose import apply
from .torsions import Internal, measure
from .validation import Report, validate

__all__ = ["Relaxation", "Repaired", "finish", "refit", "relax", "relaxed"]


@dataclass(frozen=True, eq=False)
class Repaired:
    """Chains before and after a repair.

    Parameters
    ----------
    raw, chains
        Before and after; the repaired chains lie on the raw ones.
    raw_report, report
        Their reports.
    moved
        RMSD of CA between the two after superposition, Å, shape ``(batch,)``.
    """

    raw: Chains
    chains: Chains
    raw_report: Report
    report: Report
    moved: Tensor


def _onto(xyz: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Superpose chains, atom by atom."""
    weight = mask.to(xyz).repeat_interleave(3, dim=1)
    motion = fit(xyz.detach().flatten(1, 2), target.flatten(1, 2), weight)
    return apply(motion, xyz.flatten(1, 2)).reshape(xyz.shape)


def finish(raw: Chains, internal: Internal) -> Repaired:
    """Build, lay on the raw chains, report both."""
    xyz = _onto(build(internal), raw.xyz, raw.mask)
    chains = replace(raw, xyz=torch.where(raw.mask[..., None, None], xyz, 0.0))
    square = ((chains.ca - raw.ca) ** 2).sum(-1) * raw.mask
    moved = (square.sum(1) / raw.lengths).sqrt()
    return Repaired(raw, chains, validate(raw), validate(chains), moved)


def refit(chains: Chains, rounds: int = 60) -> Repaired:
    """Project chains onto exact local geometry.

    Parameters
    ----------
    chains
        A batch.
    rounds
        Iterations of L-BFGS.

    Returns
    -------
    Repaired
        Raw and repaired chains with their reports.
    """
    raw = chains.to(torch.float64)
    start = measure(raw.xyz, raw.mask)
    u, v, state = bounded(start)
    variables = [value.detach().clone().requires_grad_() for value in (start.torsions[..., :2], u, v)]
    real = raw.mask[..., None, None]

    def energy() -> Tensor:
        xyz = _onto(build(from_bounded(*variables, state, raw.mask)), raw.xyz, raw.mask)
        return (((xyz - raw.xyz) ** 2) * real).sum()

    _minimise(variables, energy, rounds)
    return finish(raw, from_bounded(*(value.detach() for value in variables), state, raw.mask))


def _minimise(variables: list[Tensor], energy: Callable[[], Tensor], rounds: int) -> None:
    """L-BFGS with a line search."""
    optimizer = torch.optim.LBFGS(variables, max_iter=rounds, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = energy()
        value.backward()
        return value

    optimizer.step(closure)


def relax(chains: Chains, settings: Relaxation | None = None, *, held: Tensor | None = None) -> Repaired:
    """Remove clashes, mend torsions and nearly formed hydrogen bonds, draw long chains in.

    Parameters
    ----------
    chains
        A batch. Bond angles, omega and bonds that break a rule are brought to its edge.
    settings
        Weights and steps.
    held
        Rigid body of residues that keep their pose, up to a stiff restraint, as of `relaxation.Strain`;
        `scaffolding.closure.close` makes it exact.

    Returns
    -------
    Repaired
        Raw and repaired chains with their reports.

    Raises
    ------
    ConfigError
        If a number of steps is not positive.
    """
    raw = chains.to(torch.float64)
    return finish(raw, relaxed(raw, settings, held=held))


def relaxed(chains: Chains, settings: Relaxation | None = None, *, held: Tensor | None = None) -> Internal:
    """Return the internal coordinates that `relax` finds, float64, without reports."""
    settings = Relaxation() if settings is None else settings
    if settings.steps < 1:
        raise ConfigError(f"steps is {settings.steps}; expected at least 1")
    exact = Variables.of(measure(chains.xyz.double(), chains.mask))
    start = exact.to(torch.float32)
    done = descend(Strain(chains, start, settings, held), start, settings)
    return replace(exact, phi_psi=done.phi_psi.double(), u=done.u.double(), v=done.v.double()).internal()
