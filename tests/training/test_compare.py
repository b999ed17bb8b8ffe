"""Reports of real small runs on drawn faces."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest

from facekp.errors import UserError
from facekp.training import load_config, train
from facekp.training.compare import compare

TINY = ["data.sources=[{type: drawn, train: 12, validation: 6}]", "network.channels=[4, 4]", "train.epochs=2",
        "train.batch_size=4", "data.workers=0"]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with different losses, the second without details."""
    folder = tmp_path_factory.mktemp("runs")

    def run(*options):
        return train(load_config("configs/quickstart.yml", [*TINY, f"output={folder}", *options])).folder

    return [run("name=first"), run("name=second", "loss={type: wing, width: 3}", "train.details_every=0")]


class _Page(HTMLParser):
    """Parser that collects the tags with their attributes and the text of each table cell."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.cell = [], [], False
        self.feed(text)

    def rows(self, table):
        """Return the first cell of each row -> its other cells."""
        return {row[0]: row[1:] for row in self.tables[table]}

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        self.cell = tag in ("td", "th") or (self.cell and tag == "i")
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data):
        if self.cell:
            self.tables[-1][-1][-1] += data.strip()

    def handle_endtag(self, tag):
        self.cell = self.cell and tag == "i"


def page_of(folders, path):
    compare(folders, path)
    return _Page(path.read_text(encoding="utf-8"))


def test_a_page_is_complete_in_itself(runs, tmp_path):
    page = page_of(runs, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 2 and all(source.startswith("data:image/") for source in sources)
    assert not any(re.search("https?:", str(attributes)) for _, attributes in page.tags)
    picture = base64.b64decode(sources[1].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (2 * 246, 4 * 224, 3)


def test_figures_groups_and_configs_stand_in_tables(runs, tmp_path):
    page = page_of(runs, tmp_path / "report.html")
    figures, regions, yaws, configs = (page.rows(table) for table in range(4))
    assert {"nme", "loss", "failure_8", "auc_8", "distance_px"} < figures.keys()
    assert regions.keys() >= {"jaw", "brows", "nose", "eyes", "mouth"} and "0-15" in yaws
    for name, values in [*list(figures.items())[2:], *list(regions.items())[1:], *list(yaws.items())[1:]]:
        assert len(values) == 2 and all(re.match(r"[\d.]+( %)?$", value) for value in values), name
    table = pd.read_csv(runs[0] / "metrics.csv")
    best = table.loc[table["val_nme"].idxmin()]
    assert figures["nme"][0] == f"{best['val_nme'] * 100:.2f} %" and figures["loss"][0] == f"{best['val_loss']:.4g}"
    assert figures["epoch"][0] == f"{best['epoch']:.0f} of 2"
    assert list(configs.items())[1:] == [
        ("loss", ["smooth_l1", "wing"]), ("train.details_every", ["5", "0"]), ("loss.width", ["–", "3"])
    ]  # fmt: skip


def test_one_run_alone_and_many(runs, tmp_path):
    page = page_of(runs[:1], tmp_path / "one.html")
    assert page.rows(3)["train.epochs"] == ["2"] and page.rows(3)["name"] == ["first"]
    rows = page_of(runs * 4, tmp_path / "many.html").rows(0)
    assert len(rows["nme"]) == 8 and len(set(rows["nme"])) == 2


def test_names_are_escaped_and_told_apart(runs, tmp_path):
    places = [tmp_path / "a" / "<b onload=x>&", tmp_path / "b" / "<b onload=x>&"]
    for place, run in zip(places, runs):
        place.parent.mkdir()
        place.symlink_to(run)
    compare([runs[0], *places], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b onload" not in text


def test_what_is_no_run_is_told_and_nothing_is_written(runs, tmp_path):
    report = tmp_path / "report.html"
    with pytest.raises(UserError, match="no run with a finished epoch"):
        compare([runs[0], tmp_path], report)
    with pytest.raises(UserError, match=r"end its name in \.html"):
        compare(runs, tmp_path / "report.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "metrics", "message"),
    [
        ("task: boxes", "missed", "a run of task boxes, but .* is one of task points"),
        ("task: points", "failure_8", "is evaluated by failure_8, but .* by nme"),
        ("[1]", "nme", "a config is a mapping"),
        (None, "nme", r"config\.yml: cannot be read"),
    ],
)
def test_runs_that_cannot_be_compared_are_told(runs, tmp_path, config, metrics, message):
    other = tmp_path / "other"
    other.mkdir()
    for file in ("metrics.csv", "vdlrecords.facekp.log"):
        (other / file).write_bytes((runs[0] / file).read_bytes())
    table = (other / "metrics.csv").read_text()
    header, rest = table.split("\n", 1)
    swapped = header.replace("_nme", "_x").replace(f"_{metrics}", "_nme").replace("_x", f"_{metrics}")
    (other / "metrics.csv").write_text(f"{header if metrics == 'nme' else swapped}\n{rest}")
    if config is not None:
        (other / "config.yml").write_text(config)
    with pytest.raises(UserError, match=message):
        compare([runs[0], other], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
