"""Several processes that train one network on this machine's CPU, started by Paddle's launcher."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file
from visualdl import LogReader

from facekp.errors import UserError
from facekp.evaluation.landmarks import predict_dataset
from facekp.models.weights import load_weights
from facekp.training import processes, train
from facekp.training.checkpoint import RunState
from facekp.training.config import load_config
from facekp.training.loaders import ShuffledBatches
from facekp.training.logs import LOG_FILE
from facekp.training.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "-c", "configs/quickstart.yml",
    "-o", "data.sources=[{type: drawn, train: 96, validation: 17}]", "-o", "train.epochs=3", "-o", "data.workers=1",
    "-o", "network.channels=[8, 16, 32, 32]",
]  # fmt: skip


def launch(folder, script, *arguments):
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", folder / "log"]
    return subprocess.Popen(
        [*map(str, command), str(script), *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("weights", [[1.0, 2.0], [0.5, 0.3]])
@pytest.mark.parametrize("count", [2, 3])
def test_the_batches_of_all_processes_are_those_of_one_with_a_larger_batch(weights, count):
    for samples in (5, 19, 24, 25, 26):
        sizes = [samples, 7]
        for epoch in (0, 1):
            state = RunState(epoch=epoch)
            samplers = [ShuffledBatches(sizes, weights, 4, 0, state, Processes(rank, count)) for rank in range(count)]
            alone = ShuffledBatches(sizes, weights, 4 * count, 0, state)
            shares = [list(sampler) for sampler in samplers]
            assert {len(share) for share in shares} == {len(sampler) for sampler in samplers} == {len(samplers[0])}
            laid_together = []
            for batches in zip(*shares):
                lengths = [len(batch) for batch in batches]
                assert min(lengths) >= 1 and max(lengths) - min(lengths) <= 1
                laid_together += [batch[i] for i in range(max(lengths)) for batch in batches if i < len(batch)]
            assert laid_together == [draw for batch in alone for draw in batch]


def test_fewer_faces_than_processes_are_told():
    with pytest.raises(UserError, match="2 faces cannot be divided among 3 processes"):
        ShuffledBatches([2], [1.0], 4, 0, RunState(), Processes(0, 3))


@pytest.mark.slow
def test_a_signal_to_the_command_ends_all_processes(tmp_path):
    endless = ["-o", f"output={tmp_path}", "-o", "train.processes=2", "-o", "train.epochs=1000"]
    command = [sys.executable, "-u", "tools/train.py", *TINY, *endless]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "2 processes on cpu" not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3  # the launcher and both trainings
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not psutil.wait_procs(children, timeout=20)[1]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_also_when_they_are_killed(tmp_path):
    # The rate is multiplied by the number of processes, and the two batches together are as large as the one.
    one = ["-o", f"output={tmp_path / 'one'}", "-o", "train.batch_size=16", "-o", "optimizer.lr=0.5"]
    done = subprocess.run(
        [sys.executable, "tools/train.py", *TINY, *one], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "1 process on cpu, 1 thread, 1 loader process, " in done.stdout

    two = [*TINY, "-o", f"output={tmp_path / 'two'}", "-o", "train.batch_size=8", "-o", "optimizer.lr=0.25",
           "-o", "train.processes=2", "-o", "train.sync_batch_norm=true"]  # fmt: skip
    launcher = launch(tmp_path, "tools/train.py", *two)
    # The launcher's output is not used: it comes late, possibly after all three epochs.
    while not (tmp_path / "two" / "quickstart" / "last.safetensors").exists():
        assert launcher.poll() is None, launcher.stdout.read()
    everyone = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    for process in everyone:
        if process.name() != "zombie" and "tools/train.py" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
    launcher.stdout.close()
    launcher.wait()
    assert not psutil.wait_procs(everyone, timeout=20)[1]

    # One command starts both processes itself, and continues the launcher's run.
    command = [sys.executable, "tools/train.py", *two, "--resume"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 3/3  train loss") == 1 and done.stdout.count("best validation nme") == 1
    assert "2 processes on cpu, each 1 thread and 1 loader process, " in done.stdout and not done.stderr

    alone, together = (pd.read_csv(tmp_path / name / "quickstart" / "metrics.csv") for name in ("one", "two"))
    assert together["epoch"].tolist() == [1, 2, 3]
    assert together["step"].tolist() == alone["step"].tolist()
    # Batch norm sees the same 16 faces: only rounding differs, which grows in some steps at a high rate.
    for column in ("train_loss", "train_nme", "val_nme"):
        np.testing.assert_allclose(together[column], alone[column], rtol=0.1, err_msg=column)

    # Their validation counted each of the 17 faces once, though 17 cannot be divided by two.
    folder = tmp_path / "two" / "quickstart"
    network, recipe = load_weights(folder / "best.safetensors")
    config = load_config(folder / "config.yml")
    data = config.what.build_data(config)
    errors = predict_dataset(network, data.validation, recipe.build_decoder()).errors()
    assert len(errors) == 17
    assert errors.mean() == pytest.approx(together["val_nme"].min(), rel=1e-5)
    assert recipe.notes["val_nme"] == pytest.approx(errors.mean(), rel=1e-5)
    straight = LogReader(file_path=str(folder / LOG_FILE)).get_data("scalar", "yaw/0-15")  # all drawn heads
    assert [record.value for record in straight] == pytest.approx(together["val_nme"].tolist(), rel=1e-5)
    assert (
        load_file(folder / "last.safetensors").keys()
        == load_file(tmp_path / "one" / "quickstart" / "last.safetensors").keys()
    )


@pytest.mark.slow
def test_processes_share_what_they_know_and_end_together(tmp_path):
    script = tmp_path / "share.py"
    script.write_text(
        """
