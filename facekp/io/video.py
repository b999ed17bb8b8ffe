"""Reading and writing of videos frame by frame, with their sound. Needs `pip install "facekp[video]"` (PyAV)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Callable

import numpy as np

from facekp.errors import UserError
from facekp.extras import missing
from facekp.io.files import atomic_path, locked, open_regular, sweep

try:
    import av
except ImportError:  # `_need_av` says how to install it
    av = None

#: Suffix of the video -> encoder of its frames.
ENCODERS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".m4v": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
}

#: Suffixes of files that are treated as videos.
SUFFIXES = {*ENCODERS, ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp", ".flv"}

#: Time base of a recording in seconds.
_TICK = Fraction(1, 90000)

#: Matrix coefficients of a video's YCbCr (ITU-T H.273) -> PyAV's name for them.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}

#: Videos that do not declare it: players use BT.709 from this longer side in pixels on, BT.601 below.
_HD = 1280

#: Bilinear chroma scaling with rounding. FFmpeg's default truncates, which makes every colour darker. PyAV 14 cannot
#: request it.
_ROUNDED = {"interpolation": 2 | 8192 | 262144} if av is not None and int(av.__version__.partition(".")[0]) > 14 else {}

#: Function that edits one frame: BGR uint8 and its time in seconds in, BGR uint8 of the same size out.
Draw = Callable[[np.ndarray, float], np.ndarray]


@dataclass
class Report:
    """Result of the conversion of a video.

    Attributes:
        frames: Number of frames written.
        broken: Number of frames or packets that could not be decoded and were skipped.
        sound: "kept", "none" (there was none) or why it could not be kept.
        left_out: Number of further sound tracks; only the first is kept.
        stopped: Whether Ctrl-C stopped it; the frames written until then are a playable file.
    """

    frames: int = 0
    broken: int = 0
    sound: str = "none"
    left_out: int = 0
    stopped: bool = False


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], draw: Draw) -> Report:
    """Apply `draw` to every frame of a video and write the result, with the sound copied unchanged.

    Only one frame is in memory at a time. Frames keep their times, the rotation set by phones is applied,
    Ctrl-C ends the video early and keeps the frames written so far.

    Args:
        source: A video that FFmpeg can read.
        target: Output file, written atomically. Its suffix, one of `ENCODERS`, selects the format.
        draw: Function that edits a frame.

    Returns:
        A report of the conversion.

    Raises:
        UserError: PyAV is missing, the source is not a video or has no complete frame, the suffix is unknown.
    """
    encoder = _encoder(target)
    with _opened(source) as container, locked(target, "wait until it finishes, or choose another -o"):
        sweep(Path(target).parent, {Path(target).name})  # temporary files of killed processes
        report = Report(sound=_check_sound(source, Path(target).suffix, encoder))
        report.left_out = len(container.streams.audio) - 1 if report.sound == "kept" else 0
        with _written(target) as output:
            _convert(container, output, encoder, draw, report)
            if report.stopped and not report.frames:
                raise KeyboardInterrupt  # no frame was written yet: no file is left behind
            if not report.frames:
                raise UserError(f"{source}: contains no complete frame; the file is damaged or truncated")
    return report


def write_video(target: str | os.PathLike[str], images: Iterable[np.ndarray], fps: Fraction | int = 25) -> None:
    """Write images as a video without sound.

    Args:
        target: Output file, written atomically. Its suffix, one of `ENCODERS`, selects the format.
        images: BGR uint8 (H, W, 3), all of one size.
        fps: Frame rate in frames per second.

    Raises:
        UserError: PyAV is missing, the suffix is unknown.
    """
    encoder = _encoder(target)
    with _written(target) as output:
        stream = None
        for index, image in enumerate(images):
            if stream is None:
                stream = _add_video(output, encoder, image, Fraction(fps), 1 / Fraction(fps))
            output.mux(_encode(stream, image, index))
        if stream is not None:
            output.mux(stream.encode(None))


def read_video(source: str | os.PathLike[str]) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the complete frames of a video, BGR uint8, upright, each with its time in seconds.

    Raises:
        UserError: PyAV is missing, or the source is not a video.
    """
    _need_av()
    with _opened(source) as container:
        video, report = container.streams.video[0], Report()
        clock = _Clock(video)
        for packet in _packets(container, [video], report):
            for frame in _decode(packet, report):
                if (pts := clock.time(frame)) is not None:
                    yield _upright(frame), float(pts * video.time_base)


