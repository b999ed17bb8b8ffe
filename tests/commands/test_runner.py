import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("body", "status", "traceback"),
    [
        ("pass", 0, False),
        ("raise UserError('photo.jpg: two\\nlines')", 2, False),
        ("raise KeyboardInterrupt", 130, False),
        ("raise ValueError('ours')", 1, True),
    ],
)
def test_how_tools_end(body, status, traceback):
    imports = "from facekp.commands.runner import run\nfrom facekp.errors import UserError"
    code = f"{imports}\ndef main():\n    {body}\nrun(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert ("Traceback" in done.stderr) == traceback
    if status == 2:
        assert done.stderr == "-c: photo.jpg: two lines\n"
