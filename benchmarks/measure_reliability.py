"""Reliability: trainings, tables and videos killed at random times and restarted; memory over long runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "assets" / "photos" / "astronaut.png"

#: Config -> options that make it small; DATA is replaced by a folder of drawn faces.
RUNS = {
    "quickstart": ["network.channels=[4, 4]", "data.sources=[{type: drawn, train: 48, validation: 8}]"],
    "face_detector": ["network={type: plain_detector, channels: [4, 4, 8, 8, 8], width: 8, blocks: [1, 1, 1]}",
                      "size=96",
                      "data.sources=[{type: csv68, root: DATA}]"],
    "resnet18_frozen": ["data.sources=[{type: drawn, train: 16, validation: 4}]"],
}  # fmt: skip
COMMON = ["train.epochs=4", "train.batch_size=8", "data.workers=1"]

COMMAND = [sys.executable, "-c", "from facekp.commands.main import main; main()"]


def options(config: str, folder: Path, name: str) -> list[str]:
    """Return the options of a training of `config` whose run is in `folder / name`."""
    data = folder / "data"
    return [*(text.replace("DATA", str(data)) for text in RUNS[config]), *COMMON, f"output={folder / name}"]


def same_arrays(one: Path, other: Path) -> bool:
    """Return whether two safetensors files hold the same arrays, bit by bit."""
    from safetensors.numpy import load_file

    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


def same_run(one: Path, other: Path) -> bool:
    """Return whether two runs have equal weights, checkpoints and tables of metrics, except the seconds."""
    import pandas as pd

    tables = [pd.read_csv(run / "metrics.csv").drop(columns="seconds") for run in (one, other)]
    files = all(same_arrays(one / name, other / name) for name in ("best.safetensors", "last.safetensors"))
    return files and tables[0].equals(tables[1])


def forked(act: Callable[[], object]) -> int:
    """Run a function in a forked child process with the libraries already imported, and return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        act()
        code = 0
    finally:
        os._exit(code)


def writing_in(folder: Path) -> bool:
    """Return whether a temporary file is in a folder or below it: its process is writing."""
    with contextlib.suppress(FileNotFoundError):  # it was renamed, or does not exist yet
        return any(not file.name.endswith(".lock") for file in folder.rglob(".*"))
    return False


def kill_until_done(
    start: Callable[[], int], seconds: float, left: int, dice: random.Random, target: Path | None = None
) -> tuple[int, int, bool]:
    """Start a process, kill it after a random time and restart it; once no kills are left, let it finish.

    Args:
        start: Function that starts a child process and returns its process id.
        seconds: Maximum time before a kill.
        left: Maximum number of kills.
        dice: Random generator of the times.
        target: Every second kill waits until a file is being written in this folder.

    Returns:
        Number of kills, number of these while a file in `target` was written, and whether the process succeeded.
    """
    killed = wrote = 0
    while True:
        child, deadline = start(), time.monotonic() + dice.uniform(0.0, seconds)
        aimed = target is not None and killed % 2 == 0
        while True:
            changed, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            due = killed < left and time.monotonic() > deadline
            if changed and not os.WIFSTOPPED(status):
                return killed, wrote, os.waitstatus_to_exitcode(status) == 0
            if changed:  # stopped below: nothing changes between this check and the kill
                writes = target is not None and writing_in(target)
                if writes or not aimed:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    killed, wrote = killed + 1, wrote + writes
                    break
                os.kill(child, signal.SIGCONT)
            elif due and (not aimed or (target and writing_in(target))):
                os.kill(child, signal.SIGSTOP)
            time.sleep(0 if due else 0.005)


