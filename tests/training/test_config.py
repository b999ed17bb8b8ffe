from pathlib import Path

import pytest

from facekp.data.transforms import build_transforms
from facekp.errors import UserError
from facekp.models import build_network
from facekp.training.config import load_config

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
    "half precision throughout": (["train.amp=O2"], r"train\.amp.*'O0' or 'O1'"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_options_name_the_key(options, message):
    with pytest.raises(UserError, match=message):
        load_config("configs/sam_googlenet_bn.yml", options)


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
