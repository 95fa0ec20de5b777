"""Problems in time: frames of a trajectory, linked by the propagator of the equation.

A state holds ``u`` of shape ``(batch, frames, ...)``. With the propagator ``S`` over the time between two frames the
residual is the defect of every link,

    R_n = u_{n+1} - S(u_n),

in the unit of u: it is 0 for what the solver returns and finds every frame that does not follow from the one before.
That S is the flow of the equation is not taken on trust: the independent check and the refinement tests are for that.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from .contract import Problem, State
from .units import Unit, check_dimensions

__all__ = ["Evolution"]


class Evolution(Problem):
    """A problem in time.

    Attributes
    ----------
    frames
        Number of frames, the initial one included.
    duration
        Time of the last frame.
    """

    frames: int
    duration: float

    @abstractmethod
    def initial(self, inputs: State) -> Tensor:
        """First frame, shape ``(batch, ...)``."""

    @abstractmethod
    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """``S(u)``: shape ``(batch, frames, ...)`` to the same shape, each frame moved on by `interval`."""

    @property
    def interval(self) -> float:
        """Time between two frames."""
        return self.duration / (self.frames - 1)

    @property
    def times(self) -> Tensor:
        """Times of the frames."""
        return torch.linspace(0, self.duration, self.frames, dtype=torch.float64)

    @property
    def residual_unit(self) -> Unit:
        """Unit of u; raises `DimensionError` where the terms disagree."""
        check_dimensions(self.terms, self.units)
        return self.units["u"]

    def solve(self, inputs: State) -> State:
        """Propagate from frame to frame."""
        frames = [self.initial(inputs)]
        with torch.no_grad():
            for _ in range(self.frames - 1):
                frames.append(self.propagate(frames[-1][:, None], inputs)[:, 0])
        return {**inputs, "u": torch.stack(frames, 1)}

    def residual(self, state: State) -> Tensor:
        """Defects of the links; the defect of the first frame from the initial value comes first."""
        u = state["u"]
        first = (u[:, 0] - self.initial(state))[:, None]
        return torch.cat([first, u[:, 1:] - self.propagate(u[:, :-1], state)], 1)

    def scale(self, state: State) -> Tensor:
        """Largest value."""
        return state["u"].flatten(1).abs().max(1).values

    @staticmethod
    def drift(total: Tensor, size: Tensor) -> Tensor:
        """Largest change of a conserved total, shape ``(batch, frames)``, over the size of what is summed."""
        return (total - total[:, :1]).abs().max(1).values / size
