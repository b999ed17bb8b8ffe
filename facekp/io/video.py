"""Videos in, videos out: frame after frame, the sound kept. Needs `pip install "facekp[video]"` (PyAV)."""

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
except ImportError:  # `_encoder` says how to install it
    av = None

#: Suffix of the video -> encoder of its images.
ENCODERS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".m4v": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
}

#: Suffixes that are taken for videos among other files.
SUFFIXES = {*ENCODERS, ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp", ".flv"}

#: The clock of a recording.
_TICK = Fraction(1, 90000)

#: How a video says that its YCbCr is made (ITU-T H.273), and what PyAV calls it.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}

#: Videos that do not say it: players take BT.709 from this many pixels of the longer side on, BT.601 below.
_HD = 1280

#: Bilinear scaling of the chroma that rounds. FFmpeg's default truncates, and every colour becomes darker. PyAV 14
#: cannot ask for it.
_ROUNDED = {"interpolation": 2 | 8192 | 262144} if av is not None and int(av.__version__.partition(".")[0]) > 14 else {}

#: Changes one frame: BGR uint8 and its time in seconds in, BGR uint8 of the same size out.
Draw = Callable[[np.ndarray, float], np.ndarray]


@dataclass
class Report:
    """What became of a video.

    Attributes:
        frames: Frames written.
        broken: Frames or packets that could not be decoded and were skipped.
        sound: "kept", "none" (there was none) or why it could not be kept.
        left_out: Sound tracks behind the first, which alone is kept.
        stopped: Whether Ctrl-C ended it; what was done until then is a playable file.
    """

    frames: int = 0
    broken: int = 0
    sound: str = "none"
    left_out: int = 0
    stopped: bool = False


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], draw: Draw) -> Report:
    """Pass every frame of a video through `draw` and write the result, with the sound copied as it is.

    One frame at a time is in memory. Frames keep their times, phones' rotation is honoured, Ctrl-C ends
    the video early and leaves what is done.

    Args:
        source: A video that FFmpeg can read.
        target: Its suffix, one of `ENCODERS`, chooses the format. Appears whole or not at all.
        draw: Changes a frame.

    Returns:
        What was done.

    Raises:
        UserError: PyAV is missing, the source is not a video or holds no whole frame, the suffix is unknown.
    """
    encoder = _encoder(target)
    with _opened(source) as container, locked(target, "wait for its end, or choose another -o"):
        sweep(Path(target).parent, {Path(target).name})  # what was killed left
        report = Report(sound=_fate_of_sound(source, Path(target).suffix, encoder))
        report.left_out = len(container.streams.audio) - 1 if report.sound == "kept" else 0
        with _written(target) as output:
            _convert(container, output, encoder, draw, report)
            if report.stopped and not report.frames:
                raise KeyboardInterrupt  # nothing was done yet: nothing is left behind
            if not report.frames:
                raise UserError(f"{source}: no whole frame in it; the file is damaged or ends too early")
    return report


def write_video(target: str | os.PathLike[str], images: Iterable[np.ndarray], fps: Fraction | int = 25) -> None:
    """Write images as a video without sound.

    Args:
        target: Its suffix, one of `ENCODERS`, chooses the format. Appears whole or not at all.
        images: BGR uint8 (H, W, 3), all of one size.
        fps: Images a second.

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
    """The whole frames of a video, BGR uint8, upright, each with its time in seconds.

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
    """Write frames as a video as they come, each shown at its own time.

    Args:
        target: Its suffix, one of `ENCODERS`, chooses the format. Appears whole, at the end, or not at all.

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
            raise UserError(f"{target}: no frame came; nothing is written")
        output.mux(stream.encode(None))


def _need_av() -> None:
    if av is None:
        raise missing("av", "reading and writing videos")


def _encoder(target: str | os.PathLike[str]) -> str:
    """The encoder for a file of this name."""
    _need_av()
    suffix = Path(target).suffix.lower()
    if suffix not in ENCODERS:
        raise UserError(f"{target}: unknown video format; end the name in one of {', '.join(sorted(ENCODERS))}")
    return ENCODERS[suffix]


@contextmanager
def _opened(source: str | os.PathLike[str]) -> Iterator[Any]:
    """A video to read."""
    try:
        os.close(open_regular(source))  # FFmpeg would wait for who writes into a pipe
        container = av.open(os.fspath(source))
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{source}: not a video that can be read ({error.strerror}); check or replace it") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{source}: holds no images; give a video")
        yield container


@contextmanager
def _written(target: str | os.PathLike[str]) -> Iterator[Any]:
    """A video to write; appears whole or not at all."""
    with atomic_path(target) as temporary:
        try:
            with av.open(os.fspath(temporary), "w") as output:
                yield output
        except av.error.FFmpegError as error:
            raise UserError(
                f"{target}: FFmpeg cannot write it ({error.strerror}); try another format, such as .mkv, or smaller "
                "frames, and check the free space"
            ) from error


def _fate_of_sound(source: str | os.PathLike[str], suffix: str, encoder: str) -> str:
    """`Report.sound`, found by trial: FFmpeg says what a format holds only when it is written."""
    with _opened(source) as container:
        if not container.streams.audio:
            return "none"
        sound = container.streams.audio[0]
        first = next((p for p in islice(_packets(container, None, Report()), 1000)
                      if p.stream is sound and p.dts is not None), None)  # fmt: skip
        trial = io.BytesIO()
        trial.name = f"trial{suffix}"  # which FFmpeg takes the format from
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
    stream = copied = heard = None
    shift = 0  # of the sound, see `_Clock`
    waiting: list[Any] = []  # sound that comes before the first image: all streams must be known by then
    try:
        for packet in _packets(source, [s for s in (video, sound) if s is not None], report):
            if packet.stream is sound:
                if packet.dts is None:
                    continue
                if heard is not None and packet.dts + shift < heard - _AGAIN / sound.time_base:
                    shift = heard + (packet.duration or 1) - packet.dts
                if heard is None or packet.dts + shift > heard:
                    heard = packet.dts = packet.dts + shift
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
                        _keep_look(video, frame, stream)
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
    """The packets, of all streams if None, up to the end, or to where the file breaks off."""
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
    """The whole frames of a packet."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        report.broken += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    report.broken += len(frames) - len(whole)
    return whole


