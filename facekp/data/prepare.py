"""Preparation of the 68-point data set: download or read the archive, check it, and install it as a whole.

The result is one folder:

    training/                        3,462 images
    training_frames_keypoints.csv    a row per image: name, x0, y0, ..., x67, y67 in pixels
    test/                            770 images
    test_frames_keypoints.csv

Integrity checks: a download must have the length that the server announced, every zip member that is unpacked
must match its own CRC-32, the SHA-256 of the two published CSVs is pinned (`PUBLISHED`), and each row's image
must exist. The SHA-256 of the archive as a whole is NOT pinned: this code was written without access to the
archive, so its true value is not known. A known value can be passed as `sha256`.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Callable

import numpy as np
import pandas as pd

from facekp.errors import UserError
from facekp.io.download import download, forget, root_cause
from facekp.io.files import local_errors, locked, read_start, sha256_of

URL = "https://s3.amazonaws.com/video.udacity-data.com/topher/2018/May/5aea1b91_train-test-data/train-test-data.zip"
SPLITS = ("training", "test")
CSVS = {split: f"{split}_frames_keypoints.csv" for split in SPLITS}
PUBLISHED = {  # SHA-256 of the CSVs as Udacity published them
    "training_frames_keypoints.csv": "9f3d1213429893d4955e2789076f6ce11e297253fed86337cffb6ca85bd61ec8",
    "test_frames_keypoints.csv": "348e5e1a5906001f64d3da627e4f61dc3de90771d6d92f5d93628029b3c85e65",
}
COLUMNS = 1 + 2 * 68

# Exceptions of the standard library for a damaged or unreadable archive.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression method that Python's zipfile does not support
    UnicodeDecodeError,  # a member's name
)

#: Remedies for messages.
OTHERWISE = "get the archive some other way and give it with --from"
ELSEWHERE = "choose another place with -o"
REMEDY = f"check the permissions and the free space, or {ELSEWHERE}"

Write = Callable[[Path], None]


class DamagedError(UserError):
    """Error in the archive or folder itself: trying again with the same bytes would not help."""


@dataclass(frozen=True)
class Summary:
    """Statistics of one split.

    Attributes:
        split: "training" or "test".
        images: Number of rows of the CSV.
        people: Number of different names up to the last underscore (`Ann_Lee_03.jpg` shows `Ann_Lee`).
        mean: Mean of all coordinates.
        std: Standard deviation of all coordinates.

    Example:
        >>> print(Summary("training", 3462, 347, 104.47249, 43.17302))
        training: 3462 images, 347 people, label mean 104.4725, std 43.1730
    """

    split: str
    images: int
    people: int
    mean: float
    std: float

    def __str__(self) -> str:
        return (
            f"{self.split}: {self.images} images, {self.people} people, label mean {self.mean:.4f}, std {self.std:.4f}"
        )


def prepare(
    output: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    url: str = URL,
    sha256: str | None = None,
    overwrite: bool = False,
) -> bool:
    """Create the data folder `output`, or leave it unchanged if it is complete.

    The folder is created completely or not at all. An interrupted download stays as `OUTPUT.part` beside the
    folder, and the next call resumes it.

    Args:
        output: The folder to create.
        source: A local archive (zip, tar, tar.gz) or folder; without it, `url` is downloaded.
        url: URL of the archive.
        sha256: Checksum that the archive must have.
        overwrite: Replace an existing folder and all its contents.

    Returns:
        True if the folder was created, False if a complete one existed.

    Raises:
        UserError: No network, a damaged archive, no space, `output` is something else, or another process is creating
            it.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> for split in SPLITS:
        ...     (home / "mine" / split).mkdir(parents=True)
        ...     _ = (home / "mine" / split / "Ann_Lee_03.jpg").write_bytes(b"an image")
        ...     rows = ["," + ",".join(map(str, range(136))), "Ann_Lee_03.jpg" + ",5.0" * 136]
        ...     _ = (home / "mine" / CSVS[split]).write_text(chr(10).join(rows))
        >>> prepare(home / "data", source=home / "mine"), prepare(home / "data", source=home / "mine")
        (True, False)
        >>> print(*summarise(home / "data"), sep=chr(10))
        training: 1 images, 1 people, label mean 5.0000, std 0.0000
        test: 1 images, 1 people, label mean 5.0000, std 0.0000
    """
    output = Path(os.path.realpath(output))  # a link to a larger disk stays a link
    source = None if source is None else Path(os.path.realpath(source))
    sha256 = _checksum(sha256)
    if _is_ready(output, source, overwrite):
        return False
    with local_errors(output, REMEDY):
        output.parent.mkdir(parents=True, exist_ok=True)
    with locked(output, "wait until it finishes, or choose another folder with -o"):
        if source is None:
            _download(url, output, sha256)
        else:
            _verify(source, sha256)
            install(source, output)
    return True


def _download(url: str, output: Path, sha256: str | None) -> None:
    """Download an archive to `OUTPUT.part` and create the data folder from it."""
    part = output.with_name(output.name + ".part")
    download(url, part, OTHERWISE, ELSEWHERE)
    try:
        _verify(part, sha256)
        install(part, output, published=url == URL)
    except DamagedError as error:
        forget(part)  # otherwise every further call would find it complete and fail in the same way
        raise UserError(f"{error} (downloaded from {url} and removed again)") from error
    except UserError as error:
        raise UserError(f"{error}; the whole download is kept as {part} and used by the next run") from error
    forget(part)


def summarise(folder: Path, label: object = None) -> list[Summary]:
    """Check that the data folder is complete, and return statistics of its splits.

    Args:
        folder: The data folder.
        label: Name of the folder in error messages; its own path by default.

    Raises:
        DamagedError: A CSV is missing or not such a table, or a row has no image.
    """
    return [_summarise_split(folder, split, folder if label is None else label) for split in SPLITS]


def altered(folder: Path) -> list[str]:
    """Return the names of the CSVs in `folder` that are not byte for byte the published ones."""
    return [name for name, digest in PUBLISHED.items() if sha256_of(folder / name) != digest]


def install(source: Path, output: Path, *, published: bool = False) -> None:
    """Unpack or copy `source` to a temporary folder, check it, and rename it to `output`.

    Images of a folder are hard-linked where the file system allows, else copied; the CSVs, which people
    edit, are always copied.

    Args:
        source: An archive or a folder, with the data set at any depth.
        output: The folder to create; an existing one is replaced with all its contents.
        published: Whether CSVs that differ from the published ones are an error.

    Raises:
        DamagedError: `source` is not the data set, or is damaged.
        UserError: Something cannot be read or written.
    """
    with local_errors(output, REMEDY):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            _unpack(source, new)
            summarise(new, label=source)
            changed = altered(new) if published else []
            if changed:
                raise DamagedError(
                    f"{source}: not the published data set, {' and '.join(changed)} differ; run again, "
                    "or get the archive some other way and give it with --from"
                )
            if output.exists():
                output.rename(old)
            try:
                new.rename(output)
            except OSError:
                if old.exists():
                    old.rename(output)
                raise


def _is_ready(output: Path, source: Path | None, overwrite: bool) -> bool:
    """Return whether a complete data folder exists; UserError if something else does and must not be replaced."""
    with local_errors(output, REMEDY):
        if not output.exists():
            return False
        if not output.is_dir():
            raise UserError(f"{output}: is a file; choose a folder with -o")
        if not any(output.iterdir()):
            return False
        if overwrite:
            for precious in (source, Path.cwd()):
                if precious is not None and precious.is_relative_to(output):
                    raise UserError(f"{output}: replacing it would delete {precious}; choose another folder with -o")
            return False
        try:
            summarise(output)
        except DamagedError as error:
            raise UserError(
                f"{error}; the folder exists but is not the complete data set: "
                "choose another one with -o, or replace all that is in it with --overwrite"
            ) from error
    return True


def _summarise_split(folder: Path, split: str, label: object) -> Summary:
    csv = CSVS[split]
    if not (folder / csv).is_file() or not (folder / split).is_dir():
        raise DamagedError(f"{label}: {csv} or the folder {split}/ is missing")
    try:
        table = pd.read_csv(folder / csv)
        names, labels = table.iloc[:, 0].astype(str), table.iloc[:, 1:].to_numpy(np.float64)
    except (ValueError, IndexError) as error:  # pandas' parser errors are ValueErrors
        raise DamagedError(f"{label}: {csv} is not a table of numbers ({error})") from error
    if table.shape[1] != COLUMNS or not len(table):
        raise DamagedError(
            f"{label}: {csv} has {len(table)} rows of {table.shape[1]} columns, not of {COLUMNS} (name, x0, y0, ...)"
        )
    present = set(os.listdir(folder / split))
    for row, name in enumerate(names):
        where = f"{label}: {csv}, line {row + 2}"  # the header is line 1
        if name not in present:
            raise DamagedError(f"{where}: the image {split}/{name} is missing")
        if not np.isfinite(labels[row]).all():
            raise DamagedError(f"{where}: a coordinate of {name} is missing or not finite")
    people = names.str.rsplit("_", n=1).str[0].nunique()
    return Summary(split, len(table), people, float(labels.mean()), float(labels.std()))


def _checksum(text: str | None) -> str | None:
    if text is not None and (len(text) != 64 or set(text.lower()) - set("0123456789abcdef")):
        raise UserError(f"--sha256 {text}: a SHA-256 has 64 hexadecimal digits; copy the whole of it")
    return text.lower() if text else None


def _verify(source: Path, sha256: str | None) -> None:
    """Compare the archive's checksum with the requested one, if any."""
    if not source.exists():
        raise UserError(f"{source}: no such archive or folder; check --from")
    if sha256 is None:
        return
    if source.is_dir():
        raise UserError(f"{source}: a folder has no checksum; omit --sha256, or give the archive")
    with local_errors(source, REMEDY):
        digest = sha256_of(source)
    if digest != sha256:
        raise DamagedError(f"{source}: its SHA-256 is {digest}, not {sha256}; check --sha256 or download it again")


