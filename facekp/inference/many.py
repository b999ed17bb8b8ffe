"""Many images: decoded ahead in threads, faces of several in a batch, a table that survives being stopped."""

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

#: Images that are looked at together: so many, or fewer that hold so many pixels.
GROUP, GROUP_PIXELS = 16, 16_000_000

#: Rows of a Parquet file's row groups.
ROW_GROUP = 5000

#: Columns of the list of images that could not be read.
_FAILURES = ["image", "error"]

Found = Union[Faces, UserError]


@dataclass(frozen=True)
class Seen:
    """An image and what was found on it.

    Attributes:
        path: The file.
        image: BGR; None if it could not be read.
        found: Its faces, or why there are none.
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
    """Find the faces of images, in their order, holding only a few of them in memory.

    Args:
        paths: The files. A damaged one is reported as such and does not stop the others.
        landmarker: See `facekp.load_landmarker`. If it has a method `many`, it gets several images at once.
        threads: Decode so many images at once; None for one on each core.
        strict: Images with missing or corrupt parts, which decoders fill in, count as damaged.

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
            yield from _look(group, landmarker)
            group = []
    yield from _look(group, landmarker)


def _decoded(paths: Iterable[Path], threads: int, strict: bool) -> Iterator[tuple[Path, np.ndarray | UserError]]:
    ahead: deque[tuple[Path, Future[np.ndarray]]] = deque()
    waiting = iter(paths)
    pool = ThreadPoolExecutor(threads)  # OpenCV decodes without holding Python's lock
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


def _look(
    group: Sequence[tuple[Path, np.ndarray | UserError]], landmarker: Callable[[np.ndarray], Faces]
) -> Iterator[Seen]:
    images = [image for _, image in group if isinstance(image, np.ndarray)]
    found: Iterable[Found]
    many = getattr(landmarker, "many", None)
    found = iter(many(images)) if many is not None else (_one(image, landmarker) for image in images)
    for path, image in group:
        if isinstance(image, UserError):
            yield Seen(path, None, image)
        else:
            yield Seen(path, image, next(found))


def _one(image: np.ndarray, landmarker: Callable[[np.ndarray], Faces]) -> Found:
    try:
        return landmarker(image)
    except UserError as error:
        return error


class PointsTable:
    """A CSV, Parquet or COCO file with the faces of many images, written image by image.

    Rows go to `NAME.unfinished` as they come, a CSV whatever NAME is: the others cannot be read before their end is
    written. `finish` makes NAME of it, all at once. Who is killed loses the image in work; the next table that is
    made with `resume` cuts off what was half written and knows what is done.

    Args:
        path: Ends in `.csv`, `.parquet`, which needs pyarrow, or `.json`: COCO's keypoints.
        schema: What the points of a face are.
        source: Who finds the points; an unfinished table is not resumed with another.
        resume: Go on with an unfinished table, or add to a finished one.
        signals: Behind the points, also how the head is turned, in degrees, and what the face does, 0 to 1.

    Raises:
        UserError: There is an unfinished table and `resume` was not asked for, or it is another's; or the file's name
            has another suffix; or pyarrow is missing.

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
            raise UserError(f"{path}: COCO has no place for signals; omit them, or take another format")
        self._format: _Csv | _Parquet | _Coco = _FORMATS[path.suffix.lower()](path, self._columns, schema)
        check_own(self.failures, ",".join(_FAILURES), "a list of failed images")
        self._done: set[str] = set()
        # What the unfinished table begins with: whose points they are, and whether a finished one counts as well.
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
            with suppress(OSError):  # `add` has told of a full disk
                self._file.close()

    def __contains__(self, image: str) -> bool:
        """Whether an image is done: its faces are in the table, or there was none on it."""
        return spelled_out(image) in self._done

    def add(self, image: str, found: Found) -> None:
        """Note an image: its faces, or why it could not be read."""
        image = spelled_out(image)
        if isinstance(found, UserError):
            rows = [[image, *[""] * (len(self._columns) - 1), "0", spelled_out(" ".join(str(found).split()))]]
        elif not len(found):
            rows = [[image, *[""] * (len(self._columns) - 1), "0", ""]]
        else:
            rows = []
            for number, (points, box, score) in enumerate(found):
                seen = [_seen(found, name, number) for name in self._signals]
                values = [f"{value:.2f}" for value in (*box, *points.reshape(-1), *seen)]
                rows.append([image, str(number), f"{score:.3f}", *values, str(len(found)), ""])
        try:
            if self._file is None:
                self.unfinished.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.unfinished.open("wb")
                rows = [[*self._head, str(int(self._adds))], [*self._columns, "faces", "error"], *rows]
            self._file.write(_lines(rows))
            self._file.flush()  # who kills the process takes no more than the image in work
        except OSError as error:
            raise UserError(
                f"{self.unfinished}: cannot be written ({error.strerror}); fix that and add --resume"
            ) from error

    def finish(self) -> tuple[dict[str, str], int]:
        """Write the file, and beside it `NAME_failed.csv` if an image could not be read.

        Returns:
            Why each image failed that did, and how many faces are in the file.

        Raises:
            UserError: No image could be read. Nothing is written then.
        """
        self.__exit__()
        failed: dict[str, str] = {}
        looked_at = len(self._earlier)
        if self.unfinished.is_file():
            for rows in self._unfinished_images():
                failed.pop(rows[0][0], None)
                if rows[0][-1]:
                    failed[rows[0][0]] = rows[0][-1]
                else:
                    looked_at += 1
            if 0 < self._end < self.unfinished.stat().st_size:
                raise UserError(f"{self.unfinished}: damaged behind byte {self._end}; add --resume to redo the rest")
        if failed and not looked_at:
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
        """Of the earlier table, then of this one, each image once."""
        if self._adds:
            yield from self._format.rows()
        if self.unfinished.is_file():
            for rows in self._unfinished_images():
                if rows[0][1] and rows[0][0] not in self._earlier:
                    yield from (row[: len(self._columns)] for row in rows)

    def _reopen(self) -> None:
        """Learn what is done, and cut off what is not whole."""
        for rows in self._unfinished_images():
            if not rows[0][-1]:  # what failed is tried again
                self._done.add(rows[0][0])
        if self._end:
            self._file = self.unfinished.open("r+b")
            self._file.truncate(self._end)
            self._file.seek(self._end)

    def _unfinished_images(self) -> Iterator[list[list[str]]]:
        """The rows of each whole image; `_end` is where the last one ends."""
        self._end = 0
        # Behind a power cut anything may stand at the end of a file.
        with self.unfinished.open("rb") as file, suppress(csv.Error, ValueError):
            lines = _CountedLines(file)
            records = csv.reader(lines)
            head, columns = next(records, []), next(records, [])
            if not columns or not lines.whole:
                return  # killed before the first image
            if len(head) != 3 or head[:2] != self._head:
                raise UserError(
                    f"{self.unfinished}: was begun with {head[1] if len(head) > 1 else '?'}, not with {self._head[1]}; "
                    "give the same, or delete it"
                )
            if columns != [*self._columns, "faces", "error"]:
                raise UserError(
                    f"{self.unfinished}: was begun with other columns; give the same --schema and --signals, or "
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
    """Lines of a file as text, and how many bytes they took."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.end, self.whole = file, 0, False

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.end += len(line)
            self.whole = line.endswith(b"\n")
            yield line.decode("utf-8")