def runs(folder: Path, kills: int, dice: random.Random) -> bool:
    """Kill trainings in one process: points, boxes and fine-tuning with a frozen backbone."""
    from tests_support import draw_csv

    from facekp.training import load_config, train

    (folder / "data").mkdir()
    draw_csv(folder / "data")
    good, total, written, finished = True, 0, 0, 0
    lengths: dict[str, float] = {}
    while total < kills:
        for config in RUNS:
            path = f"configs/{config}.yml"

            def act(name: str, path: str = path, config: str = config) -> None:
                run = folder / name / config
                resume, started = (run / "last.safetensors").is_file(), (run / "config.yml").is_file()
                train(load_config(path, options(config, folder, name)), resume=resume, overwrite=started and not resume)

            if config not in lengths:
                started = time.monotonic()
                *_, well = kill_until_done(lambda act=act: forked(lambda: act("whole")), 1.0, 0, dice)  # type: ignore[misc]
                lengths[config] = time.monotonic() - started
                assert well, f"{config}: a run left alone failed"
            name = f"killed{finished}"
            killed, wrote, well = kill_until_done(
                lambda act=act, name=name: forked(lambda: act(name)),  # type: ignore[misc]
                lengths[config] * 0.7, min(8, kills - total), dice, folder / name,
            )  # fmt: skip
            total, written, finished = total + killed, written + wrote, finished + 1
            equal = well and same_run(folder / "whole" / config, folder / name / config)
            good &= equal
            left = [file.name for file in (folder / name).rglob(".*")]
            verdict = "equal" if equal else "DIFFERS"
            print(f"{config}: killed {killed} times, {verdict}, left behind: {left or 'nothing'}", flush=True)
            shutil.rmtree(folder / name)
    print(f"runs: {total} kills, {written} of them while a file was written, {finished} runs finished")
    return good


def pairs(folder: Path, kills: int, dice: random.Random) -> bool:
    """Kill trainings in two processes, all processes at once."""
    import psutil

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

    def start(name: str) -> subprocess.Popen[bytes]:
        run = folder / name / "quickstart"
        again = ["--resume"] if (run / "last.safetensors").is_file() else (
            ["--overwrite"] if (run / "config.yml").is_file() else [])  # fmt: skip
        launcher = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
        launcher += ["--log_dir", str(folder / "log")]
        values = [*options("quickstart", folder, name), "train.epochs=20"]
        chosen = [part for value in values for part in ("-o", value)]
        command = [*launcher, "tools/train.py", "-c", "configs/quickstart.yml", *chosen, *again]
        return subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    started = time.monotonic()
    assert start("whole").wait() == 0
    length = time.monotonic() - started
    total, good, finished = 0, True, 0
    while total < kills:
        name = f"killed{finished}"
        for _ in range(min(4, kills - total)):
            process = start(name)
            try:
                process.wait(dice.uniform(length * 0.3, length))
                break
            except subprocess.TimeoutExpired:
                everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                for each in everyone:  # the launcher's children have their own sessions
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
                psutil.wait_procs(everyone, 10)
                process.wait()
                total += 1
        else:
            process = start(name)
        equal = process.wait() == 0 and same_run(folder / "whole" / "quickstart", folder / name / "quickstart")
        good, finished = good and equal, finished + 1
        print(f"two processes: {total} kills so far, {'equal' if equal else 'DIFFERS'}", flush=True)
    return good


