"""An editable installation, used from the folder above the clone."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_editable(sys.argv[1]))"


def test_the_folder_above_the_clone_does_not_hide_the_package(tmp_path):
    pytest.importorskip("setuptools")
    clone, out = tmp_path / "above" / "facekp", tmp_path / "out"
    out.mkdir()
    shutil.copytree(ROOT / "facekp", clone / "facekp", ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    shutil.copytree(ROOT / "configs", clone / "configs")
    shutil.copytree(ROOT / "assets" / "stickers" / "crown", clone / "assets" / "stickers" / "crown")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    done = subprocess.run([sys.executable, "-c", BUILD, out], cwd=clone, capture_output=True, text=True)
    if done.returncode and "bdist_wheel" in done.stderr:
        pytest.skip("this setuptools is too old to build wheels")
    assert done.returncode == 0, done.stderr
    wheel = next(out.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        paths = [name for name in archive.namelist() if name.endswith(".pth")]
        assert len(paths) == 1 and not [name for name in archive.namelist() if "finder" in name]
        archive.extract(paths[0], tmp_path)
    # Without the .pth files of this environment, whose own editable facekp would come first.
    code = ("import site, sys; sys.path.append(sys.argv[1]); site.addsitedir(sys.argv[2]); "
            "import facekp; print(facekp.__file__, facekp.__version__)")  # fmt: skip
    command = [sys.executable, "-S", "-c", code, sysconfig.get_path("purelib"), tmp_path]
    seen = subprocess.run(command, cwd=clone.parent, capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    assert str(clone / "facekp" / "__init__.py") in seen.stdout
