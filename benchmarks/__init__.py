"""What `scripts/benchmark.py` measures: speed and memory, as ratios within one run."""
