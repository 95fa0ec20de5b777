"""Cards of chains for notebooks: ribbons, gates, and the numbers of real chains beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.io.html import card, facts, image, report_card, shown, table
from scidiff.sample.display import samples_card

from .chains import Chains

if TYPE_CHECKING:
    from .torsion.samples import BackboneSamples
    from .validation import Report

__all__ = ["backbones_card", "chains_card", "report_of_chains"]

_MOST = 8
_FEWEST = 4
_SHOWN = ("helix", "strand", "rg_ratio", "favoured", "outliers", "long_range", "clashes")


def _ribbons(chains: Chains) -> str:
    """Ribbons of the first chains that are long enough to have one."""
    from .pictures import ribbon_png

    rows = [row for row in range(len(chains)) if int(chains.lengths[row]) >= _FEWEST]
    if not rows:
        return f"<div>no chain has the {_FEWEST} residues of a ribbon</div>"
    first = chains.take(rows[:_MOST])
    titles = tuple(f"{name}: {int(size)} residues" for name, size in zip(first.names, first.lengths, strict=True))
    picture = ribbon_png(first, titles=tuple(title.replace("$", "") for title in titles), dpi=72)
    return image(picture, f"ribbons of {', '.join(first.names)}") + shown(len(first), len(chains), "chains")


def chains_card(chains: Chains) -> str:
    """Draw chains."""
    sizes = chains.lengths
    least, most = int(sizes.min()), int(sizes.max())
    said = {"residues": least if least == most else f"{least} to {most}", "labels": list(chains.labels)}
    return card(f"{len(chains)} chain{'s' if len(chains) > 1 else ''}", facts(said), _ribbons(chains))


def backbones_card(samples: BackboneSamples) -> str:
    """Draw samples, and judge all of them."""
    if not len(samples):
        return samples_card(samples, "backbones")
    from .validation import validate

    chains = samples.chains
    return samples_card(samples, "backbones", _ribbons(chains), _verdicts(validate(chains)))


def _verdicts(report: Report) -> str:
    """Shares of the gates with their intervals beside those of held-out real chains."""
    found = report.as_json()["shares"]
    names = ["valid", *(f"gate_{name}" for name in report.gates)]
    rows = [(name.replace("_", " "), *_share(found[name])) for name in names]
    together = report.gates_together()
    rows.append(("all gates together", *_share(together)))
    return table(["share of chains", "here", "95 % interval", "real chains"], rows)


def _share(found: dict) -> tuple[float, str, float]:
    low, high = found["interval"]
    return found["value"], f"{low:.2f} to {high:.2f}", found["real_chains"]


def report_of_chains(report: Report) -> str:
    """Draw verdicts: shares of all chains, and one line for each of the first."""
    head = ["chain", "valid", "gates", "broken rules", *_SHOWN]
    lines = [
        (
            row["name"],
            row["valid"],
            row["passed"],
            row["broken"] or "none",
            *(float(row["numbers"][name]) for name in _SHOWN),
        )
        for row in report.rows()[:_MOST]
    ]
    title = f"validation of {len(report)} chains"
    body = table(head, lines) + shown(len(lines), len(report), "chains")
    means = {name: facts for name, facts in report.as_json()["means"].items() if name in _SHOWN}
    return report_card(title, {"mean": means}, _verdicts(report), body)
