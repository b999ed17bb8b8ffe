"""Measure speed and memory, as ratios within one run; every figure in the documents comes from here."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).resolve().parent.parent / "benchmarks"), run_name="__main__")
