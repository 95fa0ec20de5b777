"""Checks of a domain: what it declares, its demonstration, its benchmark."""

from __future__ import annotations

from pathlib import Path

from scidiff.domain import CampaignAdapter, DemoSection, Domain, Row
from scidiff.testing.require import require

__all__ = ["check_bench", "check_demo", "check_domain"]


def check_domain(domain: Domain) -> None:
    """Check what a domain declares: names, folder, commands, data sets, bundled models.

    Parameters
    ----------
    domain
        The domain.

    Raises
    ------
    AssertionError
        If the declaration breaks the contract of `scidiff.domain.Domain`.
    """
    from typer import Typer

    from scidiff.io.checkpoint import card_path

    require(isinstance(domain, Domain), f"{domain!r:.80} is not a scidiff.domain.Domain")
    require(
        domain.name.isidentifier() and domain.name.islower(), f"name '{domain.name}' is no lower-case Python identifier"
    )
    require(domain.title and "\n" not in domain.title, "the title is not one line")
    require(domain.home.is_dir(), f"home '{domain.home}' is not a folder")
    require(callable(domain.demo) and callable(domain.bench_rows), "demo and bench_rows have to be functions")
    cli = domain.load_cli()
    require(isinstance(cli, Typer), f"'{domain.cli}' is a {type(cli).__name__}, not a typer.Typer")
    for name, one in domain.load_datasets().items():
        for attribute in ("title", "size", "source", "licence", "get"):
            require(hasattr(one, attribute), f"data set '{name}' lacks '{attribute}'")
    if domain.campaign:
        adapter = domain.load_campaign()
        require(
            isinstance(adapter, CampaignAdapter), f"'{domain.campaign}' is a {type(adapter).__name__}, not an adapter"
        )
        require(set(adapter.required) <= set(adapter.conditions), "a required parameter of a condition is not known")
        require(all(ending.startswith(".") for ending in adapter.writers), "the ending of a writer has no dot")
    for path in domain.models:
        require(card_path(path).is_file(), f"model '{path.name}' has no card '{card_path(path).name}' beside it")


def check_demo(domain: Domain, folder: Path, seed: int = 0) -> DemoSection:
    """Run the fast demonstration of a domain and check what it returns.

    Parameters
    ----------
    domain
        The domain.
    folder
        An empty folder.
    seed
        Seed of the demonstration.

    Returns
    -------
    DemoSection
        The section.

    Raises
    ------
    AssertionError
        If the section says nothing or shows nothing.
    """
    section = domain.demo(folder, seed, True)
    require(isinstance(section, DemoSection), f"demo returned a {type(section).__name__}, not a DemoSection")
    require(section.title and section.lead, "the section has no title or no lead")
    require(section.rows and section.pictures, "the section has no numbers or no pictures")
    for picture in section.pictures:
        content = picture.content
        image = "<svg" in content if isinstance(content, str) else content.startswith(b"\x89PNG\r\n\x1a\n")
        require(image and picture.caption, f"picture '{picture.caption}' is neither SVG nor PNG, or has no caption")
    return section


def check_bench(domain: Domain, seed: int = 0) -> tuple[Row, ...]:
    """Run the fast benchmark of a domain and check its rows.

    Parameters
    ----------
    domain
        The domain.
    seed
        Seed of the benchmark.

    Returns
    -------
    tuple of Row
        The rows.

    Raises
    ------
    AssertionError
        If there is no row, a name comes twice, an interval does not hold its value, or no row has a baseline.
    """
    rows = tuple(domain.bench_rows(True, seed))
    names = [row.name for row in rows]
    require(rows, "the benchmark has no rows")
    require(all(isinstance(row, Row) for row in rows), "the benchmark yields something else than rows")
    require(len(set(names)) == len(names), f"row names repeat: {sorted({n for n in names if names.count(n) > 1})}")
    for row in rows:
        inside = row.interval is None or row.interval[0] <= row.value <= row.interval[1]
        require(inside, f"the interval {row.interval} of row '{row.name}' does not hold its value {row.value}")
    require(any(row.baseline is not None for row in rows), "no row has a baseline")
    return rows
