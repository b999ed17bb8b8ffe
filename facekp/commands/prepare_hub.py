"""Get PaddleHub's face_landmark_localization, for --source hub: report what is installed, and fetch what is missing.

HUB_HOME (default: ~/.paddlehub) is the folder of the modules, FACEKP_HUB_PYTHON the Python that has paddlehub.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facekp.errors import UserError
from facekp.paddlehub.client import DETECTOR, MODULE, Worker, check_module, hub_home, hub_python, need_packages
from facekp.paddlehub.install import SERVER, fetch_modules, make_environment

EXAMPLE = "example: facekp prepare-hub --check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("--check", action="store_true", help="only report what is installed; fetch nothing")
    parser.add_argument("--again", action="store_true", help="also fetch what is installed")
    parser.add_argument("--minutes", type=float, default=15, help="time limit in minutes (default: %(default)g)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--server", default=SERVER, help="address of the server (default: PaddleHub's)")
    origin.add_argument(
        "--from", dest="sources", type=Path, nargs="+", metavar="PATH", help="archives or folders of the modules"
    )
    parser.add_argument("--environment", type=Path, metavar="DIR", help="create a Python environment with paddlehub")


def run(args: argparse.Namespace) -> None:
    """Check the installation, fetch what is missing and print a summary."""
    if not 0 < args.minutes < 1e6:
        raise UserError(f"--minutes {args.minutes:g}: give a number above 0")

    for option, given in (("--environment", args.environment), ("--check", args.check)):
        for other, value in (("--from", args.sources), ("--again", args.again)):
            if given and value:
                raise UserError(f"{other} has no effect with {option}; omit one of them")
    if args.environment:
        made = make_environment(args.environment)
        print(f"{made.parent / 'hub'}: ready; for --source hub: export FACEKP_HUB_PYTHON={made}")
        return
    python, home = hub_python(), hub_home()
    worker = Worker(python, seconds=60)
    try:
        need_packages(worker)
    finally:
        worker.close()
    print(f"{python}: has what PaddleHub needs")
    wanted = []
    for name in (MODULE, DETECTOR):
        try:
            print(f"{home / 'modules' / name}: version {check_module(home / 'modules', name)}")
            if args.again:
                wanted.append(name)
        except UserError:
            if args.check:
                raise
            wanted.append(name)
    if wanted and not args.check:
        print(f"fetching {', '.join(wanted)} from {', '.join(map(str, args.sources or [args.server]))}")
        fetch_modules(python, home, args.minutes * 60, wanted, args.server, args.sources or ())
        for name in wanted:
            print(f"{home / 'modules' / name}: version {check_module(home / 'modules', name)}")
