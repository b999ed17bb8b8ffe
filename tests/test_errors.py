"""Errors: names in messages are spelt out where they could control the terminal."""

from facekp.errors import one_line


def test_names_cannot_control_the_terminal():
    assert one_line("a\x1b[2J\x07b\n c\u202e\udc80") == r"a\x1b[2J\x07b c\u202e\udc80"
    assert one_line("人脸 é") == "人脸 é"
