"""``tunebench site``: the lab's pages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli.options import RESULTS, JsonFlag, StoreOption, print_json, stderr_console
from tunebench.harness.errors import UsageError

if TYPE_CHECKING:
    from tunebench.reports.render.site import ReportLink

app = typer.Typer(add_completion=False)


@app.command()
def site(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder of the pages.")],
    store: StoreOption = str(RESULTS),
    reports: Annotated[
        str | None,
        typer.Option(
            "--reports",
            metavar="URL",
            help="Where reports are published: URL/<lab>/<YYYY>/<MM>/<DD>/<run_id>.html; default: those beside the runs.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the lab's pages: boards, nights and series, each with a page; static files for any web server or CI.

    A page whose content did not change is not written again; one that has no content any more is removed. Nothing else in
    the folder is touched.
    """
    from tunebench.reports.history import decisions
    from tunebench.reports.history.index import build
    from tunebench.reports.render.site import links_below, links_beside, write_site
    from tunebench.reports.stores.address import Address, place_of

    start = time.perf_counter()
    place = place_of(store)
    if isinstance(place, Path) and out.resolve() == place.resolve():
        raise UsageError(f"--out {out}: is the store itself; give a folder of its own, e.g. --out public")
    console = stderr_console()
    made = build(place)
    decided, warnings = decisions.read(place)
    for warning in [*made.warnings, *warnings]:
        console.print(warning, markup=False, soft_wrap=True)
    links: ReportLink
    if reports is not None:
        links = links_below(reports)
    else:
        links = (lambda _: None) if isinstance(place, Address) else links_beside(place, out)
    report = write_site(made.path, decided, out, links)
    took_s = time.perf_counter() - start
    if as_json:
        print_json({**vars(report), "seconds": round(took_s, 3)})
        return
    unchanged = report.pages - report.written
    typer.echo(
        f"Site: {out / 'index.html'} ({report.pages} pages, {report.written} written, {unchanged} unchanged,"
        f" {report.removed} removed, {report.bytes / 1e6:.1f} MB)"
    )
