import inspect
from pathlib import Path

import pytest
from facekp.data.pictures import PictureDataset

from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.models import build_network
from facekp.training.config import ComposeConfig, load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_names_only_what_exists(path):
    config = load_config(path)
    assert config.name == path.stem
    for pipeline in (config.data.train, config.data.validation, config.data.pixels):
        build_transforms(pipeline)
    options = dict(config.network)
    build_network(options.pop("type"), **options)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_nothing_random_touches_validation(path):
    for spec in load_config(path).data.validation:
        assert spec["type"] in ("Resize", "CenterCrop", "FaceCrop")
        assert not {"rotate", "scale", "shift", "flip"} & set(spec)


def test_the_default_recipe_is_the_documents():
    config = load_config("configs/sam_googlenet_bn.yml")
    assert (config.train.epochs, config.train.batch_size, config.size) == (50, 64, 224)
    assert (config.optimizer.type, config.loss, config.network["attention"]) == ("momentum", "smooth_l1", "max")
    assert load_config("configs/document_reproduction.yml").network["attention"] == "argmax"


def test_options_replace_values():
    config = load_config("configs/quickstart.yml", ["train.epochs=3", "data.root=/x y", "optimizer.lr=1e-4"])
    assert (config.train.epochs, config.data.root, config.optimizer.lr) == (3, "/x y", 1e-4)


def test_bases_merge_key_by_key_and_another_type_replaces(tmp_path):
    base = Path("configs/_base_/document.yml").read_text()
    (tmp_path / "base.yml").write_text(base)
    (tmp_path / "a.yml").write_text("_base_: base.yml\nname: a\ntrain: {epochs: 7}\nnetwork: {type: resnet18}\n")
    config = load_config(tmp_path / "a.yml")
    assert (config.train.epochs, config.train.batch_size) == (7, 64)
    assert config.network == {"type": "resnet18"}


WRONG = {
    "unknown key": (["train.epoch=3"], r"unknown key train\.epoch; valid here are epochs, batch_size"),
    "unknown section": (["trian.epochs=3"], r"unknown key trian; valid here are name, seed"),
    "wrong value": (["train.epochs=many"], r"train\.epochs.*'many'"),
    "negative": (["train.epochs=0"], r"train\.epochs"),
    "unknown loss": (["loss=huber"], r"loss.*smooth_l1, l1, l2"),
    "unknown split": (["data.split=people"], r"data\.split.*person"),
    "no equals sign": (["train.epochs"], "key=value"),
    "no YAML": (["name=[1"], "YAML"),
    "long warm-up": (["optimizer.warmup_epochs=50"], r"warmup_epochs must be less"),
    "infinite": (["optimizer.lr=.inf"], r"optimizer\.lr"),
    "name outside": (["name=../esc"], "name"),
    "name of a folder": (["name=."], "name"),
    "negative seed": (["seed=-1"], "seed"),
    "kept pictures": (["data.keep_crops=true"], "begin with FaceCrop"),
    "no faces": (["data.drawn=[0, 3]"], r"data\.drawn"),
    "too small": (["size=64"], "size.*96"),
    "no validation": (["data.validation=[]"], r"data\.validation: a network of points needs"),
    "loss of boxes": (["loss=focal_giou"], r"loss.*known to sam_googlenet_bn are smooth_l1"),
    "unknown network": (["network={type: yolo}"], r"network\.type: unknown network 'yolo'.*plain_detector"),
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
    "kept pictures": (["data.keep_crops=true"], r"plain_detector looks at whole pictures.*data\.keep_crops"),
    "no faces": (["data.faces_per_no_face=3"], r"whole pictures.*data\.faces_per_no_face"),
    "validation": (["data.validation=[{type: Resize, size: 256}]"], r"whole pictures.*data\.validation"),
    "codec": (["codec=mean_face"], r"whole pictures.*codec"),
    "odd size": (["size=100"], "plain_detector needs a size of whole 32 pixels"),
    "drawn": (["data.labels=drawn"], r"data\.labels csv68 or pts"),
    "five points": (["data.labels=five"], r"data\.labels csv68 or pts"),
    "loss of points": (["loss=smooth_l1"], r"unknown loss 'smooth_l1'; known to plain_detector are focal_giou"),
    "unknown key": (["data.compose.rol=3"], r"unknown key data\.compose\.rol; valid here are roll, least_face"),
    "too often": (["data.compose.anywhere=2"], r"data\.compose\.anywhere"),
    "two numbers": (["data.compose.tiles=[1, 1]"], r"data\.compose\.tiles"),
    "no tiles": (["data.compose.tiles=[0, 0, 0]"], r"data\.compose.*not only zeros"),
    "negative": (["data.compose.tiles=[1, -1, 1]"], r"data\.compose.*not negative"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_FOR_BOXES.values(), ids=WRONG_FOR_BOXES.keys())
def test_what_does_not_go_with_a_detector_is_told_in_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config("configs/face_detector.yml", options)
    assert "\n" not in str(caught.value)


def test_composing_goes_with_detectors_alone():
    with pytest.raises(UserError, match=r"data\.compose goes with plain_detector"):
        load_config("configs/face_crop.yml", ["data.compose.roll=10"])


def test_what_can_be_composed_is_what_the_data_set_takes():
    known = inspect.signature(PictureDataset).parameters
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
