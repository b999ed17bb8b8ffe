"""Contents of the logs of small runs."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file
from tests_support import draw_csv
from visualdl import LogReader

from facekp.training import load_config, train
from facekp.training.dashboard import Dashboard
from facekp.training.logs import LOG_FILE
from facekp.training.run_folder import hyperparameters

TINY = ["data.sources=[{type: drawn, train: 12, validation: 6}]", "network.channels=[4, 4]", "train.epochs=3",
        "train.batch_size=4", "data.workers=0"]  # fmt: skip


def config(folder, *options):
    return load_config("configs/quickstart.yml", [*TINY, f"output={folder}", *options])


def records(folder, component):
    """Return tag -> its records."""
    reader = LogReader(file_path=str(folder / LOG_FILE))
    return {tag: reader.get_data(component, tag) for tag in reader.get_tags().get(component, [])}


def steps(folder, component):
    return {tag: [record.id for record in found] for tag, found in records(folder, component).items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three epochs with details of the second and the last."""
    return train(config(tmp_path_factory.mktemp("runs"), "train.details_every=2", "train.ema=0.9")).folder


def test_hyperparameters_come_with_metrics_that_are_logged(run):
    (record,) = records(run, "hyper_parameters")["hparam"]
    found = {info.name: getattr(info, info.WhichOneof("type")) for info in record.hparam.hparamInfos}
    assert found["network"] == "plain_resnet" and found["network/channels"] == "4, 4"
    assert found["optimizer/lr"] == pytest.approx(0.5) and found["train/epochs"] == 3
    assert not {"name", "output", "data/workers", "train/details_every"} & found.keys()
    assert not any("." in name for name in found)  # VisualDL's table leaves such columns empty
    metrics = [info.name for info in record.hparam.metricInfos]
    logged = steps(run, "scalar")
    assert "epoch/best" in metrics and "epoch/val_nme" in metrics
    assert all(logged[name] == [1, 2, 3] for name in metrics)


def test_the_best_is_the_lowest_so_far(run):
    values = pd.read_csv(run / "metrics.csv")["val_nme"]
    best = [record.value for record in records(run, "scalar")["epoch/best"]]
    assert best == pytest.approx(values.cummin().tolist(), rel=1e-5)


def test_errors_by_region_and_yaw_stand_beside_every_epoch(run):
    logged = records(run, "scalar")
    table = pd.read_csv(run / "metrics.csv")
    regions = [tag for tag in logged if tag.startswith("region/")]
    assert sorted(regions) == [f"region/{name}" for name in ("brows", "eyes", "jaw", "mouth", "nose")]
    # Weighted by their numbers of points, the regions together give the NME.
    points = {"jaw": 17, "brows": 10, "nose": 9, "eyes": 12, "mouth": 20}
    total = sum(np.array([r.value for r in logged[f"region/{name}"]]) * n for name, n in points.items()) / 68
    assert total == pytest.approx(table["val_nme"].to_numpy(), rel=1e-4)
    yaw = [tag for tag in logged if tag.startswith("yaw/")]
    assert yaw == ["yaw/0-15"]  # drawn heads look straight ahead
    assert [r.value for r in logged["yaw/0-15"]] == pytest.approx(table["val_nme"].tolist(), rel=1e-4)


def test_histograms_and_the_worst_faces_come_at_the_set_interval_and_at_the_end(run):
    histograms = records(run, "histogram")
    names = {tag.partition("/")[2] for tag in histograms}
    assert {tag.partition("/")[0] for tag in histograms} == {"weights", "gradients"}
    assert "head.linear.weight" in names and not any(name.endswith("bias") for name in names)
    assert all([record.id for record in found] == [2, 3] for found in histograms.values())
    sizes = {name: array.size for name, array in load_file(run / "last.safetensors").items()}
    for name in names:
        for part in ("weights", "gradients"):
            (_, last) = histograms[f"{part}/{name}"]
            assert sum(last.histogram.hist) == sizes[f"network.{name}"]
            assert max(map(abs, last.histogram.bin_edges)) > 0
    images = records(run, "image")
    assert [record.id for record in images["validation/worst"]] == [2, 3]
    sheet = Image.open(io.BytesIO(images["validation/worst"][-1].image.encoded_image_string))
    assert sheet.size == (4 * 224, 2 * 246)  # six faces and their names
    # The histogram is of the trained weights, not of their moving average.
    trained = load_file(run / "last.safetensors")["network.head.linear.weight"]
    edges = histograms["weights/head.linear.weight"][-1].histogram.bin_edges
    assert (min(edges), max(edges)) == pytest.approx((trained.min(), trained.max()), rel=1e-5)