import facekp
import paddle
from facekp.commands.runner import run
from facekp.training.processes import Processes

def main():
    processes = Processes.start()
    assert processes.count == 2
    rank = processes.rank
    assert processes.add_up([1.0, rank]) == [2.0, 1.0]
    assert processes.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    tensors = [paddle.full([3], float(rank)), paddle.nn.Linear(2, 2).weight]
    tensors[1].set_value(paddle.full([2, 2], float(rank)))
    processes.take_from_first(tensors)
    assert all((tensor.numpy() == 0).all() for tensor in tensors)
    processes.agree({"faces": 10})
    print("all is well")
    processes.agree({"faces": 10 + rank})

run(main)
"""
    )
    launcher = launch(tmp_path, script)
    output, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 2, output
    assert "all is well" in output and "Traceback" not in output
    assert "process 1 has faces = 11, but process 0 has 10; give all machines the same" in output


def test_a_mistake_is_told_although_the_launcher_killed_the_first_process_on_its_way_out(tmp_path, monkeypatch):
    launcher = tmp_path / "launcher"
    launcher.write_text(f"""#!{sys.executable}
import pathlib, sys
log = pathlib.Path(sys.argv[sys.argv.index("--log_dir") + 1])
(log / "workerlog.1").write_text("a warning\\nfacekp train: c.yml: no such key; fix it\\n")
print("LAUNCH ERROR Container failed !!!\\nContainer rank 1 status failed cmd ['x'] code 2 log x", file=sys.stderr)
sys.exit(241)
""")
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    with pytest.raises(UserError, match=r"^c\.yml: no such key; fix it$"):
        processes.launch(2, ["train"])


@pytest.mark.slow
def test_what_is_wrong_in_several_processes_is_one_line(refuses, tmp_path):
    config = ["-c", "configs/quickstart.yml", "-o", "train.processes=2", "-o", f"output={tmp_path / 'run'}"]
    line = refuses("train", *config, "-o", f"data.sources=[{{type: csv68, root: {tmp_path / 'nowhere'}}}]")
    assert line.startswith(f"train.py: {tmp_path / 'nowhere'}") and "facekp prepare-data" in line
    assert not (tmp_path / "run").exists()


def test_a_library_call_starts_no_processes():
    with pytest.raises(UserError, match=r"train\.processes: 2 need the command"):
        train(load_config("configs/quickstart.yml", ["train.processes=2"]))
