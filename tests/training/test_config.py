import inspect
from pathlib import Path

import pytest

from facekp.data.composed import ComposedDataset
from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.models import build_network
from facekp.training import train
from facekp.training.config import ComposeConfig, load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_names_only_what_exists(path):
    config = load_config(path)
    assert config.name == path.stem
    for pipeline in (config.data.train, config.data.validation, config.data.pixels):
        build_transforms(pipeline)
    build_network(**config.network)


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS if path.stem != "document_reproduction"], ids=lambda path: path.stem
)
def test_nothing_random_touches_validation(path):
    for spec in load_config(path).data.validation:
        assert spec["type"] in ("Resize", "CenterCrop", "FaceCrop")
        assert not {"rotate", "scale", "shift", "flip"} & set(spec)


def test_the_default_recipe_is_the_documents():
    config = load_config("configs/sam_googlenet_bn.yml")
    assert (config.train.epochs, config.train.batch_size, config.size) == (50, 64, 224)
    assert (config.optimizer.type, config.loss, config.network["attention"]) == ("momentum", "smooth_l1", "cbam")
    assert (config.optimizer.lr, config.optimizer.momentum, config.optimizer.weight_decay) == (0.01, 0.9, 0.002)
    assert config.optimizer.cosine_steps is None  # over all steps
    assert config.data.train == [{"type": "Resize", "size": 256}, {"type": "RandomCrop", "size": 224}]
    assert config.data.validation == [{"type": "Resize", "size": 256}, {"type": "CenterCrop", "size": 224}]


