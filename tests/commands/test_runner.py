import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("body", "status", "traceback"),
    [
        ("pass", 0, False),
        ("raise UserError('photo.jpg: two\\nlines')", 2, False),
        ("raise PermissionError(13, 'Permission denied', 'closed')", 2, False),
        ("raise FileNotFoundError(2, 'of ours', 'a file')", 1, True),
        ("raise PermissionError(1, 'of ours, of no file')", 1, True),
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
        assert done.stderr in ("-c: photo.jpg: two lines\n",
                               "-c: closed: Permission denied; check permissions and free space\n")  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("ModuleNotFoundError(name='pandas.core')", 'this command needs pandas; pip install "facekp[cpu]"'),
        (
            "ImportError('libGL.so.1: cannot open', name='cv2')",
            "OpenCV cannot be loaded (libGL.so.1: cannot open); pip",
        ),
        ("ModuleNotFoundError('no ours', name='facekp.ours')", None),
        ("ImportError('broken', name='paddle')", None),  # installed, but broken
    ],
)
def test_what_cannot_be_imported(raised, message):
    code = f"from facekp.commands.runner import run\ndef main():\n    raise {raised}\nrun(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == ((1, True) if message is None else (2, False))
    assert message is None or (message in done.stderr and len(done.stderr.splitlines()) == 1)


def test_a_signal_that_comes_while_the_process_ends_leaves_its_status():
    code = """
import atexit, os, signal
from facekp.commands.runner import run
from facekp.errors import UserError

def main():
    raise UserError("photo.jpg: no such file")

atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "-c: photo.jpg: no such file\n")