@contextmanager
def recording(target: str | os.PathLike[str]) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Write frames to a video as they arrive, each shown at its own time.

    Args:
        target: Output file, written atomically at the end. Its suffix, one of `ENCODERS`, selects the format.

    Yields:
        A function that takes the next frame, BGR uint8, all of one size, and its time in seconds.

    Raises:
        UserError: PyAV is missing, the suffix is unknown.
    """
    encoder = _encoder(target)
    with _written(target) as output:
        stream, last = None, -1

        def add(image: np.ndarray, seconds: float) -> None:
            nonlocal stream, last
            if stream is None:
                stream = _add_video(output, encoder, image, Fraction(30), _TICK)
            last = max(round(seconds / _TICK), last + 1)
            output.mux(_encode(stream, image, last))

        yield add
        if stream is None:
            raise UserError(f"{target}: no frames were received; nothing was written")
        output.mux(stream.encode(None))


def _need_av() -> None:
    if av is None:
        raise missing("av", "reading and writing videos")


def _encoder(target: str | os.PathLike[str]) -> str:
    """Return the encoder for a file of this name."""
    _need_av()
    suffix = Path(target).suffix.lower()
    if suffix not in ENCODERS:
        raise UserError(f"{target}: unknown video format; end the name in one of {', '.join(sorted(ENCODERS))}")
    return ENCODERS[suffix]


@contextmanager
def _opened(source: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a video for reading."""
    try:
        os.close(open_regular(source))  # FFmpeg would wait for the writer of a pipe
        container = av.open(os.fspath(source))
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{source}: not a video that can be read ({error.strerror}); check or replace it") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{source}: contains no video stream; give a video")
        yield container


@contextmanager
def _written(target: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a video for writing; the file is written atomically."""
    with atomic_path(target) as temporary:
        try:
            with av.open(os.fspath(temporary), "w") as output:
                yield output
        except av.error.FFmpegError as error:
            raise UserError(
                f"{target}: FFmpeg cannot write it ({error.strerror}); try another format, such as .mkv, or smaller "
                "frames, and check the free space"
            ) from error


def _check_sound(source: str | os.PathLike[str], suffix: str, encoder: str) -> str:
    """Determine `Report.sound` by trial: FFmpeg reports what a format can hold only on writing."""
    with _opened(source) as container:
        if not container.streams.audio:
            return "none"
        sound = container.streams.audio[0]
        first = next((p for p in islice(_packets(container, None, Report()), 1000)
                      if p.stream is sound and p.dts is not None), None)  # fmt: skip
        trial = io.BytesIO()
        trial.name = f"trial{suffix}"  # FFmpeg derives the format from it
        try:
            with av.open(trial, "w") as output:
                image = np.zeros((64, 64, 3), np.uint8)
                stream = _add_video(output, encoder, image, Fraction(25), Fraction(1, 25))
                copied = _add_sound(output, sound)
                output.mux([*_encode(stream, image, 0), *stream.encode(None)])
                if first is not None:
                    first.stream = copied
                    output.mux(first)
        except (ValueError, av.error.FFmpegError):
            return f"dropped, {suffix[1:]} cannot hold {sound.codec_context.name}"
    return "kept"


def _convert(source: Any, output: Any, encoder: str, draw: Draw, report: Report) -> None:
    video = source.streams.video[0]
    video.thread_type = "AUTO"
    sound = source.streams.audio[0] if report.sound == "kept" else None
    clock = _Clock(video)
    stream = copied = sound_dts = None
    shift = 0  # of the sound's times, see `_Clock`
    waiting: list[Any] = []  # sound before the first frame: all streams must be added before packets are written
    try:
        for packet in _packets(source, [s for s in (video, sound) if s is not None], report):
            if packet.stream is sound:
                if packet.dts is None:
                    continue
                if sound_dts is not None and packet.dts + shift < sound_dts - _RESTART / sound.time_base:
                    shift = sound_dts + (packet.duration or 1) - packet.dts
                if sound_dts is None or packet.dts + shift > sound_dts:
                    sound_dts = packet.dts = packet.dts + shift
                    packet.pts = None if packet.pts is None else packet.pts + shift
                    waiting.append(packet)
            else:
                for frame in _decode(packet, report):
                    if (pts := clock.time(frame)) is None:
                        report.broken += 1
                        continue
                    image = draw(_upright(frame), float(pts * video.time_base))
                    if stream is None:
                        rate = video.average_rate or Fraction(30)
                        stream = _add_video(output, encoder, image, rate, video.time_base)
                        _copy_pixel_properties(video, frame, stream)
                        copied = _add_sound(output, sound) if sound is not None else None
                    output.mux(_encode(stream, image, pts))
                    report.frames += 1
            if stream is not None:
                for held in waiting:
                    held.stream = copied
                    output.mux(held)
                waiting.clear()
    except KeyboardInterrupt:
        report.stopped = True
    if stream is not None:
        output.mux(stream.encode(None))


def _packets(source: Any, streams: list[Any] | None, report: Report) -> Iterator[Any]:
    """Yield the packets of the streams, of all if None, up to the end of the file or its first error."""
    packets = source.demux(streams)
    while True:
        try:
            yield next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            report.broken += 1
            return


def _decode(packet: Any, report: Report) -> list[Any]:
    """Return the complete frames of a packet."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        report.broken += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    report.broken += len(frames) - len(whole)
    return whole


def _upright(frame: Any) -> np.ndarray:
    """Return BGR pixels, rotated and mirrored by the display matrix of the file."""
    matrix = _MATRICES.get(frame.colorspace, "ITU709" if max(frame.width, frame.height) >= _HD else "ITU601")
    if matrix not in av.video.reformatter.Colorspace.__members__:
        matrix = "ITU709"  # older PyAV does not support BT.2020
    source = {"src_colorspace": matrix, "src_color_range": "JPEG" if frame.color_range == 2 else "MPEG"}
    # BGR has no matrix, but older PyAV uses the source's only if the target's is different.
    pixels = frame.reformat(format="bgr24", dst_colorspace="ITU601", **source, **_ROUNDED).to_ndarray()
    (a, b), (c, d) = _display_matrix(frame)
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: Any) -> np.ndarray:
    """Return the display matrix of a frame, (2, 2): the directions of its rows and of its columns as x, y."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data)[:24], "i4").reshape(2, 3)[:, :2]  # in FFmpeg's memory, native byte order
    return np.eye(2)


def _add_video(output: Any, encoder: str, image: np.ndarray, rate: Fraction, time_base: Fraction) -> Any:
    height, width = image.shape[:2]
    stream = output.add_stream(encoder, rate=rate)
    stream.width, stream.height = width, height
    # Every player supports 4:2:0, but it does not allow odd sizes.
    stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    stream.codec_context.time_base = time_base
    stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1  # as `_encode` converts it
    if encoder == "libx264":
        stream.options = {"crf": "18", "preset": "veryfast"}
    return stream


def _encode(stream: Any, image: np.ndarray, pts: int) -> list[Any]:
    """Encode the next image, BGR, as BT.709 and return its packets."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")
    frame = frame.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG", **_ROUNDED)
    frame.pts, frame.time_base = pts, stream.codec_context.time_base
    return stream.encode(frame)


