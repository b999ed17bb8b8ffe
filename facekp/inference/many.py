"""Landmarks for many images: decoding ahead in threads, batches across images, and a table that can be resumed."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Callable, Union

import numpy as np
from tqdm import tqdm

from facekp import viz
from facekp.data.coco_file import write_coco
from facekp.data.labels import Labels, make_face
from facekp.errors import UserError, one_line
from facekp.extras import missing
from facekp.inference.faces import Faces
from facekp.io.files import atomic_path, check_own, locked, sweep
from facekp.io.images import SUFFIXES, only_sound_images, read_image, write_image
from facekp.landmarks import SIGNALS, PointSchema

#: A group of images that are processed together is complete at this number of images, or of pixels.
GROUP, GROUP_PIXELS = 16, 16_000_000

#: Number of rows in a row group of a Parquet file.
ROW_GROUP = 5000

#: Columns of the list of images that could not be read.
_FAILURES = ["image", "error"]

Found = Union[Faces, UserError]


@dataclass(frozen=True)
class Seen:
    """An image and the faces found in it.

    Attributes:
        path: Path of the image.
        image: BGR; None if it could not be read.
        found: Its faces, or the error that prevented finding them.
    """

    path: Path
    image: np.ndarray | None
    found: Found


def find_on_many(
    paths: Iterable[Path],
    landmarker: Callable[[np.ndarray], Faces],
    threads: int | None = None,
    strict: bool = False,
) -> Iterator[Seen]:
    """Find the faces in images, in order, with only a few images in memory.

    Args:
        paths: Paths of the images. A damaged one is reported as such and does not stop the others.
        landmarker: See `facekp.load_landmarker`. If it has a method `many`, it is called with several images at once.
        threads: Number of decoding threads; None for one per core.
        strict: Treat images with missing or corrupt parts, which decoders fill in, as damaged.

    Example:
        >>> import facekp
        >>> paths = [Path("assets/photos/astronaut.png"), Path("README.md")]
        >>> for seen in find_on_many(paths, facekp.load_landmarker()):
        ...     print(seen.path.name, "damaged" if isinstance(seen.found, UserError) else len(seen.found))
        astronaut.png 1
        README.md damaged
    """
    threads = threads or os.cpu_count() or 1
    group: list[tuple[Path, np.ndarray | UserError]] = []
    for path, image in _decoded(paths, threads, strict):
        group.append((path, image))
        pixels = sum(image.shape[0] * image.shape[1] for _, image in group if isinstance(image, np.ndarray))
        if len(group) == GROUP or pixels >= GROUP_PIXELS:
            yield from _find(group, landmarker)
            group = []
    yield from _find(group, landmarker)


def _decoded(paths: Iterable[Path], threads: int, strict: bool) -> Iterator[tuple[Path, np.ndarray | UserError]]:
    ahead: deque[tuple[Path, Future[np.ndarray]]] = deque()
    waiting = iter(paths)
    pool = ThreadPoolExecutor(threads)  # OpenCV decodes without holding the GIL
    try:
        while True:
            for path in waiting:
                ahead.append((path, pool.submit(_read, path, strict)))
                if len(ahead) > 2 * threads:
                    break
            if not ahead:
                return
            path, future = ahead.popleft()
            try:
                yield path, future.result()
            except UserError as error:
                yield path, error
    finally:
        pool.shutdown(cancel_futures=True)


def _read(path: Path, strict: bool) -> np.ndarray:
    with only_sound_images() if strict else nullcontext():
        return read_image(path)


def _find(
    group: Sequence[tuple[Path, np.ndarray | UserError]], landmarker: Callable[[np.ndarray], Faces]
) -> Iterator[Seen]:
    images = [image for _, image in group if isinstance(image, np.ndarray)]
    found: Iterable[Found]
    many = getattr(landmarker, "many", None)
    found = iter(many(images)) if many is not None else (_find_one(image, landmarker) for image in images)
    for path, image in group:
        if isinstance(image, UserError):
            yield Seen(path, None, image)
        else:
            yield Seen(path, image, next(found))


def _find_one(image: np.ndarray, landmarker: Callable[[np.ndarray], Faces]) -> Found:
    try:
        return landmarker(image)
    except UserError as error:
        return error


class PointsTable:
    """A CSV, Parquet or COCO file with the faces of many images, written image by image.

    Rows are appended to `NAME.unfinished`, always a CSV: the other formats cannot be read before their end is written.
    `finish` converts it to NAME atomically. If the process is killed, only the current image is lost; the next table
    that is opened with `resume` cuts off incomplete rows and skips the images that are done.

    Args:
        path: Path with the suffix `.csv`, `.parquet` (needs pyarrow) or `.json` (COCO keypoints).
        schema: Schema of the points.
        source: Name of what finds the points; an unfinished table is not resumed with another source.
        resume: Continue an unfinished table, or add to a finished one.
        signals: After the points, also write the head pose in degrees and the expressions, 0 to 1.

    Raises:
        UserError: There is an unfinished table and `resume` is not set, or it was started with other settings; or the
            file name has another suffix; or pyarrow is missing.

    Example:
        >>> import tempfile
        >>> from facekp.landmarks import parse_schema
        >>> path = Path(tempfile.mkdtemp()) / "points.csv"
        >>> with PointsTable(path, parse_schema({"name": "dot", "points": ["tip"]}, ""), source="a network") as table:
        ...     table.add("a.png", Faces.from_arrays([[[3, 4]]], [[1, 2, 5, 6]], [0.5]))
        ...     table.finish()
        ({}, 1)
        >>> print(path.read_text())
        image,face,score,box_x0,box_y0,box_x1,box_y1,x0,y0
        a.png,0,0.500,1.00,2.00,5.00,6.00,3.00,4.00
        <BLANKLINE>
    """

    def __init__(
        self, path: Path, schema: PointSchema, source: str, resume: bool = False, signals: bool = False
    ) -> None:
        self.path, self.unfinished = path, path.with_name(path.name + ".unfinished")
        self.failures = path.with_name(f"{path.stem}_failed.csv")
        names = [f"{axis}{i}" for i in range(schema.num_points) for axis in "xy"]
        self._signals = ["yaw", "pitch", "roll", *SIGNALS] if signals else []
        self._columns = ["image", "face", "score", "box_x0", "box_y0", "box_x1", "box_y1", *names, *self._signals]
        self._file: IO[bytes] | None = None
        if path.suffix.lower() not in _FORMATS:
            raise UserError(f"{path}: a table of points ends in {' or '.join(_FORMATS)}")
        if signals and path.suffix.lower() == TABLES["coco"]:
            raise UserError(f"{path}: COCO cannot store signals; omit them, or take another format")
        self._format: _Csv | _Parquet | _Coco = _FORMATS[path.suffix.lower()](path, self._columns, schema)
        check_own(self.failures, ",".join(_FAILURES), "a list of failed images")
        self._done: set[str] = set()
        # Header of the unfinished table: the source of the points, and whether it adds to a finished table.
        self._adds = resume and path.is_file()
        self._head = ["facekp", source]
        if self.unfinished.is_file():
            if not resume:
                raise UserError(
                    f"{self.unfinished}: an earlier run was stopped; add --resume to continue, or delete it"
                )
            self._reopen()
        self._earlier = {row[0] for row in self._format.rows()} if self._adds else set()
        self._done |= self._earlier

    def __enter__(self) -> PointsTable:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # `add` has already reported a full disk
                self._file.close()

    def __contains__(self, image: str) -> bool:
        """Return whether an image is done: its faces are in the table, or it has none."""
        return spelled_out(image) in self._done

    def add(self, image: str, found: Found) -> None:
        """Write the rows of an image.

        Args:
            image: Name of the image.
            found: Its faces, or the error if it could not be read.

        Raises:
            UserError: The table cannot be written.
        """
        image = spelled_out(image)
        if isinstance(found, UserError):
            rows = [[image, *[""] * (len(self._columns) - 1), "0", spelled_out(" ".join(str(found).split()))]]
        elif not len(found):
            rows = [[image, *[""] * (len(self._columns) - 1), "0", ""]]
        else:
            rows = []
            for number, (points, box, score) in enumerate(found):
                signals = [_signal(found, name, number) for name in self._signals]
                values = [f"{value:.2f}" for value in (*box, *points.reshape(-1), *signals)]
                rows.append([image, str(number), f"{score:.3f}", *values, str(len(found)), ""])
        try:
            if self._file is None:
                self.unfinished.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.unfinished.open("wb")
                rows = [[*self._head, str(int(self._adds))], [*self._columns, "faces", "error"], *rows]
            self._file.write(_lines(rows))
            self._file.flush()  # if the process is killed, only the current image is lost
        except OSError as error:
            raise UserError(
                f"{self.unfinished}: cannot be written ({error.strerror}); fix that and add --resume"
            ) from error

    def finish(self) -> tuple[dict[str, str], int]:
        """Write the file, and `NAME_failed.csv` beside it if an image could not be read.

        Returns:
            The reason for each image that failed, and the number of faces in the file.

        Raises:
            UserError: No image could be read; nothing is written then.
        """
        self.__exit__()
        failed: dict[str, str] = {}
        readable = len(self._earlier)
        if self.unfinished.is_file():
            for rows in self._unfinished_images():
                failed.pop(rows[0][0], None)
                if rows[0][-1]:
                    failed[rows[0][0]] = rows[0][-1]
                else:
                    readable += 1
            if 0 < self._end < self.unfinished.stat().st_size:
                raise UserError(f"{self.unfinished}: damaged after byte {self._end}; add --resume to redo the rest")
        if failed and not readable:
            self.unfinished.unlink()
            raise UserError(f"none of the {len(failed)} images could be read; the lines above say why")
        faces = 0
        with atomic_path(self.path) as temporary, self._format.writer(temporary) as write:
            for row in self._rows():
                write(row)
                faces += 1
        if failed:
            with atomic_path(self.failures) as temporary:
                temporary.write_bytes(_lines([_FAILURES, *([*pair] for pair in failed.items())]))
        else:
            self.failures.unlink(missing_ok=True)
        self.unfinished.unlink(missing_ok=True)
        return failed, faces

    def _rows(self) -> Iterator[list[str]]:
        """Yield the rows of the earlier table, then of this one, each image once."""
        if self._adds:
            yield from self._format.rows()
        if self.unfinished.is_file():
            for rows in self._unfinished_images():
                if rows[0][1] and rows[0][0] not in self._earlier:
                    yield from (row[: len(self._columns)] for row in rows)

    def _reopen(self) -> None:
        """Read which images are done, and cut off incomplete rows."""
        for rows in self._unfinished_images():
            if not rows[0][-1]:  # failed images are tried again
                self._done.add(rows[0][0])
        if self._end:
            self._file = self.unfinished.open("r+b")
            self._file.truncate(self._end)
            self._file.seek(self._end)

    def _unfinished_images(self) -> Iterator[list[list[str]]]:
        """Yield the rows of each complete image; `_end` is the byte offset after the last one."""
        self._end = 0
        # After a power failure the end of a file may hold arbitrary bytes.
        with self.unfinished.open("rb") as file, suppress(csv.Error, ValueError):
            lines = _CountedLines(file)
            records = csv.reader(lines)
            head, columns = next(records, []), next(records, [])
            if not columns or not lines.whole:
                return  # killed before the first image
            if len(head) != 3 or head[:2] != self._head:
                raise UserError(
                    f"{self.unfinished}: was started with {head[1] if len(head) > 1 else '?'}, not with {self._head[1]}"
                    "; give the same, or delete it"
                )
            if columns != [*self._columns, "faces", "error"]:
                raise UserError(
                    f"{self.unfinished}: was started with other columns; give the same --schema and --signals, or "
                    "delete it"
                )
            self._adds = head[2] == "1"
            self._end = lines.end
            rows: list[list[str]] = []
            for row in records:
                if not lines.whole or len(row) != len(columns):
                    return
                rows.append(row)
                if len(rows) >= int(row[-2]):
                    self._end = lines.end
                    yield rows
                    rows = []


class _CountedLines:
    """Iterates over the lines of a file as text and counts their bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.end, self.whole = file, 0, False

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.end += len(line)
            self.whole = line.endswith(b"\n")
            yield line.decode("utf-8")


