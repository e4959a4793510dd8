"""``tunebench boards``: what the boards of an inventory are and have."""

from __future__ import annotations

import typer

from tunebench.harness.cli.options import BoardsOption, InventoryOption, JsonFlag, print_json, stderr_console

app = typer.Typer(add_completion=False)


@app.command()
def boards(
    inventory: InventoryOption,
    boards: BoardsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the boards of an inventory: what each is and has, who holds it, what stays empty and why."""
    from rich.console import Console

    from tunebench.harness.cli.boards_table import TABLE_WIDTH, cards, lines, table
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.lab.survey import look_at

    chosen = load_inventory(inventory).select(boards)
    code, rows = look_at(chosen, stderr_console())
    if as_json:
        print_json([row.as_dict() for row in rows])
    else:
        console = Console()
        if console.width >= TABLE_WIDTH:
            console.print(table(rows))
        else:
            for line in cards(rows, console.width):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for line in lines(rows):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