def _add_sound(output: Any, sound: Any) -> Any:
    """Add an output stream for the packets of a sound stream."""
    copied = output.add_stream_from_template(sound)
    layout = sound.codec_context.layout
    if any(
        channel.name == "NONE" for channel in layout.channels
    ):  # AVI stores how many there are; MP4 needs to know which
        copied.codec_context.layout = f"{layout.nb_channels}c"
    return copied


def _copy_pixel_properties(video: Any, frame: Any, stream: Any) -> None:
    """Copy the pixel aspect ratio and the colour properties of the source to the new stream."""
    shape = video.sample_aspect_ratio or Fraction(1)  # pixels of old cameras are not square
    (a, b), _ = _display_matrix(frame)
    if abs(b) > abs(a):
        shape = 1 / shape
    stream.codec_context.sample_aspect_ratio = shape
    stream.codec_context.color_primaries = video.codec_context.color_primaries
    stream.codec_context.color_trc = video.codec_context.color_trc


#: Where the times go back by more seconds than this, another recording starts, as in concatenated files.
_RESTART = 1


class _Clock:
    """Presentation times of the frames of a stream, in units of its time base.

    Frames arrive in presentation order, but not all of their times are in order: AVI stores only decoding times. If a
    presentation time goes back and the decoding time does not, the frame follows the previous one; so does the first
    frame of another recording in the same file, and the rest of that recording follows it.
    """

    def __init__(self, video: Any) -> None:
        rate = video.average_rate or Fraction(30)
        self._step = max(round(1 / (rate * video.time_base)), 1)
        self._restart = _RESTART / video.time_base
        self._shift = 0
        self._last: int | None = None
        self._decoded: int | None = None

    def time(self, frame: Any) -> int | None:
        """Return the time of the next frame; None if it must be skipped, because its time is that of an earlier one."""
        pts, dts = frame.pts, frame.dts
        if None not in (pts, dts, self._decoded) and dts < self._decoded - self._restart:
            self._shift, self._decoded = (self._last or 0) + self._step - pts, None
        if pts is not None:
            pts += self._shift
        back = dts is not None and self._decoded is not None and dts <= self._decoded
        if dts is not None and not back:
            self._decoded = dts
        if self._last is None:
            self._last = pts or 0
        elif pts is not None and pts > self._last:
            self._last = pts
        elif back:
            return None
        else:
            self._last += self._step
        return self._last
