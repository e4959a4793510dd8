"""What ``benchmarks.finetune_steps`` prints: its columns, its headline numbers, its text."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.finetune_cases import STUDY

BASELINE = "lora-all"
WIDE_METHODS = ("lora-all", "skip2-lora")
# fmt: off
COLUMNS = (
    "dataset", "engine", "build", "method", "step_us", "forward_us", "backward_us", "update_us", "gflops",
    "peak_share", "finetune_s", "peak_rss_b", "cache_b", "reduction_vs_lora_all",
)
# fmt: on


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The study's headline numbers: by engine and build, over its three data sets."""
    by = {(r["dataset"], r["engine"], r["build"], r["method"]): r for r in rows}
    engines = sorted({(r["engine"], r["build"]) for r in rows if r["engine"] != "peft"}, key=str)
    reductions = []
    for engine, name in engines:
        measured = [by.get((d, engine, name, "skip2-lora")) for d in STUDY]
        values = [row["reduction_vs_lora_all"] for row in measured if row]
        shares = [
            by[d, engine, name, BASELINE]["peak_share"] for d in STUDY if (d, engine, name, BASELINE) in by
        ]
        if values:
            reductions.append(
                {
                    "engine": engine,
                    "build": name,
                    "skip2_reduction_mean": statistics.fmean(values),
                    "datasets": len(values),
                    "lora_all_peak_share_min": min(shares) if shares and None not in shares else None,
                }
            )
    peft = by.get(("har-hapt", "peft", None, BASELINE))
    speedups = [
        {
            "build": row["build"],
            "method": row["method"],
            "times_peft_lora_all_step": peft["step_us"] / row["step_us"],
        }
        for row in rows
        if peft
        and row["dataset"] == "har-hapt"
        and row["engine"] == "native"
        and row["method"] in WIDE_METHODS
    ]
    return {"skip2": reductions, "speedup_har": speedups}


def table(document: dict[str, Any]) -> str:
    """The document as text."""
    lines = []
    for item in document["builds"]:
        lines.append(
            f"build {item['build']}: peak {item['peak_gflops']:.1f} GFLOP/s, {item['record']['compiler']}"
        )
    if document["torch_mm_gflops"]:
        lines.append(f"torch.mm 20 x 561 x 96: {document['torch_mm_gflops']:.1f} GFLOP/s")
    lines += ["", "  ".join(f"{name[:14]:>12}" for name in COLUMNS)]
    lines += ["  ".join(f"{_shown(row[name]):>12}" for name in COLUMNS) for row in document["rows"]]
    lines += ["", "share of the read bandwidth that a cached step's samples take:"]
    for row in document["memory_bound"]:
        lines.append(
            f"  {row['dataset']} {row['build']} {row['method']}: {row['step_b'] / 1e3:.1f} kB a step, "
            f"{100 * row['read_share']:.0f}% of {row['read_b_per_s'] / 1e9:.1f} GB/s"
        )
    lines.append("")
    for row in document["summary"]["skip2"]:
        share = row["lora_all_peak_share_min"]
        lines.append(
            f"Skip2-LoRA below LoRA-All with {document['optimizer']}, mean of {row['datasets']} data sets: "
            f"{row['engine']} {row['build'] or ''} {100 * row['skip2_reduction_mean']:.1f}%"
            + (f"; LoRA-All at {100 * share:.0f}% of peak or more" if share else "")
        )
    for row in document["summary"]["speedup_har"]:
        lines.append(
            f"HAR, native {row['build']} {row['method']}: {row['times_peft_lora_all_step']:.0f}x peft's LoRA-All step"
        )
    lines += [f"skipped: {reason}" for reason in document["skipped"]]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
