"""Hold ``tunebench search`` against an exhaustive grid of the same space, on the loopback board.

Every point of a small space is measured once; then a search measures points of its own, with a third of the grid's board
seconds. Its choice is judged by the grid's value of that point, so that luck in a second measurement does not count.
Besides, the search is replayed from many seeds over the grid's values, without a board.

    python -m benchmarks.search_grid --folder DIR            # real trials below DIR; stopped, it goes on
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.search.halves import prepare_halves
from tunebench.harness.search.sampler import Known, propose
from tunebench.harness.search.search import Goal, run_search
from tunebench.harness.search.space import Space, space_of
from tunebench.harness.search.trial import Bench
from tunebench.reports.analysis.quantities import Quantity
from tunebench.reports.studies.search.budget import Budget, parse_budget
from tunebench.reports.studies.search.front import best, cost
from tunebench.reports.studies.search.model import Search, Trial

SUITE = """[suite]
name = "search-grid"

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["ft-all", "lora-all", "skip2-lora"]

[search]
rank = [1, 4, 16]
epochs = [2, 5, 10, 20]
"""
INVENTORY = """[lab]
name = "search-grid"

[[board]]
id = "here"
kind = "loopback"
"""
BUDGET = "s=1,mb=300"
AIM: Quantity = "accuracy"
SHARE = 1 / 3
NEAR = 0.02
REPLAYS = 50


def compare(folder: Path) -> dict[str, object]:
    """Return what the grid and the search came to.

    Args:
        folder: where both keep their trials; what is there is not measured again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("suite.toml", SUITE), ("lab.toml", INVENTORY)):
        (folder / name).write_text(text)
    space, inventory = space_of(load_suite(str(folder / "suite.toml"))), load_inventory(folder / "lab.toml")
    points = space.points()
    halves = prepare_halves(space.suite_at(points[0]), data_dir=data_dir_from_env())
    bench = Bench(inventory.boards[0], inventory.lab.name, halves, False, ("benchmarks.search_grid",), print)
    grid = []
    for number, point in enumerate(points, 1):
        root = folder / "grid" / f"trial-{number:04d}"
        grid.append(bench.measure(number, point, space.suite_at(point), root))
        print(
            f"{number}/{len(points)} {point.label}: {dict(grid[-1].values)}, {grid[-1].board_s} s", flush=True
        )
    grid_s = math.fsum(trial.board_s for trial in grid)
    goal = Goal(parse_budget(BUDGET), AIM, SHARE * grid_s)
    search = run_search(space, goal, bench, folder / "search", lambda _: None)
    return {
        "grid": [asdict(trial) for trial in grid],
        "points": len(points),
        "grid_board_s": round(grid_s, 1),
        "search": _judged(grid, search),
        "search_board_s": round(search.board_s, 1),
        "search_share": round(search.board_s / grid_s, 3),
        "points_within_2_percent": sum(_near(grid, trial, goal.budget) for trial in grid),
        "replays": REPLAYS,
        "replays_within_2_percent": sum(replayed(space, grid, goal, seed) for seed in range(REPLAYS)),
    }


def _judged(grid: list[Trial], search: Search) -> dict[str, object]:
    """Return the search's choice beside the grid's best, by the grid's values."""
    top = best(grid, search.budget, search.aim)
    chosen = next((trial for trial in search.trials if trial.number == search.chosen), None)
    if top is None or chosen is None:
        return {"trials": len(search.trials), "chosen": None}
    in_grid = next(trial for trial in grid if trial.point == chosen.point)
    return {
        "trials": len(search.trials),
        "chosen": chosen.label,
        "chosen_in_grid": in_grid.values[search.aim],
        "best": top.label,
        "best_in_grid": top.values[search.aim],
        "within_2_percent": _near(grid, in_grid, search.budget),
    }


def _near(grid: list[Trial], trial: Trial, budget: Budget) -> bool:
    """Return whether a trial of the grid is within the budget, and within 2% of the grid's best."""
    top = best(grid, budget, AIM)
    if top is None or budget.excess(trial.values) > 0:
        return False
    value, aimed = cost(AIM, trial.values), cost(AIM, top.values)
    return value <= aimed + NEAR * abs(aimed)


def replayed(space: Space, grid: list[Trial], goal: Goal, seed: int) -> bool:
    """Search once more over the grid's values, with the same board seconds; tell whether the choice is near the best."""
    by_point = dict(zip(space.points(), grid, strict=True))
    known: list[Known] = []
    taken: list[Trial] = []
    while True:
        spent_s = math.fsum(trial.board_s for trial in taken)
        point = propose(space, known, goal.budget, goal.aim, seed)
        if point is None or (taken and spent_s + max(trial.board_s for trial in taken) > goal.board_s_limit):
            break
        taken.append(by_point[point])
        known.append(Known(point, by_point[point].values))
    chosen = best([replace(trial) for trial in taken], goal.budget, goal.aim)
    return chosen is not None and _near(grid, chosen, goal.budget)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="Hold the search against an exhaustive grid.")
    parser.add_argument("--folder", type=Path, required=True, help="where trials are kept")
    parser.add_argument("--record", type=Path, help="write all of it here, the grid's values included")
    asked = parser.parse_args()
    result = compare(asked.folder)
    if asked.record:
        asked.record.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "grid"}, indent=1))


if __name__ == "__main__":
    main()
