import numpy as np
import pytest

from facekp import registry
from facekp.errors import UserError


class Ring:
    """Example class to be built."""

    def __init__(self, radius, colour="red", codec=None):
        if radius < 0:
            raise ValueError("radius is not negative\nnor is it a text")
        self.radius, self.colour, self.codec = radius, colour, codec


def any_rows(index):
    return np.zeros(3)[index]


def full(size):
    raise MemoryError(f"no room for {size}")


RINGS = {"full": full, "ring": Ring, "dot": lambda: "dot", "row": any_rows, "part": lambda a: 1 / a}


def test_a_name_or_a_mapping_is_built():
    assert registry.build(RINGS, "dot", "shape") == "dot"
    ring = registry.build(RINGS, {"type": "ring", "radius": 3}, "shape")
    assert (ring.radius, ring.colour, ring.codec) == (3, "red", None)


def test_context_goes_to_those_who_have_a_parameter_for_it():
    assert registry.build(RINGS, "dot", "shape", codec="c", size=3) == "dot"
    assert registry.build(RINGS, {"type": "ring", "radius": 1}, "shape", codec="c", size=3).codec == "c"


def test_a_spec_is_not_changed():
    spec = {"type": "ring", "radius": 3}
    registry.build(RINGS, spec, "shape", codec="c")
    assert spec == {"type": "ring", "radius": 3}


WRONG = {
    "unknown name": ("rung", "unknown shape 'rung'; known are full, ring, dot, row, part"),
    "unknown type": ({"type": "rung"}, "unknown shape 'rung'; known are full, ring, dot, row, part"),
    "no type": ({"radius": 3}, "unknown shape 'None'; known are full, ring"),
    "nothing": (None, "unknown shape 'None'"),
    "a number": (3, "unknown shape '3'"),
    "a list": (["ring"], "unknown shape"),
    "a list for the type": ({"type": ["ring"]}, "unknown shape"),
    "a mapping for the type": ({"type": {"type": "ring"}}, "unknown shape"),
    "a very long name": ("x" * 10_000, "unknown shape 'xxx"),
    "unknown option": ({"type": "ring", "radios": 3}, "shape ring: unknown option 'radios'; known are radius, colour$"),
    "an option of nothing": ({"type": "dot", "radius": 3}, "shape dot: unknown option 'radius'; known are none"),
    "an option that is not a text": ({"type": "ring", 3: 4}, "shape ring: unknown option '3'"),
    "what the context gives": ({"type": "ring", "radius": 3, "codec": "mine"}, "unknown option 'codec'"),
    "a missing option": ("ring", "shape ring: an option has a wrong value .*radius"),
    "a refused value": ({"type": "ring", "radius": -1}, "shape ring: an option has a wrong value"),
    "a value of another kind": ({"type": "ring", "radius": "wide"}, "shape ring: an option has a wrong value"),
    "an index too large": ({"type": "row", "index": 7}, "shape row: an option has a wrong value"),
    "a size without room": ({"type": "full", "size": 9}, "shape full: an option has a wrong value .*no room for 9"),
    "a division by zero": ({"type": "part", "a": 0}, "shape part: an option has a wrong value"),
}


@pytest.mark.parametrize(("spec", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_built_is_told_in_a_line(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        registry.build(RINGS, spec, "shape", codec="c")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
