"""Loop closure: kept segments with their native geometry, brought to their exact relative pose by their linkers.

A kept residue has a rigid body. Within a run of residues of one body that are bonded in the given structure, all
internal coordinates are the given ones, not ideal ones. Between two successive runs of a body, ``e`` the last residue
of the one and ``s`` the first of the other, what has to hold is

    r = F_e^T (x_s - CA_e) - (the same in the given structure) = 0          x = N, CA, C

which the free variables ``z`` (phi, psi, and the bounded ones of omega and angles, see `bounded`) of the residues
between meet. All conditions of a chain are solved together, bodies nested in one another included, by the damped step
of least weighted size

    dz = W J^T (J W J^T + mu)^-1 r,        J from the axes of `levers`,    W = 1 for phi and psi, less for the others,

with ``mu`` proportional to ``|r|^2``, so that the convergence is quadratic at the end. Stiff residues have a smaller
``W``: linkers bend where they are coil. What does not close is reported and left as near as it came.

References
----------
A. A. Canutescu, R. L. Dunbrack, "Cyclic coordinate descent", Protein Sci. 12 (2003) 963, doi:10.1110/ps.0242703, for
the problem; the step is that of Levenberg and Marquardt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from scidiff.errors import ShapeError

from ..backbone import build_frames
from ..bounded import SLOPES
from ..chains import frames_of
from ..levers import axes
from ..relaxation import Variables
from ..torsions import Internal, measure

__all__ = ["CLOSED", "Closure", "Kept", "close"]

CLOSED = 1e-3
"""A chain counts as closed when no kept atom is further than this from its place, Å."""
_BONDED = 1.8
_ROUNDS = 60
_STEP = 0.4
_DAMPING = 0.02
_STIFF = 0.1
_WEIGHTS = (1.0, 1.0, 0.1, 0.02, 0.1, 0.1)


@dataclass(frozen=True, eq=False)
class Kept:
    """Residues that keep their geometry.

    Parameters
    ----------
    group
        Rigid body of each residue, from 1, and 0 where it is free, int64, shape ``(batch, length)``.
    xyz
        Given N, CA, C, Å, shape ``(batch, length, 3, 3)``; read where a residue is kept.
    """

    group: Tensor
    xyz: Tensor

    def __post_init__(self) -> None:
        if tuple(self.xyz.shape) != (*self.group.shape, 3, 3):
            raise ShapeError(f"xyz has shape {tuple(self.xyz.shape)}; expected {(*self.group.shape, 3, 3)} for group")

    @property
    def mask(self) -> Tensor:
        """True where a residue is kept."""
        return self.group > 0

    @property
    def joined(self) -> Tensor:
        """True where a residue is bonded to the next one in the given structure, shape ``(batch, length)``."""
        same = (self.group[:, 1:] == self.group[:, :-1]) & self.mask[:, 1:]
        bonded = (self.xyz[:, 1:, 0] - self.xyz[:, :-1, 2]).norm(dim=-1) < _BONDED
        return torch.cat((same & bonded, torch.zeros_like(same[:, :1])), dim=1)

    @property
    def given(self) -> Internal:
        """Internal coordinates; those that `fixed` does not name mean nothing."""
        spread = torch.arange(self.xyz[0].numel(), dtype=self.xyz.dtype).reshape(self.xyz.shape[1:])
        apart = torch.stack((spread[..., 0], (1.3 * spread[..., 1]).sin(), (0.7 * spread[..., 2]).cos()), dim=-1)
        points = torch.where(self.mask[..., None, None], self.xyz, apart)
        return measure(points, torch.ones_like(self.mask))

    @property
    def fixed(self) -> Internal:
        """Ones where a coordinate is given, zeros where it is free, in the places of `Internal`."""
        inside, kept = self.joined, self.mask
        before = torch.cat((torch.zeros_like(inside[:, :1]), inside[:, :-1]), dim=1)
        part = lambda *rows: torch.stack(rows, dim=-1).to(self.xyz)  # noqa: E731
        return Internal(part(before, inside, inside), part(kept, inside, inside), part(kept, kept, inside), kept)

    @property
    def links(self) -> Tensor:
        """Conditions: chain, last residue of a run, first residue of the next of its body, shape ``(links, 3)``."""
        found = []
        for row in range(len(self.group)):
            for body in self.group[row].unique().tolist():
                places = torch.nonzero(self.group[row] == body).squeeze(1).tolist()
                if body:
                    found += [(row, e, s) for e, s in pairwise(places) if not bool(self.joined[row, e])]
        return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class Closure:
    """Closed chains.

    Parameters
    ----------
    internal
        Internal coordinates.
    xyz
        N, CA, C, Å; a chain lies where its first body is given.
    error
        Largest distance of an atom at the end of a linker from its place, seen from its start, Å, shape ``(batch,)``.
    """

    internal: Internal
    xyz: Tensor
    error: Tensor


def _assembled(now: Variables, kept: Kept, given: Internal, fixed: Internal) -> Internal:
    """Internal coordinates: given ones where they are fixed, those of the variables elsewhere."""
    free = now.internal()
    pick = lambda name: torch.where(getattr(fixed, name) > 0, getattr(given, name), getattr(free, name))  # noqa: E731
    return Internal(pick("torsions"), pick("angles"), pick("bonds"), now.mask)


def _residual(xyz: Tensor, links: Tensor, want: Tensor) -> tuple[Tensor, Tensor]:
    """What is missing in the frame of the start, ``(links, 3, 3)`` by atom, and the frames."""
    rotation, origin = frames_of(xyz[links[:, 0], links[:, 1]])
    seen = (xyz[links[:, 0], links[:, 2]] - origin.unsqueeze(1)) @ rotation
    return want - seen, rotation


def _jacobian(xyz: Tensor, links: Tensor, rotation: Tensor, free: Tensor) -> Tensor:
    """Derivative of the seen atoms by the variables, ``(links, 9, length, 6)``."""
    axis, origin = axes(xyz)
    axis, origin = axis[links[:, 0]], origin[links[:, 0]]
    points = xyz[links[:, 0], links[:, 2]]
    arm = points[:, :, None, None] - origin.unsqueeze(1)
    moved = torch.linalg.cross(axis.unsqueeze(1).expand_as(arm), arm)
    place = torch.arange(xyz.shape[1])
    between = (place >= links[:, 1:2]) & (place <= links[:, 2:3])
    use = free[links[:, 0]] * between.unsqueeze(-1)
    seen = torch.einsum("kalvc,kcd->kadlv", moved, rotation) * use.unsqueeze(1).unsqueeze(1)
    return seen.flatten(1, 2)


def _slopes(now: Variables) -> Tensor:
    """Change of the six coordinates, in the order of `levers`, with the variables."""
    bent = 1 - torch.cat((now.v.unsqueeze(-1), now.u), dim=-1).tanh() ** 2
    return torch.cat((torch.ones_like(now.phi_psi), bent * now.u.new_tensor(SLOPES)), dim=-1)


def _moved(now: Variables, dz: Tensor) -> Variables:
    return replace(now, phi_psi=now.phi_psi + dz[..., :2], v=now.v + dz[..., 2], u=now.u + dz[..., 3:])


def close(internal: Internal, kept: Kept, stiff: Tensor | None = None, rounds: int = _ROUNDS) -> Closure:
    """Put given residues into chains and close the linkers between them.

    Parameters
    ----------
    internal
        Chains, float64; the geometry of free residues is brought within the rules, see `bounded`.
    kept
        Given residues.
    stiff
        True where a residue shall bend little, e.g. in a helix, shape ``(batch, length)``.
    rounds
        Largest number of steps.

    Returns
    -------
    Closure
        The chains.
    """
    given, fixed, links = kept.given, kept.fixed, kept.links
    now = Variables.of(internal)
    free = 1 - torch.cat((fixed.torsions, fixed.angles), dim=-1)
    weight = free.new_tensor(_WEIGHTS).expand_as(free)
    if stiff is not None:
        weight = torch.where(stiff.unsqueeze(-1), _STIFF * weight, weight)
    place, first = frames_of(kept.xyz[links[:, 0], links[:, 1]])
    want = (kept.xyz[links[:, 0], links[:, 2]] - first.unsqueeze(1)) @ place
    for _ in range(rounds if len(links) else 0):
        xyz = build_frames(_assembled(now, kept, given, fixed))[0]
        r, rotation = _residual(xyz, links, want)
        if float(r.norm(dim=-1).max()) < 1e-9:
            break
        jacobian = _jacobian(xyz, links, rotation, free * _slopes(now))
        now = _moved(now, _step(jacobian, r, links, weight, now.mask.shape))
    done = _assembled(now, kept, given, fixed)
    xyz = build_frames(done)[0]
    error = xyz.new_zeros(len(xyz))
    if len(links):
        worst = _residual(xyz, links, want)[0].norm(dim=-1).max(-1).values
        for row, off in zip(links[:, 0].tolist(), worst, strict=True):
            error[row] = torch.maximum(error[row], off)
    return Closure(done, xyz, error)


def _step(jacobian: Tensor, r: Tensor, links: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """Damped step of least weighted size, shape ``(batch, length, 6)``."""
    dz = weight.new_zeros(*shape, 6)
    for row in links[:, 0].unique().tolist():
        mine = links[:, 0] == row
        j, missing, w = jacobian[mine].flatten(0, 1).flatten(1), r[mine].flatten(), weight[row].flatten()
        normal = (j * w) @ j.T
        damping = 1e-9 + _DAMPING * float((missing**2).mean())
        solved = torch.linalg.solve(normal + damping * torch.eye(len(normal), dtype=normal.dtype), missing)
        step = (w * (j.T @ solved)).reshape(shape[1], 6)
        dz[row] = step * (_STEP / step.abs().max().clamp(min=_STEP))
    return dz
