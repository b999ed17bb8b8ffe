"""Installation of PaddleHub in a Python environment, and of its modules."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from facekp.errors import UserError
from facekp.io.files import check_new_folder, local_errors
from facekp.paddlehub import worker as hub_worker
from facekp.paddlehub.client import DETECTOR, MODULE, PADDLEHUB, Worker, WorkerError, check_module, need_packages

#: Server from which PaddleHub itself gets modules. It uses plain HTTP, and what it sends is code that will be run.
SERVER = "http://paddlepaddle.org.cn/paddlehub"

#: Packages that the command `hub` imports besides `worker.PACKAGES`.
COMMAND_PACKAGES = ["flask", "gunicorn", "pyzmq"]


def make_environment(folder: Path) -> Path:
    """Create a Python environment with paddlehub that reuses Paddle, OpenCV and all other packages of this one.

    paddlehub is installed without its requirements; modules that it imports and does not need are replaced by
    empty ones (`worker.STAND_INS`). So it takes seconds, while `pip install paddlehub` takes 1.8 GB and then fails.

    Args:
        folder: Folder to create; must be empty if it exists.

    Returns:
        Path of its interpreter, for `FACEKP_HUB_PYTHON`. The command `hub` is in the same folder.

    Raises:
        UserError: The folder is not empty or cannot be written, or pip failed.
    """
    folder = folder.absolute()
    with local_errors(folder, "choose another folder"):
        check_new_folder(folder)
        try:
            return _fill_environment(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # an incomplete environment looks like a complete one
            raise


def _fill_environment(folder: Path) -> Path:
    _run([sys.executable, "-m", "venv", str(folder)])
    python = folder / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name
    library = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'), end='')"]))
    for name, classes in hub_worker.STAND_INS.items():
        if importlib.util.find_spec(name.split(".")[0]) is None:
            stand_in = library.joinpath(*name.split("."))
            stand_in.mkdir()
            (stand_in / "__init__.py").write_text("".join(f"class {each}:\n    pass\n" for each in classes))
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (library / "facekp_hub.pth").write_text(
        f"import os, site; list(map(site.addsitedir, {borrowed})); "
        "os.environ.setdefault('PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION', 'python')\n"
    )
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", PADDLEHUB])
    packages = [package for package in hub_worker.PACKAGES.values() if package not in ("paddlepaddle", "paddlehub")]
    _run([*pip, *packages, *COMMAND_PACKAGES])
    return python


def fetch_modules(
    python: str,
    home: Path,
    seconds: float,
    names: Sequence[str] = (MODULE, DETECTOR),
    server: str = SERVER,
    sources: Sequence[Path] = (),
) -> None:
    """Install modules into PaddleHub's home, each completely or not at all; existing ones are replaced.

    Args:
        python: Interpreter that has paddlehub.
        home: PaddleHub's home.
        seconds: Time limit in seconds.
        names: Names of the modules to install.
        server: Address of the server that PaddleHub requests them from.
        sources: Archives or folders to install instead of those of the server.

    Raises:
        UserError: No network, no such module, a damaged archive, time limit exceeded, or `home` cannot be written.
    """
    for source in sources:
        if not source.exists():
            raise UserError(f"{source}: no such archive or folder; check --from")
    with local_errors(home, "set HUB_HOME to a folder that can be written to"):
        (home / "modules").mkdir(parents=True, exist_ok=True)
        # Beside the modules: on the same disk, so that they only need to be renamed.
        with tempfile.TemporaryDirectory(prefix=".facekp-", dir=home) as scratch:
            worker = Worker(python, seconds, Path(scratch), _stderr(), "--minutes")
            try:
                need_packages(worker)
                worker.ask(
                    {
                        "do": "fetch",
                        "server": server,
                        "names": [] if sources else list(names),
                        "sources": [str(source.absolute()) for source in sources],
                    }
                )
                fetched = Path(worker.home, "modules")
                for name in names:
                    if sources and not (fetched / name).is_dir():
                        raise UserError(f"--from: none of what was given holds {name}; give its archive or folder too")
                    check_module(fetched, name)
                for name in names:
                    old = home / "modules" / name
                    if old.exists():
                        old.rename(Path(scratch, name))
                    (fetched / name).rename(old)
            except WorkerError as error:
                raise UserError(
                    f"{', '.join(names)}: cannot be fetched from {', '.join(map(str, sources)) or server}, {error}; "
                    "check the network and the proxy, or get the archives some other way and give them with --from"
                ) from error
            finally:
                worker.close()


def _run(command: list[str]) -> str:
    """Run a command and return its output; raise a UserError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no reason given")
        raise UserError(
            f"{' '.join(command)}: failed, {why.strip()}; check the network, or run it yourself to see more"
        )
    return done.stdout


def _stderr() -> IO[str] | None:
    """Return stderr, for the messages of another process; None where it is not a file (notebooks, tests)."""
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return sys.stderr
