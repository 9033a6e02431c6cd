"""What results/front.tsv says: how well predictions rank plans, whether ranks survive training, who is ahead.

Writes a table of figures, and a picture of measured zeta against mean weight bits.

usage: audit_front.py results/front.tsv --out results/front_audit.tsv
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provenance import comment
from scipy.stats import spearmanr

from quaver.evaluate.points import read_table, write_table

HEADER = ("what", "of", "count", "value")
Row = dict[str, str]
STYLES = {
    "ilp": "C0o-",
    "channels": "C4^-",
    "shuffled": "C5x:",
    "greedy": "C1s--",
    "search": "C2v-.",
    "random": "0.6",
    "uniform": "C3D",
}


def family(row: Row) -> str:
    return "uniform" if row["method"].startswith("uniform") else row["method"]


def predictions(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Predicted against measured zeta before training: of all plans, and of those that lose less than a fifth."""
    pairs = [(float(row["zeta_pred"]), float(row["zeta_meas"])) for row in rows if row["zeta_pred"]]
    found: list[tuple[object, ...]] = []
    for label, chosen in (("all plans", pairs), ("zeta below 0.2", [pair for pair in pairs if pair[1] < 0.2])):
        if len(chosen) < 3:
            continue
        found.append(("Spearman, predicted and measured", label, len(chosen), f"{rank(chosen):.3f}"))
        errors = [abs(predicted - measured) for predicted, measured in chosen]
        found.append(("mean absolute error of zeta", label, len(chosen), f"{statistics.mean(errors):.4f}"))
        logs = [math.log(predicted / measured) for predicted, measured in chosen if min(predicted, measured) > 0]
        typical = math.exp(statistics.median(logs)) if logs else math.nan
        found.append(("median of predicted over measured", label, len(logs), f"{typical:.2f}"))
    return found


def training(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Whether plans keep their order: before and after as many steps each."""
    before = {row["plan_hash"]: float(row["zeta_meas"]) for row in rows if row["qat_steps"] == "0"}
    found: list[tuple[object, ...]] = []
    for steps in sorted({row["qat_steps"] for row in rows} - {"0"}, key=int):
        after = {row["plan_hash"]: float(row["zeta_meas"]) for row in rows if row["qat_steps"] == steps}
        shared = [(before[name], after[name]) for name in after if name in before]
        if len(shared) >= 3:
            label = f"before and after {steps} steps"
            found.append(("Spearman", label, len(shared), f"{rank(shared):.3f}"))
            ratio = statistics.median(b / a for a, b in shared)
            found.append(("median of zeta after over before", label, len(shared), f"{ratio:.2f}"))
    return found


def duels(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Budget by budget, each method's measured zeta less the programme's, and its standard error."""
    found: list[tuple[object, ...]] = []
    for steps in sorted({row["qat_steps"] for row in rows}, key=int):
        own = [row for row in rows if row["qat_steps"] == steps]
        best = {row["budget"]: row for row in own if row["method"] == "ilp"}
        for row in own:
            base = best.get(row["budget"])
            if base is None or row is base:
                continue
            less = float(row["zeta_meas"]) - float(base["zeta_meas"])
            error = math.hypot(float(row["stderr"]), float(base["stderr"]))
            label = f"{row['method']} {row['seed']}, {row['budget']}, {steps} steps"
            found.append(("zeta beyond the programme's", label, 1, f"{less:+.4f} (standard error {error:.4f} at most)"))
    return found


def rank(pairs: Sequence[tuple[float, float]]) -> float:
    return float(spearmanr([a for a, _ in pairs], [b for _, b in pairs]).statistic)


def picture(rows: Sequence[Row], path: Path) -> None:
    """Before training: budgets of weight bits, and of bit operations (prices of the search among them)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    untrained = [row for row in rows if row["qat_steps"] == "0"]
    full = max(float(row["bops"]) for row in untrained if row["method"] == "uniform W7A8")
    of_weights = [row for row in untrained if row["budget"].startswith("avg_bits")]
    of_operations = [row for row in untrained if row["budget"].startswith(("bops", "price"))]
    draw(left, [(row, float(row["avg_wbits"])) for row in of_weights])
    draw(right, [(row, 100 * float(row["bops"]) / full) for row in of_operations])
    left.set_xlabel("mean weight bits (inputs: 8)")
    right.set_xlabel("bit operations, % of W7A8")
    left.set_ylabel("measured zeta, share of the rate")
    left.legend()
    right.legend()
    figure.savefig(path, dpi=120)


def draw(axes: Any, points: Sequence[tuple[Row, float]]) -> None:
    """Measured zeta of (row, place on the axis), a line for each method."""
    for name, style in STYLES.items():
        own = sorted(((x, row) for row, x in points if family(row) == name), key=lambda pair: pair[0])
        x = [place for place, _ in own]
        y, error = ([float(row[key]) for _, row in own] for key in ("zeta_meas", "stderr"))
        if name == "random":
            axes.errorbar(x, y, error, fmt=".", color=style, label=name, zorder=0, capsize=2)
        elif own:
            axes.errorbar(x, y, error, fmt=style[2:], color=style[:2], label=name, ms=5, capsize=2)
    axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("front", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = read_table(arguments.front)
    untrained = [row for row in rows if row["qat_steps"] == "0"]
    table = [*predictions(untrained), *training(rows), *duels(rows)]
    write_table(arguments.out, HEADER, table, comment())
    picture(rows, arguments.out.with_suffix(".png"))
    for row in table:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
