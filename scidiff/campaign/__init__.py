"""Campaigns: many samples overnight, in pieces that are the same whenever and wherever they are made.

from scidiff import campaign
outcome = campaign.run("design.toml", "runs/design", workers=2)     # stop it at any time, run it again to go on
campaign.status("runs/design").as_json()
picked = campaign.select("runs/design", count=100)                  # Pareto front, then the most different ones
campaign.export("runs/design", "picked.sdf", picked)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scidiff.campaign.packages import require_packages
from scidiff.domain import lazy

if TYPE_CHECKING:
    from .exporting import export as export
    from .plan import Plan as Plan
    from .runner import Outcome as Outcome
    from .runner import open_plan as open_plan
    from .runner import run as run
    from .selection import Selection as Selection
    from .selection import select as select
    from .slurm import Slurm as Slurm
    from .specification import Specification as Specification
    from .specification import SpecificationError as SpecificationError
    from .specification import parse as parse
    from .specification import read as read
    from .state import Status as Status
    from .state import status as status

__all__ = [
    "Outcome",
    "Plan",
    "Selection",
    "Slurm",
    "Specification",
    "SpecificationError",
    "Status",
    "export",
    "open_plan",
    "parse",
    "read",
    "run",
    "select",
    "status",
]

_find = lazy(
    __name__,
    {
        "Outcome": "runner",
        "Plan": "plan",
        "Selection": "selection",
        "Slurm": "slurm",
        "Specification": "specification",
        "SpecificationError": "specification",
        "Status": "state",
        "export": "exporting",
        "open_plan": "runner",
        "parse": "specification",
        "read": "specification",
        "run": "runner",
        "select": "selection",
        "status": "state",
    },
)


def __getattr__(name: str) -> Any:
    require_packages()
    return _find(name)
