"""Event files as TensorBoard reads them, written with TensorBoard's own protocol buffers and without PyTorch.

Records are written when they are made: no thread of its own, so a full disk is an error at the place of
writing.
"""

import os
import re
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, TaggedRunMetadata
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

from dlrun.sinks.crc32c import masked

NAME = re.compile(r"events\.out\.tfevents\.\d+\.\d{6}\.\d+")
"""Of the files that are written here; others may lie beside them."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values in buckets; `limits` are the upper ends, so the first bucket is an empty one."""

    limits: Sequence[float]
    counts: Sequence[float]
    low: float
    high: float
    total: float
    squares: float


class EventFile:
    """Appends to a new event file in `folder`, which takes the place of earlier ones.

    Args:
        kept: What of earlier files stays; it is copied, so that nothing shows twice.

    Raises:
        OSError: The file can't be made or written (from any method).
    """

    def __init__(self, folder: Path, kept: Iterable[Event] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = own_files(folder)
        # TensorBoard takes a file for one of events by its name, and reads those of a folder in the order of their
        # names, so the time stands in front.
        path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        draft = folder / "copying"
        with draft.open("wb") as file:
            # A TensorBoard that has read the earlier files forgets them when it comes to the second of these.
            begun = SessionLog(status=SessionLog.START)
            for event in (_now(file_version="brain.Event:2"), _now(session_log=begun), *kept):
                file.write(_record(event))
            if earlier:
                file.flush()
                os.fsync(file.fileno())
        draft.rename(path)
        for one in earlier:
            one.unlink()
        self.file = path.open("ab")

    def scalar(self, tag: str, value: float, step: int) -> None:
        """One point of a curve."""
        self._summary(Summary.Value(tag=tag, simple_value=value), step)

    def image(self, tag: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """A picture; `size` is (width, height)."""
        width, height = size
        picture = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
        self._summary(Summary.Value(tag=tag, image=picture), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """A page of Markdown."""
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=shape)
        about = _about("text", TextPluginData(version=0).SerializeToString())
        self._summary(Summary.Value(tag=f"{tag}/text_summary", metadata=about, tensor=tensor), step)

    def histogram(self, tag: str, counted: Histogram, step: int) -> None:
        """One layer of a histogram over time, and one column of a distribution."""
        histogram = HistogramProto(
            min=counted.low,
            max=counted.high,
            num=sum(counted.counts),
            sum=counted.total,
            sum_squares=counted.squares,
            bucket_limit=counted.limits,
            bucket=counted.counts,
        )
        self._summary(Summary.Value(tag=tag, histo=histogram), step)

    def graph(self, graph: GraphDef) -> None:
        """The network as a graph."""
        self._write(_now(graph_def=graph.SerializeToString()))
        self._write(_now(tagged_run_metadata=TaggedRunMetadata(tag="step1")))

    def hyperparameters(self, values: Mapping[str, str | float | bool]) -> None:
        """The run's row of the HParams table.

        TensorBoard makes the columns of what it finds in all runs, those that differ in front; an experiment with
        columns of its own would be that of all.
        """
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for key, value in values.items():
            setattr(start.hparams[key], _field_of(value), value)
        self._hparams(metadata.SESSION_START_INFO_TAG, session_start_info=start)

    def end_hyperparameters(self) -> None:
        """Say that the run has succeeded."""
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        self._hparams(metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def flush(self) -> None:
        """Let readers see everything."""
        self.file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self.file.close()

    def _hparams(self, tag: str, **content: Any) -> None:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        about = _about(metadata.PLUGIN_NAME, data.SerializeToString())
        self._summary(Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR), 0)

    def _summary(self, value: Summary.Value, step: int) -> None:
        self._write(_now(step=step, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self.file.write(_record(event))


def own_files(folder: Path) -> list[Path]:
    """The event files in a folder that were written here, the oldest first."""
    return sorted(path for path in folder.glob("events.out.tfevents.*") if NAME.fullmatch(path.name))


def read_events(folder: Path) -> list[Event]:
    """What the event files in `folder` show, less what one of them began again."""
    found: list[Event] = []
    for path in own_files(folder):
        for event in _events(path.read_bytes()):
            if event.session_log.status == SessionLog.START:
                found = [earlier for earlier in found if earlier.step < event.step]
            elif event.WhichOneof("what") != "file_version":
                found.append(event)
    return found


def _record(event: Event) -> bytes:
    """Length, its checksum, the event and its checksum."""
    data = event.SerializeToString()
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(head)) + data + struct.pack("<I", masked(data))


def _events(content: bytes) -> Iterator[Event]:
    """The events of a file up to where a crash cut it off."""
    place = 0
    while place + 12 <= len(content):
        head = content[place : place + 8]
        (size,) = struct.unpack("<Q", head)
        data = content[place + 12 : place + 12 + size]
        checks = content[place + 8 : place + 12] + content[place + 12 + size : place + 16 + size]
        if checks != struct.pack("<II", masked(head), masked(data)):
            return
        yield Event.FromString(data)
        place += 12 + size + 4


def _now(**content: Any) -> Event:
    return Event(wall_time=time.time(), **content)


def _about(plugin: str, content: bytes) -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _field_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool_value"
    return "number_value" if isinstance(value, int | float) else "string_value"
