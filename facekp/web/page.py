"""Location and build of the web page."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from facekp.errors import UserError, one_line
from facekp.io.files import new_folder, sha256_of

#: Built page in an installed package; source folder in a clone, where `npm run build` writes `dist`.
_INSTALLED = Path(__file__).with_name("page")
_SOURCE = Path(__file__).resolve().parents[2] / "web"

#: Folder of the landmark network in the page, which another one can replace.
NETWORK = "models/face_crop_light"

#: Folder of the shipped network in that case; its scores are needed where the other one returns none.
SHIPPED_NETWORK = "models/shipped"

#: The service worker, and the version of its cache in its text.
SERVICE_WORKER = "service-worker.js"
_VERSION = re.compile(r'(version\\*":\\*")([0-9a-f]{16})')

#: Commands that build the page, in the folder web/ of a clone.
COMMANDS = (("npm", "ci"), ("npm", "run", "build"))


def find_page(build: bool = True) -> Path:
    """Return the folder of the built page.

    Args:
        build: Whether to build it first if it is not built and npm is installed.

    Raises:
        UserError: The page is not built and cannot be built; the message says what to do.
    """
    for folder in (_INSTALLED, _SOURCE / "dist"):
        if (folder / "index.html").is_file():
            return folder
    by_hand = f"cd {_SOURCE} && {' && '.join(' '.join(command) for command in COMMANDS)}"
    if not (_SOURCE / "package.json").is_file():
        raise UserError("the page is not part of this installation; install from a clone, where web/ is")
    if not build or shutil.which("npm") is None:
        raise UserError(f"the page is not built; install Node.js, then: {by_hand}")
    print(f"building the page in {one_line(_SOURCE)}, which can take some minutes", flush=True)
    for command in COMMANDS:
        done = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            last = next((line for line in reversed(lines) if "complete log" not in line), "")
            raise UserError(f"{' '.join(command)} failed ({last[:200]}); see: {by_hand}")
    return _SOURCE / "dist"


def write_page(page: Path, network: Path | None, folder: Path) -> None:
    """Write the page as a folder for any web host.

    Args:
        page: See `find_page`.
        network: Folder that `facekp export` wrote, to replace the landmark network; None: the shipped one.
        folder: Output folder; must be empty if it exists.

    Raises:
        UserError: `folder` is not empty or cannot be written.
    """
    folder = folder.absolute()
    try:
        with new_folder(folder) as made:
            shutil.copytree(page, made, dirs_exist_ok=True)
            if network is not None:
                shutil.copytree(made / NETWORK, made / SHIPPED_NETWORK)
                for file in network.iterdir():
                    shutil.copyfile(file, made / NETWORK / file.name)
                _renew(made / SERVICE_WORKER, network)
            made.chmod(0o755)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); check the name and the free space") from error


def _renew(worker: Path, network: Path) -> None:
    """Give the service worker a new version, so that browsers do not keep another network in their caches."""
    if not worker.is_file():
        return
    files = "".join(file.name + sha256_of(file) for file in sorted(network.iterdir()))
    kept = hashlib.sha256(files.encode()).hexdigest()
    text = _VERSION.sub(lambda found: found[1] + kept[:8] + found[2][8:], worker.read_text(encoding="utf-8"))
    worker.write_text(text, encoding="utf-8")
