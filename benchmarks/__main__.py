"""Command line of the benchmarks."""

import importlib

from facekp.commands.main import Parser
from facekp.commands.runner import run

#: Names of the benchmarks, each with a module `measure_NAME` beside this one.
BENCHMARKS = (
    "train", "sticker", "inference", "peers", "clips", "many", "labels", "pose", "effects", "faces", "reliability",
)  # fmt: skip


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = Parser(prog="benchmark.py", description="Measure speed and accuracy; speed as ratios within one run.")
    which = parser.add_subparsers(dest="benchmark", required=True)
    for name in BENCHMARKS:
        module = importlib.import_module(f"measure_{name}")
        command = which.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run(main)