def test_the_weights_are_the_same_without_a_dashboard(run, tmp_path, monkeypatch):
    class Silent(Dashboard):
        """Only keeps the log that `Checkpoints` needs."""

        def on_train_begin(self, logs=None):
            self.writer.add_scalar("step/train_loss", 1.0, 0)

        def on_train_batch_begin(self, step, logs=None): ...
        def on_train_batch_end(self, step, logs=None): ...
        def on_epoch_end(self, epoch, logs=None): ...
        def on_eval_begin(self, logs=None): ...
        def on_eval_end(self, logs=None):
            self.flush()

    monkeypatch.setattr(sys.modules["facekp.training.train"], "Dashboard", Silent)  # `train` is the function
    other = train(config(tmp_path, "train.ema=0.9")).folder
    assert not records(other, "histogram")
    for file in ("last.safetensors", "best.safetensors"):
        one, two = load_file(run / file), load_file(other / file)
        assert one.keys() == two.keys() and all((one[key] == two[key]).all() for key in one)
    one, two = (pd.read_csv(folder / "metrics.csv").drop(columns="seconds") for folder in (run, other))
    assert one.equals(two)


def test_a_resumed_run_logs_what_a_whole_one_does(run, tmp_path):
    options = ["train.details_every=2", "train.ema=0.9"]
    train(config(tmp_path, *options, "train.stop_after=1"))
    broken = train(config(tmp_path, *options), resume=True).folder
    assert len(records(broken, "hyper_parameters")["hparam"]) == 1
    for component in ("scalar", "histogram", "image"):
        assert steps(broken, component) == steps(run, component)
    for tag, found in records(run, "histogram").items():
        assert [r.histogram.hist for r in found] == [r.histogram.hist for r in records(broken, "histogram")[tag]]
    for tag, found in records(run, "image").items():
        one, two = ([r.image.encoded_image_string for r in each] for each in (found, records(broken, "image")[tag]))
        assert one == two


def test_no_details_are_logged_when_switched_off(tmp_path):
    folder = train(config(tmp_path, "train.details_every=0", "train.epochs=1")).folder
    assert not records(folder, "histogram") and set(records(folder, "image")) == {"validation/faces"}


def test_the_confusion_of_a_score_is_logged(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    draw_csv(data)
    options = [f"data.sources=[{{type: csv68, root: {data}}}]", "network.score=true", "data.faces_per_no_face=3"]
    folder = train(config(tmp_path, *options, "train.details_every=1", "train.epochs=1")).folder
    logged = records(folder, "scalar")
    assert set(tag for tag in logged if tag.startswith("score/")) == {"score/faces_missed", "score/no_faces_taken"}
    assert set(records(folder, "image")) == {"validation/faces", "validation/worst", "validation/score"}


def test_a_detector_logs_what_it_misses_by_width(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    draw_csv(data)
    options = [f"data.sources=[{{type: csv68, root: {data}}}]", "size=96", "train.epochs=1", "train.batch_size=4",
               "network={type: plain_detector, channels: [4, 4, 8, 8, 8], width: 8, blocks: [1, 1, 1]}",
               "data.workers=0", f"output={tmp_path}", "optimizer.warmup_epochs=0"]  # fmt: skip
    folder = train(load_config("configs/face_detector.yml", options)).folder
    logged = records(folder, "scalar")
    assert any(tag.startswith("width/") for tag in logged) and "score/faces_missed" in logged
    assert set(records(folder, "image")) == {"validation/faces", "validation/worst", "validation/score"}


def test_hyperparameters_are_short():
    found = hyperparameters(load_config("configs/quickstart.yml", ["loss={type: wing, width: 3}"]))
    assert found["loss"] == "wing" and found["loss/width"] == 3
    assert all(isinstance(value, (str, int, float)) and not isinstance(value, bool) for value in found.values())


def test_the_row_of_an_epoch_is_as_it_was(run):
    columns = pd.read_csv(run / "metrics.csv").columns.tolist()
    assert columns == [
        "epoch", "step", "train_loss", "train_nme", "train_failure_8", "train_failure_10", "train_auc_8",
        "train_distance_px", "val_loss", "val_nme", "val_failure_8", "val_failure_10", "val_auc_8", "val_distance_px",
        "train_last_loss", "val_last_loss", "seconds",
    ]  # fmt: skip
