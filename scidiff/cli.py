"""The command line: ``scidiff demo | doctor | data | bench | campaign`` and one group of commands for each domain.

The groups of the domains are known by name from the registry and imported only when one of their commands is called.
A command fails with one line on standard error. Exit codes: 0 done; 1 a check failed, or an error of the program; 2 bad
input; 130 interrupted. ``SCIDIFF_DEBUG=1`` shows the traceback of any error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_group

import scidiff
from scidiff.errors import ConfigError, ScidiffError, UnknownNameError
from scidiff.io.command import Json, Seed
from scidiff.registry import Entry, domains, load_domain

if TYPE_CHECKING:
    from rich.console import Console

    from scidiff.domain import DataSet

__all__ = ["main"]

app = typer.Typer(
    name="scidiff", no_args_is_help=True, rich_markup_mode="rich", help="Diffusion models whose samples you can trust."
)
data = typer.Typer(no_args_is_help=True, help="List and fetch data sets.")
app.add_typer(data, name="data")

Fast = Annotated[bool, typer.Option("--fast", help="Only the part of at most 90 s on two cores.")]


class CampaignCommands(TyperCommand):
    """The commands of campaigns, imported when one of them is called."""

    def __init__(self) -> None:
        super().__init__(name="campaign", help="Batch design campaigns: run, stop, go on, select, export.")

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Hand the arguments to the real group."""
        from scidiff.campaign.cli import app as commands

        return get_group(commands).make_context(info_name, args, parent=parent, **extra)


class DomainCommands(TyperCommand):
    """The commands of one domain, imported when one of them is called.

    Parameters
    ----------
    entry
        The domain in the registry.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(name=entry.name, help=entry.summary, rich_help_panel="Domains")

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Hand the arguments to the real group."""
        group = get_group(load_domain(str(self.name)).load_cli())
        return group.make_context(info_name, args, parent=parent, **extra)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    args
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    try:
        root = get_group(app)
        root.add_command(CampaignCommands())
        for entry in domains().values():
            root.add_command(DomainCommands(entry))
        result = root.main(args, prog_name="scidiff", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        return _report(error)
    return result if isinstance(result, int) else 0


def _report(error: Exception) -> int:
    """Write one line about an error and return the exit code."""
    if os.environ.get("SCIDIFF_DEBUG") == "1":
        raise error
    expected = isinstance(error, ScidiffError | OSError | typer.TyperException)
    message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
    if not expected:
        message = (
            f"error in the program: {type(error).__name__}: {message} (SCIDIFF_DEBUG=1 shows where; please report it)"
        )
    if message:
        print(f"scidiff: {' '.join(message.split())}", file=sys.stderr)
    return 2 if expected else 1


def _version(wanted: bool) -> None:
    if wanted:
        print(scidiff.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Diffusion models whose samples you can trust."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("demo/index.html"),
    seed: Seed = 0,
    fast: Fast = False,
) -> None:
    """Run every domain on its bundled models and write one HTML page."""
    from scidiff.demo import run

    with _console().status("starting") as status:
        path = run(out, seed, fast, on_domain=lambda name: status.update(f"{name} ..."))
    print(path)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> int:
    """Show what works on this machine, and how to mend what does not."""
    from scidiff.doctor import examine, render

    with _console().status("importing every package"):
        findings = examine()
    if as_json:
        print(json.dumps(findings, indent=2))
    else:
        _print(*render(findings))
    return 0 if findings["ok"] else 1


@app.command()
def bench(
    suite: Annotated[str, typer.Argument(help="Name of the suite: core, or that of a domain; or 'compare'.")],
    reports: Annotated[list[Path] | None, typer.Argument(help="With 'compare': an older and a newer report.")] = None,
    fast: Fast = False,
    seed: Seed = 0,
    to_json: Json = None,
) -> int:
    """Run a benchmark suite, or compare two reports; the exit code is 1 when a row misses its bar or got worse."""
    from scidiff.bench import render, run

    if suite == "compare":
        return _compare(reports or [], to_json)
    if reports:
        raise ConfigError(f"'{reports[0]}' came after suite '{suite}'; reports are compared by 'scidiff bench compare'")
    with _console().status(suite) as status:
        told = lambda row: status.update(f"{suite}: {row.name} {row.value:.4g}")  # noqa: E731
        report = run(suite, fast, seed, told, None if to_json == Path("-") else to_json)
    if to_json == Path("-"):
        print(json.dumps(report.as_json(), indent=2, allow_nan=False))
    else:
        _print(render(report))
    return 0 if report.passed else 1


def _compare(reports: list[Path], to_json: Path | None) -> int:
    """Show what changed between two reports beyond its interval."""
    from scidiff.bench.compare import compare, read_report, render_comparison

    if len(reports) != 2:
        raise ConfigError(f"{len(reports)} reports came; expected two files, the older one first")
    found = compare(*map(read_report, reports))
    if to_json == Path("-"):
        print(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return 1 if found.worse else 0
    _print(render_comparison(found), *found.remarks)
    if to_json is not None:
        from scidiff.io.files import atomic_write

        with atomic_write(to_json) as file:
            json.dump(found.as_json(), file, indent=2, allow_nan=False)
    return 1 if found.worse else 0


@data.command("list")
def list_data(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the data sets of all domains."""
    known = _datasets()
    if as_json:
        fields = ("title", "size", "source", "licence")
        facts = {name: {field: getattr(one, field) for field in fields} for name, one in known.items()}
        print(json.dumps(facts, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "title", "entries", "source", "terms")
    for name, one in known.items():
        table.add_row(*map(escape, (name, one.title, f"{one.size:,}", one.source, one.licence)))
    _print(table)


@data.command("get")
def get_data(
    name: Annotated[str, typer.Argument(help="A name that 'scidiff data list' shows.")],
    folder: Annotated[Path | None, typer.Option(help="Where it goes; by default SCIDIFF_DATA or the cache.")] = None,
) -> None:
    """Bring a data set onto this machine and print where it lies."""
    known = _datasets()
    if name not in known:
        raise UnknownNameError("data set", name, known)
    print(known[name].get(folder, True))


def _datasets() -> dict[str, DataSet]:
    """Data sets of all domains by name."""
    known: dict[str, DataSet] = {}
    for domain in domains():
        for name, one in load_domain(domain).load_datasets().items():
            if name in known:
                raise ConfigError(f"two domains have a data set '{name}'; uninstall one of them")
            known[name] = one
    return known


def _console() -> Console:
    """Give the console of progress: standard error, silent where it is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    return console


def _print(*what: Any) -> None:
    """Print tables on standard output; wide enough to stay whole in a pipe."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(*what, sep="\n")