def _unpack(source: Path, target: Path) -> None:
    """Write the data set inside `source` to the new folder `target`, without any other files."""
    try:
        with _contents(source) as files:
            root = _find(files, source)
            for folder in ("", *SPLITS):
                (target / folder).mkdir()
            csvs = {root / name for name in CSVS.values()}
            for path, write in files.items():  # in the archive's order: a tar.gz is read sequentially
                if path in csvs or path.parent in (root / "training", root / "test"):
                    write(target / path.relative_to(root))
    except ARCHIVE_ERRORS as error:
        raise DamagedError(f"{source}: damaged, {root_cause(error)}; download it again") from error


@contextmanager
def _contents(source: Path) -> Iterator[dict[PurePosixPath, Write]]:
    """Yield the files of a folder or an archive: path inside -> function that writes the file to a path."""
    files: dict[PurePosixPath, Write] = {}
    if source.is_dir():
        for file in sorted(source.rglob("*")):
            if file.is_file():
                files[_inside(file.relative_to(source).as_posix(), source)] = partial(_link_or_copy, file)
        yield _without_junk(files)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as zip_file:
            for info in zip_file.infolist():
                path = _inside(info.filename, source)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise DamagedError(f"{source}: {path} is a link; repack the archive without links")
                if info.flag_bits & 1:
                    raise DamagedError(f"{source}: {path} is encrypted; repack it without a password")
                if not info.is_dir():
                    files[path] = partial(_write, partial(zip_file.open, info))
            yield _without_junk(files)
    elif _begins(source) and tarfile.is_tarfile(source):
        with tarfile.open(source) as tar_file:
            for member in tar_file.getmembers():
                path = _inside(member.name, source)
                if not member.isfile() and not member.isdir():
                    raise DamagedError(f"{source}: {path} is a link or device; repack the archive without it")
                if member.isfile():
                    reader = partial(tar_file.extractfile, member)
                    files[path] = partial(_write, reader)  # type: ignore[arg-type]  # None only for folders
            yield _without_junk(files)
    else:
        raise DamagedError(f"{source}: neither a folder nor a zip or tar archive, or cut short; download it again")


