"""The wheel: its content and size, and the commands from an empty folder with the light core alone."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from facekp.commands.main import COMMANDS
from facekp.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
MOST = 15e6

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"

#: Runs a command as if only the light core were installed, after a check of the imported facekp.
LIGHT = (
    "import sys\n"
    "for name in {extras}: sys.modules[name] = None  # importing it fails, as where it is missing\n"
    "import facekp\n"
    "assert facekp.__file__.startswith({site!r}), facekp.__file__\n"
    "from facekp.commands.main import main\n"
    "main(sys.argv[1:])\n"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, without files of an earlier build."""
    pytest.importorskip("setuptools")
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("out")
    no_page = shutil.ignore_patterns("__pycache__", "page")
    for folder in ("facekp", "configs", "assets/stickers", "zoo"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=no_page)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    done = subprocess.run([sys.executable, "-c", BUILD, out], cwd=clone, capture_output=True, text=True)
    if done.returncode and "bdist_wheel" in done.stderr:
        pytest.skip("this setuptools is too old to build wheels")
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The folder of files that pip would install into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def light(site, tmp_path):
    """Run a command in an empty folder, with the light core alone; return the finished process."""

    def run(*arguments, extras=tuple(EXTRAS)):
        code = LIGHT.format(extras=list(extras), site=str(site))
        environment = {**os.environ, "PYTHONPATH": str(site), "FACEKP_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"}
        environment.pop("FACEKP_ZOO", None)
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def photo(tmp_path):
    return shutil.copy(ROOT / "assets" / "photos" / "astronaut.png", tmp_path / "photo.png")


def test_the_wheel_is_small_and_has_what_the_light_core_needs(wheel):
    assert wheel.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = message_from_string(
            archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        )
    for name in ("index.json", "LICENSE.weights", "face_crop_light.onnx", "face_detector.safetensors"):
        assert f"facekp/shipped/{name}" in names
    for name in (ROOT / "configs").rglob("*.yml"):
        assert f"facekp/training/configs_data/{name.relative_to(ROOT / 'configs').as_posix()}" in names
    assert "facekp/stickers/packs_data/crown/manifest.json" in names
    assert not [name for name in names if "sam_googlenet_bn." in name and not name.endswith((".yml", ".py"))]
    core = [re.split(r"[^\w-]", each)[0] for each in metadata.get_all("Requires-Dist") if "extra" not in each]
    assert sorted(set(core)) == [
        "filelock", "numpy", "onnxruntime", "opencv-python", "pillow", "pydantic", "pyyaml", "safetensors",
        "simplejpeg", "tqdm",
    ]  # fmt: skip
    assert set(EXTRAS.values()) <= set(metadata.get_all("Provides-Extra"))


def test_a_sticker_from_an_empty_folder(light, photo, tmp_path):
    done = light("sticker", "photo.png", "--sticker", "crown")
    assert (done.returncode, done.stdout, done.stderr) == (0, "photo_sticker.png\n", "")
    assert (tmp_path / "photo_sticker.png").stat().st_size > 1e5


def test_points_as_csv_and_coco(light, photo, tmp_path):
    for name in ("points.csv", "points.json"):
        done = light("predict", "photo.png", "-o", name)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["train", "-c", "quickstart"], "paddle"),
        (["evaluate", "-w", "photo.png", "-c", "quickstart"], "pandas"),
        (["export", "-o", "out"], "paddle"),
        (["plot", "run"], "pandas"),
        (["prepare-data", "--from", "photo.png"], "pandas"),
        (["predict", "photo.png", "-o", "points.parquet"], "pyarrow"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_a_missing_extra_is_one_line_that_names_it(light, photo, tmp_path, arguments, module):
    done = light(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f'{module}; pip install "facekp[{EXTRAS[module]}]"' in done.stderr
    assert os.listdir(tmp_path) == ["photo.png"]


def test_a_model_that_is_not_in_the_wheel(light, photo, tmp_path):
    assert "sam_googlenet_bn" in light("models").stdout
    done = light("predict", "photo.png", "-o", "points.csv", "--source", "sam_googlenet_bn")
    assert done.returncode == 2 and "set FACEKP_ZOO to a mirror" in done.stderr
    assert not (tmp_path / "points.csv").exists()


def test_configs_are_found_by_name(light):
    listed = light("train", "--list", extras=()).stdout.split()
    assert listed == sorted(path.stem for path in (ROOT / "configs").glob("*.yml"))
    for name in ("face_crop_light", "configs/face_crop_light.yml"):
        shown = light("train", "--show", name, "-o", "seed=7", extras=()).stdout
        assert "name: face_crop_light" in shown and "seed: 7" in shown
        assert "size: 112" in shown and "_base_" not in shown  # from the base
    done = light("train", "--show", "face_crop_ligth", extras=())
    assert done.returncode == 2 and "facekp train --list" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_shows_an_example(light, name):
    done = light(name, "--help")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) <= 40 and max(map(len, lines)) <= 100
    assert f"example: facekp {name}" in done.stdout or f" facekp {name}" in lines[-1]


def test_help_lists_every_command(light):
    text = light("--help").stdout
    assert all(f"  {name} " in text for name in COMMANDS) and len(text.splitlines()) <= 40
