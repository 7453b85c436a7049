"""What `scripts/benchmark.py` measures, as Markdown tables, which read well in a terminal, too."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import markdown

_NONE = "-"
_TIMES, _MEGABYTES = "{:.2f}×", "{:,.1f} MB"


def report(results: dict[str, Any]) -> str:
    """Return the text of everything that was measured, for a terminal or a README."""
    sections = {"released": _released, "comparison": _comparison, "memory": _memory}
    made = [section(results[name]) for name, section in sections.items() if name in results]
    return "\n\n".join([_machine(results["hardware"]), *made])


def _machine(facts: dict[str, Any]) -> str:
    where = f"{facts['gpu']}, CUDA {facts['cuda']}, " if "gpu" in facts else ""
    threads = f"{facts['threads']} thread" + "s" * (facts["threads"] != 1)
    python = f"Python {facts['python']}, torch {facts['torch']}"
    return f"On {where}{facts['cpu']} with {threads}; {python}."


def _released(r: dict[str, Any]) -> str:
    frames = r["frames"]
    rows = [
        ["parameters", f"{r['parameters'] / 1e6:.1f} million"],
        ["GFLOP to decode one frame", f"{r['gflop_per_frame']:.2f}"],
        ["decode one frame", _time(r["decode_one_frame_s"])],
        [f"decode {frames} frames", _time(r["decode_frames_s"])],
        ["... over its convolutions alone", _cell(r["decode_over_its_convolutions"], _TIMES)],
        [f"encode {frames} photos", _time(r["encode_frames_s"])],
        [f"morph of {frames} frames, the model alone", _time(r["morph_alone_s"])],
        [f"morph of {frames} frames, of two photos", _time(r["morph_photos_s"])],
        [f"... the first {r['first_frames']}, on the page", _time(r["morph_photos_first_s"])],
        [f"{frames} frames at full size, {r['full_size']} px", _time(r["full_size_s"])],
        ["memory of the process, at most", _cell(r["peak_memory_mb"], "{} MB")],
    ]
    for precision, rate in r["train_images_per_s"].items():
        rows.append([f"training, {_nets(precision)}, batch {r['batch']}", f"{rate:.1f} images/s"])
    return markdown([r["checkpoint"], ""], rows)


def _comparison(r: dict[str, Any]) -> str:
    ours, theirs, ratios = r["ours"], r.get("normflows", {}), r["ratios"]
    rows = []
    for how, rate in ours["train_images_per_s"].items():
        other = theirs.get("train_images_per_s", {}).get(how)
        figures = [_cell(rate), _cell(other), _cell(ratios.get(f"train_{how}"), _TIMES)]
        rows.append([f"training, {_nets(how)}, images/s", *figures])
        if (alone := ratios.get(f"train_{how}_over_its_convolutions")) is not None:
            rows.append(["... over its convolutions alone", _cell(alone, _TIMES), _NONE, _NONE])
    for key, label in (
        ("train_as_used", "... our fastest against its float32"),
        ("train_best_of_each", "... fastest of each"),
    ):
        rows.append([label, _NONE, _NONE, _cell(ratios.get(key), _TIMES)])
    for what in ("encode", "decode"):
        times = [_time(flow.get(f"{what}_s")) for flow in (ours, theirs)]
        rows.append([f"{what} {r['frames']} pictures", *times, _cell(ratios.get(what), _TIMES)])
    alone = _cell(ratios["decode_over_its_convolutions"], _TIMES)
    rows.append(["... over its convolutions alone", alone, _NONE, _NONE])
    for precision, measured in ours["train_memory"].items():
        mine = measured.get("activations_mb")
        its = theirs.get("train_memory", {}).get(precision, {}).get("activations_mb")
        ratio = its / mine if its and mine else None
        figures = [_cell(mine, _MEGABYTES), _cell(its, _MEGABYTES), _cell(ratio, _TIMES)]
        rows.append([f"activations of a training step, {_nets(precision)}", *figures])
    flops = [_cell(flow.get("train_gflop_per_image"), "{:.2f}") for flow in (ours, theirs)]
    rows.append(["GFLOP to train on a picture", *flops, _NONE])
    if r["compile_s"] is not None:
        rows.append(["torch.compile, once", _time(r["compile_s"]), _NONE, _NONE])
    title = f"K={r['steps']}, {_setting(r)}"
    lines = markdown([title, "ours", f"normflows {r['normflows_version'] or ''}", "ratio"], rows)
    return "\n\n".join([lines, *([r["normflows_missing"]] if "normflows_missing" in r else [])])


def _memory(r: dict[str, Any]) -> str:
    rows = []
    for m in r["curve"]:
        memory = [_cell(m.get(f"{what}_mb"), _MEGABYTES) for what in ("activations", "parameters")]
        figures = [m.get("error", memory[0]), memory[1], _time(m.get("step_s"))]
        rows.append([str(m["steps"]), "reversible" if m["reversible"] else "plain", *figures])
    span = f"from K={r['curve'][0]['steps']} to K={r['curve'][-1]['steps']}"
    ratios = {kind: _cell(ratio, _TIMES) for kind, ratio in r["growth"].items()}
    grown = "; ".join(f"{kind}: {ratio} {span}" for kind, ratio in ratios.items())
    title = f"Memory of a training step: {_setting(r)}, {_nets(r['precision'])}."
    lines = markdown(["K", "training", "activations", "parameters", "a step"], rows)
    return f"{title}\n\n{lines}\n\nActivations, {grown}."


def _setting(r: dict[str, Any]) -> str:
    size = f"{r['image_size']}x{r['image_size']}"
    return f"L={r['levels']}, width {r['width']}, {size}, batch {r['batch']}"


def _nets(how: str) -> str:
    return how.replace("bfloat16", "bf16 nets")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.1f} ms"


def _cell(value: float | None, form: str = "{:.1f}") -> str:
    return _NONE if value is None else form.format(value)
