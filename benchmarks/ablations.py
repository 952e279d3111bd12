"""The paper's ablations on any data: ``python benchmarks/ablations.py --data A --test B --state FOLDER``.

Trains (``aigdetect train``) and measures (``aigdetect eval``) every row of the paper's tables 4 (adapted
blocks), 5 (module designs) and 6 (ranks) and of its figures 5 (backbones) and 6 (training data size), and
prints each table with the paper's row below ours: average precision over GANs, diffusion and autoregressive
models, and over all generators of B, in per cent, as mean and standard deviation over the seeds.
``results.json`` in the state folder holds the same for machines. A run that is there already is not done
again, also where several tables share it, and one that was interrupted goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablation_runs import Plan, carry_out, finished, make_run, plain
from ablation_tables import (
    COLUMNS,
    Ablation,
    Variant,
    choose,
    over_seeds,
    published_of,
    rank_agreement,
    read_ablations,
)
from rich.console import Console
from rich.table import Table

from aigdetect.errors import AigdetectError, UsageError
from aigdetect.files import write_atomically
from aigdetect.training.recipe import make_recipe, read_recipe

# -- what came out ------------------------------------------------------------------------------------------


def gather(plan: Plan, failures: dict[str, str]) -> dict[str, Any]:
    """All results so far as plain data, with the paper's beside them."""
    tables = []
    for table in plan.tables:
        rows = [_row(plan, table, variant, failures) for variant in table.rows]
        told = {"key": table.key, "title": table.title, "rank_agreement": _agreement(rows)}
        tables.append({**told, "rows": rows})
    return {
        "command": shlex.join(["python", *sys.argv]),
        "data": [str(root) for root in plan.data],
        "test": [str(root) for root in plan.test],
        "settings": plain(make_recipe(plan.settings).as_dict()),
        "seeds": list(plan.seeds),
        "tables": tables,
    }


def _row(plan: Plan, table: Ablation, variant: Variant, failures: dict[str, str]) -> dict[str, Any]:
    runs = [make_run(plan, variant, seed) for seed in plan.seeds]
    done = [measured for run in runs if (measured := finished(run)) is not None]
    spreads = [over_seeds(each.average_precision[place] for each in done) for place in range(len(COLUMNS))]
    published = published_of(table, variant, plan.backbone)
    return {
        "name": variant.name,
        "settings": plain(dict(variant.settings)),
        "seeds": [each.seed for each in done],
        "trainable": done[0].trainable if done else None,
        "average_precision": _by_column([spread and asdict(spread) for spread in spreads]),
        "runs": [asdict(each) for each in done],
        "failed": sorted({failures[run.folder.name] for run in runs if run.folder.name in failures}),
        "published": published
        and {
            "backbone": published[0],
            "trainable": published[1].trainable,
            "average_precision": _by_column(published[1].average_precision),
        },
    }


def _by_column(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, values, strict=True))


def _agreement(rows: Sequence[dict[str, Any]]) -> float | None:
    """Whether the rows stand in the paper's order, by the mean over all generators."""
    pairs = [
        (ours["mean"], papers["average_precision"]["average"])
        for row in rows
        if (ours := row["average_precision"]["average"])
        and (papers := row["published"])
        and papers["average_precision"]["average"] is not None
    ]
    return rank_agreement([ours for ours, _ in pairs], [papers for _, papers in pairs])


def show(results: dict[str, Any], console: Console) -> None:
    """Print every table that has a result."""
    for table in results["tables"]:
        if not any(row["seeds"] or row["failed"] for row in table["rows"]):
            continue
        shown = Table(title=table["title"], title_justify="left")
        shown.add_column("variant")
        for title in ("% trainable", "GAN", "diffusion", "autoregressive", "average", "seeds"):
            shown.add_column(title, justify="right")
        for row in table["rows"]:
            _show_row(shown, row)
        console.print(shown)
        if (value := table["rank_agreement"]) is not None:
            console.print(f"order of the averages beside the paper's: Spearman's rho {value:.2f}\n")


