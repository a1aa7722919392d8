"""What a server counts and measures, as Prometheus reads it.

Of the engine its own counts are read when they are asked for: a scrape calls
no device.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

import prometheus_client
from prometheus_client import core
from prometheus_client import registry as registries

from crab_jax.serving import interface

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
# Seconds, from a token on a TPU to an answer on a laptop.
_BUCKETS = (
  0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120,
)  # fmt: skip


class Metrics(interface.Observer):
  """The metrics of one server.

  Args:
    stats: of the engine.
    depths: stage -> requests in it.
    vllm_names: whether some also stand under the names that dashboards for
      vLLM read.
  """

  def __init__(
    self,
    stats: Callable[[], interface.Stats],
    depths: Callable[[], dict[str, int]],
    vllm_names: bool = False,
  ):
    own = self.registry = prometheus_client.CollectorRegistry()

    def histogram(name: str, about: str, *labels: str):
      return prometheus_client.Histogram(
        f"crab_{name}", about, labels, registry=own, buckets=_BUCKETS
      )

    def counter(name: str, about: str, *labels: str):
      return prometheus_client.Counter(
        f"crab_{name}", about, labels, registry=own
      )

    self.requests = counter("requests", "Requests.", "route", "status")
    self.unread = counter(
      "answers_unread", "Answers that could not be read.", "task"
    )
    self.queue = histogram("queue_seconds", "From arrival to a slot.")
    self.media = histogram("media_seconds", "To open media.", "kind")
    self.prefill = histogram("prefill_seconds", "To read a prompt.", "shape")
    self.first = histogram(
      "time_to_first_token_seconds", "From arrival to the first token."
    )
    self.between = histogram(
      "inter_token_seconds", "Between two pieces of an answer, for each token."
    )
    self.whole = histogram("request_seconds", "Of a whole answer.", "task")
    self.gate = prometheus_client.Gauge(
      "crab_gate_mean", "Mean gate of the last answer.", ["head"], registry=own
    )
    own.register(_OfEngine(stats, depths, vllm_names, self.first))

  def prefilled(self, shape: str, seconds: float) -> None:
    self.prefill.labels(shape).observe(seconds)

  def text(self) -> bytes:
    """The reply to a scrape."""
    return prometheus_client.generate_latest(self.registry)


class _OfEngine(registries.Collector):
  """Metrics that the engine and the stages count themselves."""

  def __init__(self, stats, depths, vllm_names: bool, first):
    self._stats, self._depths = stats, depths
    self._vllm_names, self._first = vllm_names, first

  def describe(self) -> Iterable[core.Metric]:
    return ()  # or registering would ask an engine that is not there yet

  def collect(self) -> Iterator[core.Metric]:
    stats, depths = self._stats(), self._depths()
    depth = core.GaugeMetricFamily(
      "crab_queue_depth", "Requests by stage.", labels=["stage"]
    )
    for stage, count in {**depths, "ready": stats.waiting}.items():
      depth.add_metric([stage], count)
    yield depth
    yield _gauge("crab_slots", "Answers at a time.", stats.slots)
    yield _gauge("crab_slots_used", "Slots in use.", stats.slots_used)
    yield _gauge(
      "crab_slots_busy_ratio", "Mean share of slots in use.", _share(stats)
    )
    yield _gauge(
      "crab_padding_ratio",
      "Padding among computed prompt tokens.",
      _padding(stats),
    )
    yield _counter(
      "crab_compilations", "Programs compiled late.", stats.compilations
    )
    tokens = core.CounterMetricFamily(
      "crab_tokens", "Tokens by kind.", labels=["kind"]
    )
    tokens.add_metric(["prompt"], stats.prompt_tokens)
    tokens.add_metric(["new"], stats.new_tokens)
    tokens.add_metric(["cached"], stats.cached_tokens)
    yield tokens
    if self._vllm_names:
      yield from self._aliases(stats)

  def _aliases(self, stats: interface.Stats) -> Iterator[core.Metric]:
    yield _gauge("vllm:num_requests_waiting", "Waiting.", stats.waiting)
    yield _gauge("vllm:num_requests_running", "Running.", stats.slots_used)
    for metric in self._first.collect():
      name = "vllm:time_to_first_token_seconds"
      alias = core.Metric(name, metric.documentation, metric.type)
      for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        alias.add_sample(name + suffix, sample.labels, sample.value)
      yield alias


def _share(stats: interface.Stats) -> float:
  """The mean share of slots in use while there was decoding."""
  whole = stats.decode_seconds * stats.slots
  return stats.slot_seconds / whole if whole else 0.0


def _padding(stats: interface.Stats) -> float:
  """The share of what was computed for prompts that no prompt has."""
  computed = stats.prompt_tokens - stats.cached_tokens
  return 1 - computed / stats.padded_tokens if stats.padded_tokens else 0.0


def _gauge(name: str, about: str, value: float) -> core.Metric:
  return core.GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> core.Metric:
  return core.CounterMetricFamily(name, about, value=value)