def _upright(frame: Any) -> np.ndarray:
    """BGR pixels, turned and mirrored as the file says that they are to be shown."""
    matrix = _MATRICES.get(frame.colorspace, "ITU709" if max(frame.width, frame.height) >= _HD else "ITU601")
    if matrix not in av.video.reformatter.Colorspace.__members__:
        matrix = "ITU709"  # older PyAV does not know BT.2020
    source = {"src_colorspace": matrix, "src_color_range": "JPEG" if frame.color_range == 2 else "MPEG"}
    # BGR has no matrix, but older PyAV looks at the source's only if the target's is another.
    pixels = frame.reformat(format="bgr24", dst_colorspace="ITU601", **source, **_ROUNDED).to_ndarray()
    (a, b), (c, d) = _shown(frame)
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _shown(frame: Any) -> np.ndarray:
    """How an image is to be shown: (2, 2), the directions of its rows and of its columns as x, y."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data)[:24], "i4").reshape(2, 3)[:, :2]  # in FFmpeg's memory, native
    return np.eye(2)


def _add_video(output: Any, encoder: str, image: np.ndarray, rate: Fraction, time_base: Fraction) -> Any:
    height, width = image.shape[:2]
    stream = output.add_stream(encoder, rate=rate)
    stream.width, stream.height = width, height
    # Every player knows 4:2:0, but it has no odd sizes.
    stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    stream.codec_context.time_base = time_base
    stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1  # as `_encode` makes it
    if encoder == "libx264":
        stream.options = {"crf": "18", "preset": "veryfast"}
    return stream


def _encode(stream: Any, image: np.ndarray, pts: int) -> list[Any]:
    """The packets of the next image, BGR, which is written as BT.709."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")
    frame = frame.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG", **_ROUNDED)
    frame.pts, frame.time_base = pts, stream.codec_context.time_base
    return stream.encode(frame)


def _add_sound(output: Any, sound: Any) -> Any:
    """A stream for the packets of another."""
    copied = output.add_stream_from_template(sound)
    layout = sound.codec_context.layout
    if any(
        channel.name == "NONE" for channel in layout.channels
    ):  # AVI says how many there are; MP4 wants to know which
        copied.codec_context.layout = f"{layout.nb_channels}c"
    return copied


def _keep_look(video: Any, frame: Any, stream: Any) -> None:
    """Give the new stream what the old one says of its pixels: their shape, and what their colours mean."""
    shape = video.sample_aspect_ratio or Fraction(1)  # old cameras' are not square
    (a, b), _ = _shown(frame)
    if abs(b) > abs(a):
        shape = 1 / shape
    stream.codec_context.sample_aspect_ratio = shape
    stream.codec_context.color_primaries = video.codec_context.color_primaries
    stream.codec_context.color_trc = video.codec_context.color_trc


#: Where the times go back by more seconds than this, another recording begins, as in files joined byte by byte.
_AGAIN = 1


class _Clock:
    """When the frames of a stream are shown, in its ticks.

    They come in the order in which they are shown, but not all of their times do: AVI knows only when a frame is
    decoded. Where a time goes back and the decoding does not, the frame follows the one before it; so does the first
    frame of another recording in the same file, and the others follow that.
    """

    def __init__(self, video: Any) -> None:
        rate = video.average_rate or Fraction(30)
        self._step = max(round(1 / (rate * video.time_base)), 1)
        self._again = _AGAIN / video.time_base
        self._shift = 0
        self._last: int | None = None
        self._decoded: int | None = None

    def time(self, frame: Any) -> int | None:
        """Of the next frame; None if it is to be skipped, because its time is that of an earlier one."""
        pts, dts = frame.pts, frame.dts
        if None not in (pts, dts, self._decoded) and dts < self._decoded - self._again:
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
