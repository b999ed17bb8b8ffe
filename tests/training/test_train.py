"""Training: a run whose validation is never a number names no weights."""

from facekp.metrics import METRICS, NME
from facekp.training import load_config, train


def test_a_run_without_a_number_names_no_weights(tmp_path, monkeypatch):
    class Never(NME):
        def accumulate(self):
            return float("nan")

    monkeypatch.setitem(METRICS, "never", lambda codec, schema: Never(codec, schema))
    options = ["metrics=[never]", f"output={tmp_path}", "data.workers=0", "train.epochs=1", "network.channels=[4, 4]"]
    sources = "data.sources=[{type: drawn, train: 8, validation: 4}]"
    summary = train(load_config("configs/quickstart.yml", [*options, sources]))
    assert summary.weights is None and summary.epochs == 1
    assert not (tmp_path / "quickstart" / "best.safetensors").exists()
