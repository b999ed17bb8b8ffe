"""Signals, telemetry, output of libraries, and terminals that are not UTF-8, with the real command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"

TRAIN = ["train", "-c", "configs/quickstart.yml", "-o", "data.sources=[{type: drawn, train: 64, validation: 4}]",
         "-o", "network.channels=[4, 4]", "-o", "train.epochs=5000", "-o", "data.workers=1"]  # fmt: skip


def command(*arguments, **environment):
    code = "import sys; from facekp.commands.main import execute; execute(sys.argv[1], sys.argv[2:], sys.argv[1])"
    return dict(args=[sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})  # fmt: skip


def run(*arguments, **environment):
    return subprocess.run(**command(*arguments, **environment), timeout=240)


def started(tmp_path, *more):
    """Start a training run; return its process once the first epoch is saved."""
    process = subprocess.Popen(**command(*TRAIN, "-o", f"output={tmp_path}", *more))
    for line in process.stdout:
        if line.startswith(b"epoch 2/"):
            return process
    raise AssertionError(process.stderr.read())


def last_line(data):
    return data.decode().replace("\r", "\n").strip().splitlines()[-1]


def test_sigterm_ends_a_training_like_ctrl_c_and_keeps_the_last_epoch(tmp_path):
    process = started(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert last_line(stderr) == "stopped"
    assert b"Traceback" not in stderr and b"FatalError" not in stderr
    assert (tmp_path / "quickstart" / "last.safetensors").is_file()
    assert not [path for path in tmp_path.rglob(".*")]


def test_a_second_training_of_a_name_ends_at_once_whatever_it_wants(tmp_path):
    process = started(tmp_path)
    try:
        for how in ([], ["--resume"], ["--overwrite"]):
            second = run(*TRAIN, "-o", f"output={tmp_path}", *how)
            assert second.returncode == 2
            assert "another process is working on it" in last_line(second.stderr)
            assert len(second.stderr.decode().splitlines()) == 1
    finally:
        process.kill()
        process.communicate()
    resumed = run(*TRAIN, "-o", f"output={tmp_path}", "-o", "train.stop_after=1", "--resume")
    assert resumed.returncode == 0, resumed.stderr


def test_a_killed_loader_process_is_one_line(tmp_path):
    psutil = pytest.importorskip("psutil")
    process = started(tmp_path)
    loaders = psutil.Process(process.pid).children()
    assert loaders
    loaders[-1].kill()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "a loader process was killed" in last_line(stderr)
    assert b"Traceback" not in stderr


def test_ctrl_c_while_libraries_are_imported_is_one_line(tmp_path):
    process = subprocess.Popen(
        **command(*TRAIN, "-o", f"output={tmp_path}"),
        # Otherwise it ignores Ctrl-C where the tests run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    if process.returncode == -signal.SIGINT:
        pytest.skip("Python itself had not started")
    assert process.returncode == 130
    assert stderr.decode().strip() == "stopped"


@pytest.mark.parametrize("kept", [False, True])
def test_nothing_is_written_into_the_home_folder(tmp_path, kept):
    home = tmp_path / "home"
    home.mkdir()
    if kept:
        home.chmod(0o500)
    try:
        done = run("predict", PHOTO, "-o", tmp_path / "p.csv", HOME=str(home))
    finally:
        home.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert not [path for path in home.rglob("*") if "icrosoft" in str(path)]
    assert not list(home.rglob("*"))


def test_telemetry_is_the_users_to_choose():
    code = "import facekp, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, seen in ((None, b"1\n"), ("0", b"0\n")):
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        if given is not None:
            environment["ORT_DISABLE_TELEMETRY"] = given
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True)
        assert done.stdout == seen


def test_libraries_do_not_write_beside_our_line(tmp_path):
    whole = cv2.imencode(".png", cv2.imread(str(PHOTO)))[1].tobytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tags.tif").write_bytes(cv2.imencode(".tif", cv2.imread(str(PHOTO)))[1].tobytes()[:9000])
    for name in ("cut.png", "tags.tif"):
        done = run("predict", tmp_path / name, "-o", tmp_path / "p.csv")
        assert done.returncode == 2
        assert len(done.stderr.decode().splitlines()) == 1, done.stderr


def test_a_name_that_a_terminal_would_obey_is_spelt_out(tmp_path):
    name = tmp_path / "a\x1b[31mred.png"
    name.write_bytes(b"no image")
    done = run("predict", name, PHOTO, "-o", tmp_path / "p.csv")
    assert done.returncode == 0
    assert b"\x1b" not in done.stderr + done.stdout
    assert rb"a\x1b[31mred.png" in done.stderr


def test_a_terminal_that_is_not_utf_8_is_no_crash(tmp_path):
    folder = tmp_path / "人脸"
    folder.mkdir()
    done = run("sticker", PHOTO, "-o", folder / "ü.png", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"\u4eba\u8138" in done.stdout


def test_who_reads_only_a_part_of_stdout_sees_no_traceback(tmp_path):
    process = subprocess.Popen(**command("sticker", "--list"))
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() in (0, 141)
    assert b"Traceback" not in stderr and b"BrokenPipe" not in stderr
