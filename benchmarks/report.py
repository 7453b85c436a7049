"""Measurements as Markdown tables, which read well in a terminal, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["report", "table"]

_NONE = "-"


def report(results: dict[str, Any]) -> str:
    """Text of everything that was measured, for a terminal or a README."""
    parts = [_machine(results["hardware"])]
    if "released" in results:
        parts.append(_released(results["released"]))
    if "comparison" in results:
        parts.append(_comparison(results["comparison"]))
    if "memory" in results:
        parts.append(_memory(results["memory"]))
    return "\n\n".join(parts)


def _machine(facts: dict[str, Any]) -> str:
    where = f"{facts['gpu']}, CUDA {facts['cuda']}, " if "gpu" in facts else ""
    threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    python = f"Python {facts['python']}, torch {facts['torch']}"
    return f"On {where}{facts['cpu']} with {threads}; {python}."


def _released(r: dict[str, Any]) -> str:
    frames = r["frames"]
    rows = [
        ["parameters", f"{r['parameters'] / 1e6:.1f} million"],
        ["GFLOP to decode one frame", f"{r['gflop_per_frame']:.2f}"],
        ["decode one frame", _time(r["decode_one_frame_s"])],
        [f"decode {frames} frames", _time(r["decode_frames_s"])],
        ["... over its convolutions alone", _times(r["decode_over_its_convolutions"])],
        [f"encode {frames} photos", _time(r["encode_frames_s"])],
        [f"morph of {frames} frames, the model alone", _time(r["morph_alone_s"])],
        [f"morph of {frames} frames, of two photos", _time(r["morph_photos_s"])],
        [f"... the first {r['first_frames']}, on the page", _time(r["morph_photos_first_s"])],
        [f"{frames} frames at full size, {r['full_size']} px", _time(r["full_size_s"])],
        ["memory of the process, at most", f"{r['peak_memory_mb'] or _NONE} MB"],
        *(
            [f"training, {_nets(p)}, batch {r['batch']}", f"{rate:.1f} images/s"]
            for p, rate in r["train_images_per_s"].items()
        ),
    ]
    return table([r["checkpoint"], ""], rows)


def _comparison(r: dict[str, Any]) -> str:
    ours, theirs, ratios = r["ours"], r.get("normflows"), r["ratios"]
    rows = []

    def row(label: str, mine: str, other: str = _NONE, ratio: str | None = None) -> None:
        rows.append([label, mine, other, _NONE if ratio is None else _times(ratios.get(ratio))])

    for how, rate in ours["train_images_per_s"].items():
        other = theirs and theirs["train_images_per_s"].get(how)
        row(f"training, {_nets(how)}, images/s", f"{rate:.1f}", _number(other), f"train_{how}")
        alone = ratios.get(f"train_{how}_over_its_convolutions")
        if alone is not None:
            row("... over its convolutions alone", _times(alone))
    row("... our fastest against its float32", _NONE, ratio="train_as_used")
    row("... fastest of each", _NONE, ratio="train_best_of_each")
    for what in ("encode", "decode"):
        other = theirs and theirs[f"{what}_s"]
        row(f"{what} {r['frames']} pictures", _time(ours[f"{what}_s"]), _time(other), what)
    row("... over its convolutions alone", _times(ratios["decode_over_its_convolutions"]))
    for precision, measured in ours["train_memory"].items():
        other = theirs and theirs["train_memory"][precision]
        mine = measured.get("activations_mb")
        its = other and other.get("activations_mb")
        label = f"activations of a training step, {_nets(precision)}"
        row(label, _megabytes(mine), _megabytes(its))
        rows[-1][-1] = _times(its / mine if its and mine else None)
    other = theirs and theirs["train_gflop_per_image"]
    row("GFLOP to train on a picture", f"{ours['train_gflop_per_image']:.2f}", _number(other, 2))
    for how, rate in ours["train_gflops"].items():
        other = theirs and theirs["train_gflops"].get(how)
        share = ratios[f"train_{how.replace(' ', '_')}_of_ceiling"]
        row(f"GFLOP/s in training, {_nets(how)}", f"{rate:.0f} ({share:.0%})", _number(other, 0))
    for what, rate in r["ceiling_gflops"].items():
        row(f"GFLOP/s of this machine, {what}", f"{rate:.0f}")
    if r["compile_s"] is not None:
        row("torch.compile, once", _time(r["compile_s"]))
    version = r["normflows_version"] or ""
    head = [
        f"K={r['steps']}, L={r['levels']}, width {r['width']}, "
        f"{r['image_size']}x{r['image_size']}, batch {r['batch']}",
        "ours",
        f"normflows {version}".strip(),
        "ratio",
    ]
    lines = table(head, rows)
    missing = r.get("normflows_missing")
    return f"{lines}\n\n{missing}" if missing else lines


def _memory(r: dict[str, Any]) -> str:
    rows = []
    for m in r["curve"]:
        kind = "reversible" if m["reversible"] else "plain"
        if "error" in m:
            rows.append([str(m["steps"]), kind, m["error"], _NONE, _NONE])
        else:
            figures = [_megabytes(m["activations_mb"]), _megabytes(m["parameters_mb"])]
            rows.append([str(m["steps"]), kind, *figures, _time(m["step_s"])])
    head = ["K", "training", "activations", "parameters", "a step"]
    growth = r["growth"]
    lines = [
        f"{kind}: {_times(value)} from K={r['curve'][0]['steps']} to K={r['curve'][-1]['steps']}"
        for kind, value in growth.items()
    ]
    setting = f"L={r['levels']}, width {r['width']}, {r['image_size']}x{r['image_size']}"
    title = f"Memory of a training step: {setting}, batch {r['batch']}, {_nets(r['precision'])}."
    return "\n".join([title, "", table(head, rows), "", f"Activations, {'; '.join(lines)}."])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, the columns padded to equal widths; numbers to the right."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            c.rjust(w) if i else c.ljust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def _nets(how: str) -> str:
    return how.replace("bfloat16", "bf16 nets")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.1f} ms"


def _times(ratio: float | None) -> str:
    return _NONE if ratio is None else f"{ratio:.2f}×"


def _megabytes(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.1f} MB"


def _number(value: float | None, digits: int = 1) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