def _begins(source: Path) -> bool:
    """Return whether the start of a file has a byte other than zero: `tarfile` would read zeros to their end."""
    return any(read_start(source, 512))


def _inside(name: str, source: Path) -> PurePosixPath:
    r"""Return the path of an archive's member; DamagedError if it would leave the target folder.

    Example:
        >>> _inside("data\\test/Ann_Lee_03.jpg", Path("a.zip")).as_posix()
        'data/test/Ann_Lee_03.jpg'
    """
    path = PureWindowsPath(name)  # handles both slashes and drive letters
    if path.anchor or ".." in path.parts:
        raise DamagedError(f"{source}: {name} leads out of the archive; do not trust it")
    return PurePosixPath(*path.parts)


def _without_junk(files: dict[PurePosixPath, Write]) -> dict[PurePosixPath, Write]:
    """Remove what macOS adds: __MACOSX/, .DS_Store, ._name."""
    return {
        path: write for path, write in files.items() if "__MACOSX" not in path.parts and not path.name.startswith(".")
    }


def _find(files: Collection[PurePosixPath], source: Path) -> PurePosixPath:
    """Return the folder inside `source` that holds the CSVs and, beside them, the folders of images."""
    folders = {path.parent for path in files}
    roots = [
        folder
        for folder in folders
        if all(folder / CSVS[split] in files and folder / split in folders for split in SPLITS)
    ]
    if not roots:
        wanted = ", ".join([*CSVS.values(), *(f"{split}/" for split in SPLITS)])
        raise DamagedError(f"{source}: holds no folder with {wanted}; give the data set's archive or folder")
    if len(roots) > 1:
        places = ", ".join(sorted(map(str, roots)))
        raise DamagedError(f"{source}: holds the data set more than once ({places}); give one of them")
    return roots[0]


def _write(open_member: Callable[[], IO[bytes]], target: Path) -> None:
    with open_member() as member, open(target, "wb") as file:
        shutil.copyfileobj(member, file)  # to the end, where zipfile checks the CRC


def _link_or_copy(file: Path, target: Path) -> None:
    if file.suffix != ".csv":
        try:
            os.link(file.resolve(), target)
            return
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            # Another disk, a file system without hard links or another owner's file: copy instead.
    shutil.copyfile(file, target)
