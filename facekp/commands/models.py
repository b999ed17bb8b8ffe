"""List the models, and get those that are not part of the package.

FACEKP_ZOO names the mirror that they are downloaded from: a URL, or a folder such as zoo/ of a clone. They are kept in
the folder FACEKP_CACHE (~/.cache/facekp).
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "example: FACEKP_ZOO=https://HOST/facekp facekp models --get sam_googlenet_bn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--get", nargs="+", metavar="NAME", help="download these unless they are at hand, and print their paths"
    )
    what.add_argument("--check", action="store_true", help="compare the files that are at hand with their checksums")


def run(args: argparse.Namespace) -> None:
    """List, download or check the models."""
    from facekp import zoo

    if args.get:
        for name in args.get:
            print(zoo.get(name))
        return
    if args.check:
        for name in zoo.models():
            zoo.verify(name)
        print("the files at hand match the index")
        return
    print(f"{'name':18} {'size':>8}  {'error (NME)':28} {'licence':14} at hand")
    for name, model in zoo.models().items():
        errors = ", ".join(f"{faces} {nme:.2f} %" for faces, nme in model.nme.items()) or f"finds {model.finds}"
        print(f"{name:18} {model.size / 1e6:5.1f} MB  {errors:28} {model.licence:14} {_where(zoo.find(name))}")
        print(f"    {model.about}; {model.card}")
    print(f"licence of the weights: {zoo.SHIPPED / 'LICENSE.weights'}")


def _where(weights: Path | None) -> str:
    from facekp import zoo

    places = {zoo.SHIPPED: "in the package", zoo.CLONE: "in this clone"}
    return "no; --get NAME" if weights is None else places.get(weights.parent, "downloaded")
