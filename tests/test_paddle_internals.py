"""Private interfaces of Paddle are used in one file only; the tests of training show that they work."""

import re
from pathlib import Path

import facekp

PACKAGE = Path(facekp.__file__).parent
PRIVATE = re.compile(
    r"\b(model|optimizer|norm|layer|network|schedule)\._[a-z]|paddle\.(base|hapi|framework)\b|dataloader\."
)


def test_private_interfaces_of_paddle_are_used_in_one_file():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if PRIVATE.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"paddle_internals.py"}
