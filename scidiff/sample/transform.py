"""The contract of a transform: a change of the prediction between the network and the rule.

Guidance, constraints, temperature and projections of the clean estimate are transforms. A transform is pure; what it
wants to keep it puts into the records of the `RunState`. It may declare

* *branches*: the same network under other conditions, evaluated in one batch with the main one,
* *gradient*: that it pulls a vector back through the network,

and reads them from the `Evaluation` that comes with the prediction. Further network calls go through the same object,
which books them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from scidiff.sample.state import RunState
from scidiff.spaces import State

if TYPE_CHECKING:
    from scidiff.sample.model import Evaluation

__all__ = ["Branch", "Transform"]


@dataclass(frozen=True, eq=False)
class Branch:
    """The network under another condition.

    Parameters
    ----------
    condition
        Condition of this branch, batch first.
    due
        True for the samples that need the branch now, shape ``(batch,)``; all by default. For the others the
        prediction of the branch is that of the main one, so that differences vanish.
    """

    condition: Any
    due: Tensor | None = None


class Transform(ABC):
    """A change of the prediction: guidance, constraint, projection of the clean estimate."""

    @property
    def gradient(self) -> bool:
        """Whether `Evaluation.pullback` is needed; costs a graph through the network."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise of its own: such predictions have no derivative in time.

        Rules of order above 2 enlarge that noise and keep no order of theirs: use order 1 or 2.
        """
        return False

    def branches(self, state: RunState) -> Mapping[str, Branch]:
        """Name the branches that are needed at this step."""
        return {}

    @abstractmethod
    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Change the prediction.

        Parameters
        ----------
        m
            The prediction as earlier transforms left it.
        state
            The run.
        evaluation
            What the network said at this step, and the network itself.

        Returns
        -------
        m, state
            The changed prediction, and the state with what is to be recorded. Both may hold other rows of the batch
            than came, in step with each other.
        """

    def close(self, process: Any, state: RunState) -> RunState:
        """Finish the records after the last step of a run; nothing by default."""
        return state
