"""Event files as TensorBoard reads them, written with TensorBoard's own protocol buffers and without PyTorch.

Records are written when they are made: no thread of its own, so a full disk is an error at the place of
writing.
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
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
from tensorboard.summary.writer.record_writer import RecordWriter

Metric = tuple[str, str]
"""Where a column of the HParams table comes from: the sub-folder (empty: the same one) and the tag."""


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
    """Appends to a new event file in `folder`.

    Args:
        purge_from: Hide what earlier files of the folder hold from this step on: work that is done again.

    Raises:
        OSError: The file can't be made or written (from any method).
    """

    def __init__(self, folder: Path, purge_from: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files in the order of their names, so the time stands in front.
        path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self.records = RecordWriter(path.open("xb"))
        try:
            self._write(Event(file_version="brain.Event:2"))
            if purge_from is not None:
                self._write(Event(step=purge_from, session_log=SessionLog(status=SessionLog.START)))
        except OSError:
            self.records.close()
            raise

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
        self._write(Event(graph_def=graph.SerializeToString()))
        self._write(Event(tagged_run_metadata=TaggedRunMetadata(tag="step1")))

    def hyperparameters(
        self, name: str, values: Mapping[str, Any], metrics: Sequence[Metric], first: Collection[str] = ()
    ) -> None:
        """The run's row of the HParams table.

        Every run of a sweep must give the same names with values of the same types: TensorBoard takes the
        columns from one run and drops what the others have besides.

        Args:
            first: The columns that stand in front; only five are shown at first.
        """
        # TensorBoard sorts those that differ between runs to the front, and believes what it is told of that.
        infos = [
            api_pb2.HParamInfo(name=key, type=_type_of(value), differs=key in first) for key, value in values.items()
        ]
        columns = [
            api_pb2.MetricInfo(name=api_pb2.MetricName(group=group, tag=tag), display_name=f"{group} {tag}")
            for group, tag in metrics
        ]
        experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=columns)
        start = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=time.time())
        for key, value in values.items():
            setattr(start.hparams[key], _field_of(value), value)
        self._hparams(metadata.EXPERIMENT_TAG, experiment=experiment)
        self._hparams(metadata.SESSION_START_INFO_TAG, session_start_info=start)

    def end_hyperparameters(self) -> None:
        """Say that the run has succeeded."""
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        self._hparams(metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def flush(self) -> None:
        """Let readers see everything."""
        self.records.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self.records.close()

    def _hparams(self, tag: str, **content: Any) -> None:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        about = _about(metadata.PLUGIN_NAME, data.SerializeToString())
        self._summary(Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR), 0)

    def _summary(self, value: Summary.Value, step: int) -> None:
        self._write(Event(step=step, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())


def _about(plugin: str, content: bytes) -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _field_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool_value"
    return "number_value" if isinstance(value, int | float) else "string_value"


def _type_of(value: Any) -> int:
    types = {"bool_value": api_pb2.DATA_TYPE_BOOL, "number_value": api_pb2.DATA_TYPE_FLOAT64}
    return int(types.get(_field_of(value), api_pb2.DATA_TYPE_STRING))
