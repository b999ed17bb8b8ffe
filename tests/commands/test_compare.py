from facekp.training import load_config, train


def test_a_run_is_compared_from_the_command_line(run_tool, refuses, tmp_path):
    options = ["data.sources=[{type: drawn, train: 8, validation: 4}]", "network.channels=[4, 4]", "train.epochs=1",
               "data.workers=0", f"output={tmp_path}"]  # fmt: skip
    folder = train(load_config("configs/quickstart.yml", options)).folder
    done = run_tool("compare", folder, "-o", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"written to {tmp_path / 'report.html'}"
    assert "<h1>quickstart</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no run with a finished epoch" in refuses("compare", tmp_path, "-o", tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()