def test_the_reproduction_differs_in_the_documents_faults_alone():
    default, letter = (
        load_config(f"configs/{name}.yml").model_dump(exclude={"name", "metrics"})
        for name in ("sam_googlenet_bn", "document_reproduction")
    )
    assert letter["network"].pop("attention") == "argmax" and default["network"].pop("attention") == "cbam"
    assert (
        letter["optimizer"].pop("cosine_steps") == (3462 // 64) * 50
        and default["optimizer"].pop("cosine_steps") is None
    )
    assert letter["data"].pop("validation") == letter["data"]["train"] != default["data"].pop("validation")
    assert letter == default


def test_options_replace_values():
    config = load_config("configs/quickstart.yml", ["train.epochs=3", "data.sources.0.train=30", "optimizer.lr=1e-4"])
    assert (config.train.epochs, config.data.sources[0].train, config.optimizer.lr) == (3, 30, 1e-4)


def test_bases_merge_key_by_key_and_another_type_replaces(tmp_path):
    base = Path("configs/_base_/document.yml").read_text()
    (tmp_path / "base.yml").write_text(base)
    (tmp_path / "a.yml").write_text("_base_: base.yml\nname: a\ntrain: {epochs: 7}\nnetwork: {type: resnet18}\n")
    config = load_config(tmp_path / "a.yml")
    assert (config.train.epochs, config.train.batch_size) == (7, 64)
    assert config.network == {"type": "resnet18"}


def test_a_base_may_be_a_shipped_config(tmp_path):
    for base in ("quickstart", "quickstart.yml", "configs/quickstart.yml"):
        (tmp_path / "mine.yml").write_text(f"_base_: {base}\nname: mine\n")
        assert load_config(tmp_path / "mine.yml").network == load_config("quickstart").network
    (tmp_path / "mine.yml").write_text("_base_: none\nname: mine\n")
    with pytest.raises(UserError, match=r"none: cannot be read"):
        load_config(tmp_path / "mine.yml")


def test_an_option_of_what_is_named_alone():
    config = load_config("configs/sam_googlenet_bn.yml", ["loss.delta=0.5"])
    assert config.loss == {"type": "smooth_l1", "delta": 0.5}


WRONG = {
    "pixels elsewhere": (["data.train=[{type: ToCHW}]"], r"data: train: ToCHW belongs in data\.pixels"),
    "a key twice": (["train={epochs: 3, epochs: 4}"], "'epochs' occurs twice"),
    "unknown key": (["train.epoch=3"], r"unknown key train\.epoch; valid here are epochs, batch_size"),
    "unknown section": (["trian.epochs=3"], r"unknown key trian; valid here are name, task, seed"),
    "wrong value": (["train.epochs=many"], r"train\.epochs.*'many'"),
    "negative": (["train.epochs=0"], r"train\.epochs"),
    "unknown loss": (["loss=huber"], r"unknown loss 'huber'; known are smooth_l1, l1, l2, wing"),
    "unknown split": (["data.sources.0.split=people"], r"data\.sources\.0.*split.*'person'"),
    "unknown format": (["data.sources.0.type=coco17"], r"unknown format 'coco17'; known are csv68, pts"),
    "unknown option of a format": (
        ["data.sources.0.rot=x"],
        r"csv68: unknown option rot; known are weight, root, split",
    ),
    "no such source": (["data.sources.1.root=x"], r"no entry 1; the list has the entries 0 to 0"),
    "no source": (["data.sources=[]"], r"data\.sources"),
    "endless weight": (["data.sources.0.weight=.inf"], r"weight"),
    "unknown task": (["task=boxen"], r"unknown task 'boxen'; known are points, boxes"),
    "unknown codec": (["codec=polar"], r"unknown codec 'polar'; known are standard, unit, mean_face"),
    "unknown metric": (["metrics=[nmee]"], r"unknown metric 'nmee'; known are nme, failure_rate"),
    "no metric": (["metrics=[]"], r"metrics"),
    "wing without percent": (["loss=wing"], r"loss: wing counts in percent.*codec: mean_face"),
    "soft argmax without percent": (["network.head=soft_argmax"], r"network\.head: soft_argmax.*codec: mean_face"),
    "plateau and cosine": (["optimizer={schedule: plateau, cosine_steps: 9}"], r"supports no.*cosine_steps"),
    "anchors": (["data=&a {x: *a}"], "not YAML.*alias"),
    "a date": (["seed=2026-11-24"], "seed"),
    "several frozen": (["train={freeze_epochs: 2, processes: 2, epochs: 5}"], "a single process only"),
    "no equals sign": (["train.epochs"], "key=value"),
    "no YAML": (["name=[1"], "YAML"),
    "unknown key in a list": (
        ["data.photos=[{root: x, faces: true, foo: 1}]"],
        r"data\.photos\.0\.foo; valid here are root",
    ),
    "odd digit": (["data.sources.².root=x"], r"no entry ²"),
    "points of the network": (["network.num_points=5"], r"network\.num_points"),
    "long warm-up": (["optimizer.warmup_epochs=50"], r"warmup_epochs must be less"),
    "infinite": (["optimizer.lr=.inf"], r"optimizer\.lr"),
    "name outside": (["name=../esc"], "name"),
    "name of a folder": (["name=."], "name"),
    "negative seed": (["seed=-1"], "seed"),
    "kept crops": (["data.keep_crops=true"], "begin with FaceCrop"),
    "no faces": (["data.sources=[{type: drawn, train: 0}]"], r"drawn: train"),
    "boxes for points": (
        ["data.sources=[{type: coco, labels: x, schema: five, boxes: true}]"],
        "boxes: true goes with task: boxes",
    ),
    "photos without a score": (["data.photos=[{root: x, faces: true}]"], r"data\.photos needs network\.score"),
    "photos of what": (["data.photos=[{root: x}]"], r"data\.photos\.0\.faces"),
    "too small": (["size=64"], "size.*96"),
    "no validation": (["data.validation=[]"], r"data\.validation: a network of points needs"),
    "loss of boxes": (["loss=focal_giou"], r"unknown loss 'focal_giou'; known are smooth_l1"),
    "unknown network": (["network={type: yolo}"], r"unknown network 'yolo'; known are sam_googlenet_bn"),
    "half precision throughout": (["train.amp=O2"], r"train\.amp.*'O0' or 'O1'"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_options_name_the_key(options, message):
    with pytest.raises(UserError, match=message):
        load_config("configs/sam_googlenet_bn.yml", options)


def test_the_option_that_is_wrong_is_named_and_not_the_file():
    options = ["train.batch_size=8", "train.epochs=many"]
    with pytest.raises(UserError, match=r"^-o train\.epochs=many: train\.epochs: Input should be a valid integer"):
        load_config("configs/sam_googlenet_bn.yml", options)
    with pytest.raises(UserError, match=r"^-o data=\{rot: x\}: unknown key data\.rot; valid here are"):
        load_config("configs/sam_googlenet_bn.yml", ["data={rot: x}"])


WRONG_FOR_BOXES = {
    "kept crops": (["data.keep_crops=true"], r"uses whole images.*data\.keep_crops"),
    "no faces": (["data.faces_per_no_face=3"], r"whole images.*data\.faces_per_no_face"),
    "photos": (["data.photos=[{root: x, faces: true}]"], r"data\.photos: task: boxes uses only photos without faces"),
    "hidden points": (["data.hidden_weight=0.5"], r"data\.hidden_weight goes with task: points"),
    "validation": (["data.validation=[{type: Resize, size: 256}]"], r"whole images.*data\.validation"),
    "codec": (["codec=mean_face"], r"whole images.*codec"),
    "odd size": (["size=100"], "task: boxes needs a multiple of 32"),
    "moved": (["data.train=[{type: RandomFlip}]"], r"data\.train: RandomFlip would move faces.*data\.compose"),
    "covered": (["data.train=[{type: Cover, p: 0.5}]"], r"data\.compose\.covered"),
    "loss of points": (["loss=smooth_l1"], r"unknown loss 'smooth_l1'; known are focal_giou"),
    "metric of points": (["metrics=[nme]"], r"unknown metric 'nme'; known are missed"),
    "unknown key": (["data.compose.rol=3"], r"unknown key data\.compose\.rol; valid here are roll, min_face"),
    "too often": (["data.compose.anywhere=2"], r"data\.compose\.anywhere"),
    "two numbers": (["data.compose.tiles=[1, 1]"], r"data\.compose\.tiles"),
    "no tiles": (["data.compose.tiles=[0, 0, 0]"], r"data\.compose.*not all zero"),
    "negative": (["data.compose.tiles=[1, -1, 1]"], r"data\.compose.*none negative"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_FOR_BOXES.values(), ids=WRONG_FOR_BOXES.keys())
def test_what_does_not_go_with_a_detector_is_told_in_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config("configs/face_detector.yml", options)
    assert "\n" not in str(caught.value)


def test_composing_goes_with_detectors_alone():
    with pytest.raises(UserError, match=r"data\.compose goes with task: boxes"):
        load_config("configs/face_crop.yml", ["data.compose.roll=10"])


def test_what_can_be_composed_is_what_the_data_set_takes():
    known = inspect.signature(ComposedDataset).parameters
    for name, value in ComposeConfig().model_dump().items():
        assert known[name].default == value, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_base_: a.yml\n", "leads back"),
        ("- 1\n", "mapping"),
        ("a: [\n", "YAML"),
        ("_base_: no.yml\n", r"no\.yml"),
        ("name: x\n", "data"),
        ("_base_: 3\n", "_base_ must be the path"),
    ],
)
def test_wrong_files_are_named(tmp_path, text, message):
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / "a.yml")


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("labels=pts", "sources"),
        ("root=/data", "data.sources.0.root=DIR"),
        ("split=person", "data.sources.0.split"),
        ("pts_root=/photos", "second source"),
        ("pts_weight=2", "weight"),
        ("drawn=[3, 3]", "type: drawn"),
    ],
)
def test_keys_of_before_name_what_replaced_them(option, instead):
    with pytest.raises(UserError, match=rf"key data\.{option.partition('=')[0]} was replaced by.*{instead}") as caught:
        load_config("configs/quickstart.yml", [f"data.{option}"])
    assert str(caught.value).startswith(f"-o data.{option}: ") and "\n" not in str(caught.value)


