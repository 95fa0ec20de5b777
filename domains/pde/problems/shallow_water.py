"""Shallow water on a periodic plane: a round dam breaks above a mound.

    d_t h + div q = 0,      d_t q + div(q q / h) + grad(g h^2 / 2) = -g h grad b

The state is ``(h, q_x / c, q_y / c)`` with the wave speed ``c = sqrt(g H)``, H = 1 and g = 1, so that all three are
depths. The scheme is `scidiff.domains.pde.solvers.shallow_water`: water at rest over any bottom stays at rest, and mass
is conserved, both to round-off. The dam is round and the bottom too, so the independent check solves for radius and
time alone, in another form of the equations (`radial_dam`):

    d_t h + d_r(r h u) / r = 0,      d_t (h u) + d_r(r h u^2) / r + g h d_r(h + b) = 0.

The settings of the dam are those of [1]_, with a mound added.

References
----------
.. [1] M. Takamoto et al., "PDEBench", arXiv:2210.07182, radial dam break
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError
from scidiff.random import Source

from ..contract import Field, State
from ..errors import CoefficientError
from ..evolution import Evolution
from ..solvers.shallow_water import fastest, shallow_step
from ..units import Term, Unit

__all__ = ["ShallowWater", "radial_dam"]

_LENGTH = Unit(length=1)
_COURANT = 0.45


@dataclass(frozen=True)
class ShallowWater(Evolution):
    """Dam of depth 2 and radius ``U(0.3, 0.7)`` in water of surface 1, above a mound ``U(0, 0.3) exp(-r^2)``.

    Parameters
    ----------
    size
        Number of cells along an axis of the box ``[-2.5, 2.5]^2``.
    frames, duration
        Frames, the first included, and time of the last; the waves must not come back around the box.
    gravity
        ``g``.
    substeps
        Steps between two frames; by default what a speed of 2.4 allows.
    """

    size: int = 64
    frames: int = 11
    duration: float = 1.0
    gravity: float = 1.0
    substeps: int = 0

    name = "shallow_water"
    title = "Shallow water, radial dam break above a mound"
    fields = (
        Field("b", "height of the bottom", _LENGTH, given=True),
        Field("start", "initial depth", _LENGTH, given=True),
        Field("u", "depth and momenta over c", _LENGTH),
    )
    parameters = {"c": Unit(length=1, time=-1), "H": _LENGTH}  # noqa: RUF012
    terms = (
        Term("d_t h", {"u": 1}, time=1),
        Term("c div q", {"c": 1, "u": 1}, space=1),
        Term("c div(q q / h)", {"c": 1, "u": 1}, space=1),
        Term("c grad(h^2 / 2 H)", {"c": 1, "u": 2, "H": -1}, space=1),
        Term("c h grad b / H", {"c": 1, "u": 1, "b": 1, "H": -1}, space=1),
    )
    order = 1.0
    truth_error = 4e-2
    side = 5.0

    def __post_init__(self) -> None:
        if self.size < 4 or self.frames < 2 or not self.gravity > 0 or not self.duration > 0:
            raise ConfigError(
                f"size = {self.size}, frames = {self.frames}, gravity = {self.gravity}, duration = {self.duration}; "
                "expected 4 cells and 2 frames or more, positive gravity and duration"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, components, cells."""
        return (self.frames, 3, self.size, self.size)

    @property
    def spacing(self) -> float:
        """Width of a cell."""
        return self.side / self.size

    @property
    def cell(self) -> float:
        """Cell in space and time."""
        return self.interval * self.spacing**2

    @property
    def x(self) -> Tensor:
        """Middles of the cells along an axis."""
        return (torch.arange(self.size, dtype=torch.float64) + 0.5) * self.spacing - self.side / 2

    def _steps(self) -> int:
        wanted = self.interval * 2.4 * self.gravity**0.5 / (_COURANT * self.spacing)
        return self.substeps or max(1, int(np.ceil(wanted)))

    def draw(self, noise: Source) -> State:
        """Draw mounds and dams; cells cut by the rim of the dam get their share of it from 8 x 8 points."""
        radius, height = (noise.uniform((), step=0, stream=name).numpy() for name in ("radius", "height"))
        fine = (np.arange(8 * self.size) + 0.5) * self.spacing / 8 - self.side / 2
        r = np.hypot(fine[:, None], fine)
        shape = (self.size, 8, self.size, 8)
        share = np.stack([(r < 0.3 + 0.4 * each).reshape(shape).mean((1, 3)) for each in radius])
        x = self.x.numpy()
        b = 0.3 * height[:, None, None] * np.exp(-(x[:, None] ** 2 + x**2))
        return {"b": torch.from_numpy(b), "start": torch.from_numpy(1.0 + share - b)}

    def initial(self, inputs: State) -> Tensor:
        """Water at rest."""
        h = inputs["start"]
        return torch.stack([h, torch.zeros_like(h), torch.zeros_like(h)], 1)

    def solve(self, inputs: State) -> State:
        """Propagate from frame to frame.

        Raises
        ------
        CoefficientError
            If a depth is not positive; it says where.
        NumericalError
            If the waves are too fast for the steps.
        """
        dry = torch.nonzero(~(inputs["start"] > 0))
        if len(dry):
            place = tuple(int(i) for i in dry[0])
            raise CoefficientError(
                f"start is {float(inputs['start'][place]):.4g} at {place} ({len(dry)} such cells); expected positive "
                "depths: the scheme is for wet ground; raise the water or lower the bottom",
                dry.numpy(),
            )
        out = super().solve(inputs)
        number = (
            fastest(self._momenta(out["u"], self._speed), self.gravity) * self.interval / self._steps() / self.spacing
        )
        if not float(number.max()) < 0.5:
            row = int(number.argmax())
            raise NumericalError(
                f"sample {row} has a Courant number of {float(number[row]):.3g}; expected below 0.5: give more substeps"
            )
        return out

    @property
    def _speed(self) -> float:
        return self.gravity**0.5

    @staticmethod
    def _momenta(u: Tensor, factor: float) -> Tensor:
        return u * torch.tensor([1.0, factor, factor], dtype=u.dtype)[:, None, None]

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """Steps of the finite volumes."""
        state, steps = self._momenta(u, self._speed), self._steps()
        for _ in range(steps):
            state = shallow_step(state, inputs["b"][:, None], self.gravity, self.spacing, self.interval / steps)
        return self._momenta(state, 1 / self._speed)

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Mass, and how far depths lie below 0 over the largest one."""
        h = state["u"][:, :, 0]
        size = h.flatten(1).abs().amax(1)
        below = (-h.flatten(1).amin(1)).clamp_min(0).abs() / size
        return {"mass": self.drift(h.mean((-2, -1)), size), "positivity": below}

    def reference(self, inputs: State) -> State:
        """Radius and time alone, averaged over 4 x 4 points of each cell.

        Raises
        ------
        ConfigError
            If bottom or dam are not round: this check is for the law of the problem.
        """
        fine = (torch.arange(4 * self.size, dtype=torch.float64).numpy() + 0.5) * self.spacing / 4 - self.side / 2
        x, y = fine[:, None], fine[None]
        r, mean = np.hypot(x, y), lambda f: f.reshape(*f.shape[:-2], self.size, 4, self.size, 4).mean((-3, -1))
        out = []
        for b, start in zip(inputs["b"].numpy(), inputs["start"].numpy(), strict=True):
            radius, height = self._round(b, start)
            points, depth, momentum = radial_dam(radius, height, self.times.numpy(), self.gravity)
            h = np.stack([mean(np.interp(r, points, frame)) for frame in depth])
            q = [np.interp(r, points, frame) / self._speed / r for frame in momentum]
            out.append(np.stack([h, *(np.stack([mean(part * e) for part in q]) for e in (x, y))], 1))
        return {**inputs, "u": torch.from_numpy(np.stack(out))}

    def _round(self, b: np.ndarray, start: np.ndarray) -> tuple[float, float]:
        """Radius of the dam and height of the mound."""
        x = self.x.numpy()
        bump = np.exp(-(x[:, None] ** 2 + x**2))
        height, radius = float((b / bump)[self.size // 2, self.size // 2]), 0.0
        share = start + b - 1.0
        radius = float(np.sqrt(share.sum() * self.spacing**2 / np.pi))
        round_ = (abs(share - share.T).max(), abs(share - share[::-1]).max(), abs(b - height * bump).max())
        if max(round_) > 1e-9:
            raise ConfigError(
                f"bottom or dam miss the round shape of the law by {max(round_):.3g}; the independent check is in the "
                "radius alone: certify with independent=False"
            )
        return radius, height


def radial_dam(
    radius: float, height: float, times: np.ndarray, gravity: float = 1.0, cells: int = 800
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth and momentum of a round dam break as functions of the radius.

    Central differences of the surface and Rusanov's dissipation on linear reconstructions (minmod), Heun's method.

    Parameters
    ----------
    radius, height
        Of the dam, and of the mound ``height exp(-r^2)``.
    times
        Times of the frames, from 0.
    gravity
        ``g``.
    cells
        Cells on the radius from 0 to 3.6.

    Returns
    -------
    points, depth, momentum
        Shapes ``(cells,)``, ``(frames, cells)`` twice.
    """
    width = 3.6 / cells
    face = np.arange(cells + 1) * width
    r = face[:-1] + width / 2
    b = height * np.exp(-(r**2))
    # the share of the ring that lies inside the dam
    eta = 1.0 + np.clip((radius**2 - face[:-1] ** 2) / (face[1:] ** 2 - face[:-1] ** 2), 0, 1)
    q, area = np.zeros(cells), (face[1:] ** 2 - face[:-1] ** 2) / 2

    def rate(eta: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = q / (eta - b)
        # odd and even at the axis, and as they are at the outer end
        e = np.concatenate([eta[1::-1], eta, eta[-1:], eta[-1:]])
        v = np.concatenate([-u[1::-1], u, u[-1:], u[-1:]])
        ground = np.interp(face, r, b)
        left, right = (_ends(part) for part in (e, v))
        (eta_l, eta_r), (u_l, u_r) = left, right
        h_l, h_r = eta_l - ground, eta_r - ground
        speed = np.maximum(abs(u_l) + np.sqrt(gravity * h_l), abs(u_r) + np.sqrt(gravity * h_r))
        mass = 0.5 * (h_l * u_l + h_r * u_r) - 0.5 * speed * (h_r - h_l)
        push = 0.5 * (h_l * u_l**2 + h_r * u_r**2) - 0.5 * speed * (h_r * u_r - h_l * u_l)
        middle = 0.5 * (eta_l + eta_r)
        depth_rate = -np.diff(face * mass) / area
        push_rate = -np.diff(face * push) / area - gravity * (eta - b) * np.diff(middle) / width
        return depth_rate, push_rate

    depth, momentum, now = [eta - b], [q], 0.0
    for time in times[1:]:
        steps = int(np.ceil((time - now) * 2.6 * gravity**0.5 / (0.4 * width)))
        dt, now = (time - now) / steps, time
        for _ in range(steps):
            k = rate(eta, q)
            half = eta + dt * k[0], q + dt * k[1]
            k = rate(*half)
            eta, q = 0.5 * (eta + half[0] + dt * k[0]), 0.5 * (q + half[1] + dt * k[1])
        depth.append(eta - b)
        momentum.append(q)
    return r, np.stack(depth), np.stack(momentum)


def _ends(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values on both sides of every face of the inner cells, from two ghost cells at each end."""
    jump = np.diff(field)
    a, b = jump[:-1], jump[1:]
    half = 0.25 * (np.sign(a) + np.sign(b)) * np.minimum(abs(a), abs(b))
    inner = field[1:-1]
    return (inner + half)[:-1], (inner - half)[1:]