def _show_row(shown: Table, row: dict[str, Any]) -> None:
    spreads = row["average_precision"].values()
    cells = [_told(each["mean"], each["deviation"]) if each else "-" for each in spreads]
    state = row["failed"][0] if row["failed"] else " ".join(map(str, row["seeds"])) or "not run"
    share = "-" if row["trainable"] is None else f"{row['trainable']:.3f}"
    shown.add_row(row["name"], share, *cells, state)
    if papers := row["published"]:
        share = "-" if papers["trainable"] is None else f"{papers['trainable']:.3f}"
        values = ["-" if v is None else f"{v:.2f}" for v in papers["average_precision"].values()]
        shown.add_row(f"  paper, {papers['backbone']}", share, *values, "", style="dim")


def _told(mean: float, deviation: float | None) -> str:
    return f"{mean:.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "")


# -- the command --------------------------------------------------------------------------------------------


def read_plan(options: argparse.Namespace) -> Plan:
    """The plan of a command line.

    Raises:
        UsageError: if something in it cannot be used.
    """
    settings: dict[str, Any] = read_recipe(options.config) if options.config else {}
    for name in ("backbone", "epochs", "copies", "samples"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    extra = [f"--{name}={value}" for name in ("device", "weights") if (value := getattr(options, name))]
    tables = choose(
        read_ablations(),
        backbone=make_recipe(settings).backbone,
        keys=options.tables.split(",") if options.tables else (),
        rows=options.rows or (),
        sizes=_whole_numbers("--sizes", options.sizes) if options.sizes else (),
    )
    return Plan(
        data=tuple(options.data),
        test=tuple(options.test),
        state=options.state,
        tables=tables,
        seeds=tuple(_whole_numbers("--seeds", options.seeds)),
        settings=settings,
        extra=tuple(extra),
    )


def _whole_numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not a list of whole numbers such as 0,1,2") from None


def work(plan: Plan) -> dict[str, str]:
    """Do what is missing, all rows with the first seed first; what fails is named, and the rest goes on.

    Returns:
        why runs failed, by the name of their folder.
    """
    failures: dict[str, str] = {}
    for seed in plan.seeds:
        for table in plan.tables:
            for variant in table.rows:
                run = make_run(plan, variant, seed)
                if finished(run) is not None or run.folder.name in failures:
                    continue
                sys.stderr.write(f"{table.key}: {variant.name}, seed {seed}: {run.folder}\n")
                try:
                    carry_out(plan, run)
                except AigdetectError as error:
                    failures[run.folder.name] = str(error)
                    sys.stderr.write(f"error: {table.key}: {variant.name}, seed {seed}: {error}\n")
                keep(plan, failures)
    return failures


def keep(plan: Plan, failures: dict[str, str]) -> dict[str, Any]:
    """Write and return all results so far."""
    results = gather(plan, failures)
    write_atomically(plan.state / "results.json", f"{json.dumps(results, indent=1)}\n".encode())
    return results


def parse_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="images to train on")
    parser.add_argument("--test", type=Path, action="append", required=True, help="images to measure on")
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps every run")
    parser.add_argument("--tables", help="blocks,modules,ranks,backbones,sizes (default: all)")
    parser.add_argument(
        "--rows", action="append", help="only the row of this name; may be given several times"
    )
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--config", type=Path, help="YAML file with settings of every recipe")
    parser.add_argument("--backbone", help="image tower (default: the recipe's)")
    parser.add_argument("--epochs", type=int, help="passes over the images")
    parser.add_argument("--copies", type=int, help="with a cache: augmented copies of each image")
    parser.add_argument("--samples", type=int, help="train on this many images")
    parser.add_argument(
        "--sizes", help="numbers of images for the table sizes, such as 100,400 (default: the paper's)"
    )
    parser.add_argument("--device", help="auto, cuda, mps or cpu")
    parser.add_argument("--weights", type=Path, help="file with the backbone's weights")
    parser.add_argument("--show", action="store_true", help="run nothing: print what is there")
    return parser.parse_args()


def main() -> int:
    """Run the ablations."""
    options = parse_arguments()
    try:
        plan = read_plan(options)
        plan.state.mkdir(parents=True, exist_ok=True)
        failures = {} if options.show else work(plan)
        results = keep(plan, failures)
    except (AigdetectError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: finished runs are kept; the same command goes on\n")
        return 130
    show(results, Console(width=150) if not sys.stdout.isatty() else Console())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