def test_values_are_shortened_in_messages():
    with pytest.raises(UserError) as caught:
        load_config("configs/quickstart.yml", [f"seed={'9' * 5000}"])
    assert len(str(caught.value)) < 600
    with pytest.raises(UserError) as caught:
        load_config("configs/quickstart.yml", [f"loss={'x' * 100_000}"])
    assert len(str(caught.value)) < 600


def test_a_stranger_s_file_cannot_take_long(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
    )
    for text, message in ((bomb, "alias"), ("[" * 5000, "YAML|nested"), ("x" * (2 << 20), "larger than 1 MiB")):
        (tmp_path / "a.yml").write_text(text)
        with pytest.raises(UserError, match=message):
            load_config(tmp_path / "a.yml")
    for number in range(14):
        (tmp_path / f"{number}.yml").write_text(f"_base_: {number + 1}.yml\n")
    with pytest.raises(UserError, match="more than 10 files"):
        load_config(tmp_path / "0.yml")


def test_loss_metrics_and_head_take_options():
    options = ["codec=mean_face", "loss={type: wing, width: 3}", "metrics=[{type: auc, threshold: 0.1}, nme]"]
    config = load_config("configs/quickstart.yml", options)
    assert config.loss == {"type": "wing", "width": 3} and config.metrics == [{"type": "auc", "threshold": 0.1}, "nme"]


def test_the_option_that_reaches_into_a_list_is_named():
    with pytest.raises(UserError, match=r"^-o data\.sources\.0\.train=x: .*train"):
        load_config("configs/quickstart.yml", ["data.sources.0.train=x"])


def test_a_metric_that_is_better_where_it_is_higher_cannot_decide(tmp_path):
    options = ["metrics=[{type: auc, threshold: 0.1}, nme]", f"output={tmp_path}", "data.workers=0"]
    sources = "data.sources=[{type: drawn, train: 4, validation: 2}]"
    with pytest.raises(UserError, match=r"metrics: the first one decides.*so put another first"):
        train(load_config("configs/quickstart.yml", [*options, sources]))
    assert not list(tmp_path.iterdir())