def _signal(faces: Faces, name: str, number: int) -> float:
    """Return a signal, or an angle of the pose, of one face."""
    values = faces.signals[name] if name in SIGNALS else getattr(faces.pose, name)
    return float(values[number])


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def spelled_out(name: str) -> str:
    """Return a file name with bytes that are not UTF-8, and the line break that `csv` does not quote, escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\r", "\\r")


class _Csv:
    def __init__(self, path: Path, columns: list[str], schema: PointSchema) -> None:
        self._path, self._columns = path, columns

    def rows(self) -> Iterator[list[str]]:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                records = csv.reader(file)
                _check_columns(self._path, next(records, []), self._columns)
                for record in filter(None, records):  # skips blank lines
                    if len(record) != len(self._columns):
                        raise csv.Error(f"line {records.line_num} has {len(record)} values")
                    yield record
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{self._path}: not a CSV file, or damaged ({error}); choose another -o") from error

    @contextmanager
    def writer(self, path: Path) -> Iterator[Callable[[list[str]], object]]:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            yield writer.writerow


class _Parquet:
    def __init__(self, path: Path, columns: list[str], schema: PointSchema) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise missing("pyarrow", f"{path}: Parquet") from error
        self._path, self._columns, self._arrow = path, columns, pyarrow
        kinds = [pyarrow.string(), pyarrow.int32(), *[pyarrow.float32()] * (len(columns) - 2)]
        self._schema = pyarrow.schema(list(zip(columns, kinds)))

    def rows(self) -> Iterator[list[str]]:
        try:
            with self._arrow.parquet.ParquetFile(self._path) as file:
                _check_columns(self._path, file.schema_arrow.names, self._columns)
                if not file.schema_arrow.equals(self._schema):
                    raise self._arrow.ArrowInvalid("its columns are of other types")
                for batch in file.iter_batches(ROW_GROUP):
                    for image, number, score, *values in zip(*(column.to_pylist() for column in batch.columns)):
                        if image is None or number is None or score is None or None in values:
                            raise self._arrow.ArrowInvalid("a value is missing")
                        yield [image, str(number), f"{score:.3f}", *(f"{value:.2f}" for value in values)]
        except (self._arrow.ArrowException, OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise UserError(f"{self._path}: not a Parquet file, or damaged ({error}); choose another -o") from error

    @contextmanager
    def writer(self, path: Path) -> Iterator[Callable[[list[str]], object]]:
        images: list[str] = []
        values: list[np.ndarray] = []
        with self._arrow.parquet.ParquetWriter(path, self._schema) as file:

            def flush() -> None:
                numbers = np.stack(values, 1)
                columns = [images, numbers[0].astype(np.int32), *numbers[1:]]
                file.write_table(self._arrow.table(columns, schema=self._schema), row_group_size=ROW_GROUP)
                images.clear()
                values.clear()

            def write(row: list[str]) -> None:
                images.append(row[0])
                values.append(np.array(row[1:], np.float32))
                if len(images) == ROW_GROUP:
                    flush()

            yield write
            if images:
                flush()


def _check_columns(path: Path, found: list[str], expected: list[str]) -> None:
    if found != expected:
        raise UserError(f"{path}: holds other columns than would be added; choose another -o, or omit --resume")


class _Coco:
    """Pre-labels for CVAT and Label Studio; image names are relative to the folder that contains all images."""

    def __init__(self, path: Path, columns: list[str], schema: PointSchema) -> None:
        self._path, self._schema = path, schema

    def rows(self) -> Iterator[list[str]]:
        raise UserError(f"{self._path}: exists, and a COCO JSON file cannot be extended; choose another -o")

    @contextmanager
    def writer(self, path: Path) -> Iterator[Callable[[list[str]], object]]:
        faces, scores = [], []

        def write(row: list[str]) -> None:
            values = np.array(row[3:], np.float64)
            faces.append(make_face(self._schema, Path(row[0]), values[4:], box=values[:4], where=row[0]))
            scores.append(float(row[2]))

        yield write
        folders = {str(face.image.resolve().parent) for face in faces} or {"."}
        write_coco(Labels(self._schema, faces), path, Path(os.path.commonpath(folders)), scores)


_FORMATS: dict[str, Any] = {".csv": _Csv, ".parquet": _Parquet, ".json": _Coco}

#: `--format` -> suffix of the table.
TABLES = {"csv": ".csv", "parquet": ".parquet", "coco": ".json"}

#: Suffixes of files, not of folders.
_OTHER_FILES = {".xlsx", ".xls", ".ods", ".tsv", ".txt", ".jsonl", ".feather", ".pq", ".h5", ".npy", ".npz",
                ".db", ".sqlite", ".gz", ".zip", ".html", ".pdf", ".mp4", ".gif", *SUFFIXES}  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """The result of `predict`.

    Attributes:
        table: Path of the table of points.
        faces: Number of faces in the table.
        failed: Image -> why it could not be read.
        failures: Path of the list of failed images, which is written if there are any.
    """

    table: Path
    faces: int
    failed: dict[str, str]
    failures: Path


def predict(
    paths: Sequence[Path],
    load: Callable[[], Any],
    output: Path,
    source: str = "",
    resume: bool = False,
    threads: int | None = None,
    progress: bool = False,
    format: str = "csv",
    schema: PointSchema | None = None,
    strict: bool = False,
    signals: bool = False,
    find: Callable[[Sequence[Path]], Iterator[Seen]] | None = None,
) -> Predicted:
    """Find the faces in images, and write their points.

    Args:
        paths: Paths of the images; a damaged one among many is reported and skipped.
        load: Function that loads the landmarker; called once the other arguments have been checked.
        output: `NAME.csv`, `NAME.parquet` or `NAME.json` for the points alone; else a folder for `points.csv` and the
            images with their points drawn.
        source: Name of what finds the points; an unfinished table is not resumed with another source.
        resume: Skip the images that are already in the output.
        threads: Number of decoding threads; None for one per core.
        progress: Show a progress bar, and report skipped images on stderr.
        format: Format of the points in a folder: a key of `TABLES`.
        schema: Schema to convert the points to.
        strict: Also skip images with missing or corrupt parts; otherwise a `DamagedImageWarning` reports them.
        signals: Also write pose and expressions.
        find: Function that finds the faces, in the order of the images; None for `find_on_many` in this process. If it
            returns no images, like `facekp.inference.on_ray.find_on_ray`, `output` is a table.

    Returns:
        The written files and what is in them.

    Raises:
        UserError: Nothing could be read, a file would be overwritten, or the output cannot be written.
    """
    draw = output.suffix.lower() not in _FORMATS
    if draw and output.suffix.lower() in _OTHER_FILES and not output.is_dir():
        raise UserError(f"{output}: a table of points ends in {' or '.join(_FORMATS)}; a folder's name in neither")
    if draw and find is not None:
        raise UserError(f"{output}: images are drawn where they are read, not with --ray; name a table, NAME.csv")
    if draw:
        _check_targets(output, paths)
    target = output / f"points{TABLES[format]}" if draw else output
    with ExitStack() as stack:
        stack.enter_context(locked(target, "wait until it finishes, or choose another -o"))
        landmarker = load()
        table = stack.enter_context(PointsTable(target, schema or landmarker.schema, source, resume, signals))
        sweep(target.parent, {target.name, table.failures.name, *(_target(output, p).name for p in paths if draw)})
        left = [path for path in paths if str(path) not in table]
        done = len(paths) - len(left)
        with tqdm(total=len(paths), initial=done, unit="image", disable=None if progress else True) as bar:
            try:
                for seen in find(left) if find else find_on_many(left, landmarker, threads, strict):
                    if schema is not None and isinstance(seen.found, Faces):
                        seen = replace(seen, found=seen.found.converted(schema))
                    if isinstance(seen.found, UserError):
                        if len(paths) == 1:
                            raise seen.found
                        if progress:
                            bar.write(f"skipped: {one_line(seen.found)}", file=sys.stderr)
                    elif draw and seen.image is not None:
                        image = seen.image
                        for points, _, _ in seen.found:
                            image = viz.draw_points(image, points, schema=seen.found.schema)
                        write_image(_target(output, seen.path), image)
                    table.add(str(seen.path), seen.found)
                    bar.update()
                    done += 1  # a hidden bar does not count
            except KeyboardInterrupt:
                if progress:
                    bar.write(f"{done} of {len(paths)} images are done; continue with --resume", file=sys.stderr)
                raise
        failed, faces = table.finish()
    return Predicted(table.path, faces, failed, table.failures)


def _target(folder: Path, path: Path) -> Path:
    return folder / f"{path.stem}_points.png"


def _check_targets(folder: Path, paths: Sequence[Path]) -> None:
    taken = {os.path.realpath(path) for path in paths}
    for target in (_target(folder, path) for path in paths):
        if os.path.realpath(target) in taken:
            raise UserError(f"{target}: would be written twice, or over an input; choose another -o, or fewer inputs")
        taken.add(os.path.realpath(target))
