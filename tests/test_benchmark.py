"""The benchmark measures what it says: turns, convolutions, memory, and two flows built alike."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison import (
    NormflowsGlow,
    OurGlow,
    Workload,
    compare,
    growth,
    step_memory,
    step_memory_apart,
)
from benchmarks.measuring import convolutions_of, flops_of, interleaved, peak_bytes
from benchmarks.report import report
from glow_app.common import cli
from scripts import benchmark

CPU = torch.device("cpu")
SMALL = Workload(steps=2, levels=2, width=16, image_size=8, batch=4)


def test_work_is_timed_in_turns():
    calls: list[str] = []
    works = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleaved(works, repeats=3, warmup=1)
    assert "".join(calls) == "ab" + "ababab"
    assert set(seconds) == {"a", "b"} and min(seconds.values()) >= 0


def test_peak_counts_what_is_held_at_once():
    mb = 10**6

    def one_after_the_other() -> None:
        for _ in range(3):
            torch.empty(mb, dtype=torch.uint8)

    def together() -> None:
        held = [torch.empty(mb, dtype=torch.uint8) for _ in range(3)]
        del held

    assert peak_bytes(one_after_the_other, CPU) == pytest.approx(mb, rel=0.01)
    assert peak_bytes(together, CPU) == pytest.approx(3 * mb, rel=0.01)


@pytest.mark.parametrize("kind", ["decoding", "training_step"])
def test_convolutions_alone_are_all_convolutions_and_nothing_else(kind):
    ours = OurGlow(SMALL, CPU).for_training("float32")
    work = getattr(ours, kind)(SMALL.pictures(3, CPU))

    def flops(work) -> dict[str, int]:
        with FlopCounterMode(display=False) as counter:
            work()
        return {str(k): v for k, v in counter.get_flop_counts()["Global"].items()}

    everything, alone = flops(work), flops(convolutions_of(work, CPU))
    with torch.inference_mode():  # in which the page decodes
        also_alone = convolutions_of(work, CPU) if kind == "decoding" else None
    assert also_alone is None or flops(also_alone) == alone
    assert alone == {k: v for k, v in everything.items() if "convolution" in k}
    assert len(alone) == (1 if kind == "decoding" else 2) < len(everything)


def test_the_two_flows_are_alike():
    flops, parameters = [], []
    for kind in (OurGlow, NormflowsGlow):
        flow = kind(SMALL, CPU)
        x = SMALL.pictures(SMALL.batch, CPU)
        with torch.no_grad():
            torch.testing.assert_close(flow.decode(flow.encode(x)), x)
        nets = [m for m in flow.model.modules() if isinstance(m, torch.nn.Conv2d)]
        hidden = [m for m in nets if SMALL.width in (m.in_channels, m.out_channels)]
        parameters.append(sum(p.numel() for m in hidden for p in m.parameters()))
        trained = flow.for_training("bfloat16")
        before = [p.detach().clone() for p in trained.model.parameters()]
        flops.append(flops_of(trained.training_step(x)))
        changed = zip(before, trained.model.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in changed)
    assert parameters[0] == parameters[1]  # the coupling nets are the same ones
    assert flops[0] == pytest.approx(flops[1], rel=0.1)


def test_memory_of_a_training_step_by_depth():
    """What the curve is for: plain training grows with the depth, reversible does not."""
    curve = []
    for steps in (2, 8):
        workload = dataclasses.replace(SMALL, steps=steps, image_size=16, batch=32)
        for reversible in (False, True):
            measured = step_memory(workload, "cpu", "float32", reversible=reversible)
            curve.append({"steps": steps, "reversible": reversible, **measured})
    ratios = growth(curve)
    assert 3 < ratios["plain"] < 4.5
    assert ratios["reversible"] < 1.5


def test_a_step_that_does_not_fit_is_said_to_be_so():
    workload = dataclasses.replace(SMALL, batch=10**10)
    assert step_memory_apart(workload, "cpu", "float32") == {"error": "does not fit into memory"}


def test_without_normflows_the_rest_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "normflows", None)  # how Python marks what cannot be imported
    result = compare(SMALL, CPU, ["float32"], frames=2, repeats=1, compiled=False)
    assert result["ours"]["decode_s"] > 0 and "normflows" not in result
    assert result["ratios"]["train_float32_over_its_convolutions"] > 0
    facts = {"cpu": "c", "threads": 2, "python": "3", "torch": "2"}
    text = report({"hardware": facts, "comparison": result})
    assert text.count("normflows is not installed") == 1


def test_command_measures_a_checkpoint(detailed_checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "FRAMES", 3)
    options = ["--latency", "--checkpoint", str(detailed_checkpoint), "--device", "cpu"]
    options += ["--repeats", "1", "--batch", "2", "--json"]
    assert cli.run(benchmark.main, argv=options) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"hardware", "released"}
    assert result["hardware"]["torch"] == torch.__version__
    released = result["released"]
    assert released["checkpoint"] == detailed_checkpoint.stem
    assert released["gflop_per_frame"] > 0 and released["decode_over_its_convolutions"] > 1
    assert released["train_images_per_s"]["float32"] > 0
    assert released["decode_frames_s"] > 0 and released["morph_photos_s"] > 0
    assert "morph of 3 frames, of two photos" in report(result)


def test_command_refuses_pictures_that_cannot_be_halved(here, capsys):
    options = ["--compare", "--image-size", 20, "--levels", 3, "--device", "cpu"]
    assert here("benchmark", *options) == 2
    error = capsys.readouterr().err
    assert "cannot be halved" in error and error.count("\n") == 1