def predict(folder: Path, kills: int, dice: random.Random) -> bool:
    """Kill predictions to tables of points, CSV and Parquet."""
    import cv2

    from facekp.inference.many import predict as find
    from facekp.loading import load_landmarker

    (folder / "in").mkdir()
    photo = cv2.imread(str(PHOTO))
    for number in range(40):
        cv2.imwrite(str(folder / "in" / f"{number:02d}.jpg"), np.roll(photo, 3 * number, 1))
    paths = sorted((folder / "in").iterdir())
    good = True
    for suffix in (".csv", ".parquet"):

        def act(name: str, suffix: str = suffix) -> None:
            find(paths, lambda: load_landmarker(threads=1), folder / (name + suffix), resume=True, threads=1)

        started = time.monotonic()
        kill_until_done(lambda act=act: forked(lambda: act("whole")), 1.0, 0, dice)  # type: ignore[misc]
        length, total, finished = time.monotonic() - started, 0, 0
        while total < kills // 2:
            name = f"killed{finished}"
            killed, _, well = kill_until_done(
                lambda act=act, name=name: forked(lambda: act(name)),  # type: ignore[misc]
                length * 0.6, min(8, kills // 2 - total), dice,
            )  # fmt: skip
            total, finished = total + killed, finished + 1
            equal = well and (folder / f"whole{suffix}").read_bytes() == (folder / (name + suffix)).read_bytes()
            good &= equal
        left = sorted(file.name for file in folder.iterdir() if file.suffix not in (".csv", ".parquet", ""))
        print(f"predict {suffix}: {total} kills, {finished} tables finished, {'equal' if good else 'DIFFERS'}, left "
              f"behind: {left or 'nothing'}", flush=True)  # fmt: skip
    return good


def video(folder: Path, kills: int, dice: random.Random) -> bool:
    """Kill conversions of a video with a sticker: afterwards there is the complete result, or none."""
    import cv2

    from facekp.inference.tracking import Tracker
    from facekp.io.video import convert, write_video
    from facekp.loading import load_landmarker
    from facekp.stickers import load_sticker

    photo = cv2.imread(str(PHOTO))
    write_video(folder / "in.mp4", [np.roll(photo, 2 * number, 1) for number in range(60)])
    target = folder / "out.mp4"

    def act() -> None:
        tracker, sticker = Tracker(load_landmarker(threads=1)), load_sticker("sunglasses")

        def draw(image: np.ndarray, seconds: float) -> np.ndarray:
            return sticker.apply(image, tracker(image, seconds), seconds)

        convert(folder / "in.mp4", target, draw)

    started = time.monotonic()
    kill_until_done(lambda: forked(act), 1.0, 0, dice)
    length, whole = time.monotonic() - started, target.read_bytes()
    total, halves, finished = 0, 0, 0
    while total < kills:
        target.unlink(missing_ok=True)
        child = forked(act)
        time.sleep(dice.uniform(0, length))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        total += 1
        if target.exists():
            finished += 1
            halves += target.read_bytes() != whole
    temporary = len(list(folder.glob(".out-*")))
    print(f"video: {total} kills, {finished} were too late, {halves} half written; {temporary} temporary files stay")
    return not halves


def images(folder: Path, count: int, dice: random.Random) -> bool:
    """Measure the resident memory of one process over many images."""
    from facekp.inference.many import find_on_many
    from facekp.loading import load_landmarker

    landmarker, used = load_landmarker(threads=1), _Memory()
    for number, _ in enumerate(find_on_many([PHOTO] * count, landmarker, 2), 1):
        if number % (count // 10) == 0:
            used.note(f"{number} images")
    return used.flat


def hour(folder: Path, count: int, dice: random.Random) -> bool:
    """Measure the resident memory while a sticker is put on a video of `count` minutes, 25 frames per second."""
    import av
    import cv2

    from facekp.inference.tracking import Tracker
    from facekp.io.video import convert, write_video
    from facekp.loading import load_landmarker
    from facekp.stickers import load_sticker

    photo = cv2.resize(cv2.imread(str(PHOTO)), (320, 320))
    minute = folder / "minute.mp4"
    write_video(minute, (np.roll(photo, round(20 * np.sin(number / 25)), 1) for number in range(60 * 25)), 25)
    with av.open(str(folder / "long.mp4"), "w") as long:  # the same packets, repeated
        stream, at = None, 0
        for _ in range(count):
            with av.open(str(minute)) as once:
                stream = stream or long.add_stream_from_template(once.streams.video[0])
                length = 0
                for packet in once.demux(video=0):
                    if packet.dts is not None:
                        length = max(length, packet.pts + packet.duration)
                        packet.pts, packet.dts, packet.stream = packet.pts + at, packet.dts + at, stream
                        long.mux(packet)
                at += length
    tracker, sticker = Tracker(load_landmarker(threads=1)), load_sticker("sunglasses")
    used, frames = _Memory(), 0

    def draw(image: np.ndarray, seconds: float) -> np.ndarray:
        nonlocal frames
        frames += 1
        if frames % (count * 150) == 0:
            used.note(f"{seconds / 60:.0f} minutes")
        return sticker.apply(image, tracker(image, seconds), seconds)

    convert(folder / "long.mp4", folder / "out.mp4", draw)
    return used.flat


class _Memory:
    """Records the resident memory of this process; flat if it grows by less than 5 % after the first fifth."""

    def __init__(self) -> None:
        self._noted: list[float] = []

    def note(self, what: str) -> None:
        import psutil

        self._noted.append(psutil.Process().memory_info().rss / 1e6)
        print(f"{what}: {self._noted[-1]:.0f} MB", flush=True)

    @property
    def flat(self) -> bool:
        return max(self._noted[2:]) < self._noted[1] * 1.05


KINDS: dict[str, Callable[[Path, int, random.Random], bool]] = {
    "runs": runs, "pairs": pairs, "predict": predict, "video": video, "images": images, "hour": hour,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command line options."""
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--count", type=int, default=100, help="kills, images, or minutes of video (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> None:
    """Run the chosen test."""
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        if not KINDS[args.what](Path(folder), args.count, random.Random(args.seed)):
            raise SystemExit(f"{args.what}: check failed")