def _seen(faces: Faces, name: str, number: int) -> float:
    """A signal, or an angle of the pose, of one face."""
    values = faces.signals[name] if name in SIGNALS else getattr(faces.pose, name)
    return float(values[number])


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def spelled_out(name: str) -> str:
    """A file's name, with bytes that are not UTF-8, and the line break that `csv` does not quote, spelled out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\r", "\\r")


class _Csv:
    def __init__(self, path: Path, columns: list[str], schema: PointSchema) -> None:
        self._path, self._columns = path, columns

    def rows(self) -> Iterator[list[str]]:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                records = csv.reader(file)
                _same_columns(self._path, next(records, []), self._columns)
                for record in filter(None, records):  # a blank line is none
                    if len(record) != len(self._columns):
                        raise csv.Error(f"line {records.line_num} has {len(record)} values")
                    yield record
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{self._path}: no CSV, or damaged ({error}); choose another -o") from error

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
                _same_columns(self._path, file.schema_arrow.names, self._columns)
                if not file.schema_arrow.equals(self._schema):
                    raise self._arrow.ArrowInvalid("its columns are of other types")
                for batch in file.iter_batches(ROW_GROUP):
                    for image, number, score, *values in zip(*(column.to_pylist() for column in batch.columns)):
                        if image is None or number is None or score is None or None in values:
                            raise self._arrow.ArrowInvalid("a value is missing")
                        yield [image, str(number), f"{score:.3f}", *(f"{value:.2f}" for value in values)]
        except (self._arrow.ArrowException, OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise UserError(f"{self._path}: no Parquet file, or damaged ({error}); choose another -o") from error

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


def _same_columns(path: Path, found: list[str], wanted: list[str]) -> None:
    if found != wanted:
        raise UserError(f"{path}: holds other columns than would be added; choose another -o, or omit --resume")


class _Coco:
    """Pre-labels for CVAT and Label Studio; names of images start from the folder that holds all of them."""

    def __init__(self, path: Path, columns: list[str], schema: PointSchema) -> None:
        self._path, self._schema = path, schema

    def rows(self) -> Iterator[list[str]]:
        raise UserError(f"{self._path}: exists, and COCO's JSON is not added to; choose another -o")

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

#: `--format` -> the end of the table's name.
TABLES = {"csv": ".csv", "parquet": ".parquet", "coco": ".json"}

#: What nobody calls a folder.
_OTHER_FILES = {".xlsx", ".xls", ".ods", ".tsv", ".txt", ".jsonl", ".feather", ".pq", ".h5", ".npy", ".npz",
                ".db", ".sqlite", ".gz", ".zip", ".html", ".pdf", ".mp4", ".gif", *SUFFIXES}  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """What `predict` came to.

    Attributes:
        table: The file of points.
        faces: Faces in it.
        failed: Image -> why it could not be read.
        failures: The file that lists them, if there are any.
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
    """Find the faces of images, and write their points.

    Args:
        paths: The files; a damaged one among many is reported and skipped.
        load: Loads the landmarker; called once nothing is wrong with the other arguments.
        output: `NAME.csv`, `NAME.parquet` or `NAME.json` for the points alone; else a folder for `points.csv` and the
            images with their points drawn.
        source: Who finds the points; an unfinished table is not resumed with another.
        resume: Skip the images that are in the output already.
        threads: Decode so many images at once; None for one on each core.
        progress: Show a progress bar, and report on stderr what is skipped.
        format: Of the points in a folder: a key of `TABLES`.
        schema: Convert the points to it.
        strict: Skip images with missing or corrupt parts, too; without it a `DamagedImageWarning` reports them.
        signals: Write pose and expressions too.
        find: What finds the faces, in the images' order; `find_on_many` in this process if None. Without the images,
            as from `facekp.inference.on_ray.find_on_ray`, `output` is a table.

    Returns:
        What was done.

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
        stack.enter_context(locked(target, "wait for its end, or choose another -o"))
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
                    done += 1  # a bar that is not shown does not count
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
