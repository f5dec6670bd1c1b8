"""What the server counts, for Prometheus. alerts.yaml beside this file refers to these names."""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stage1.bundle.reference import OUTCOMES
from stage1.serving.served import Served

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry a server, so that two in one process do not share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "stage1_requests", "Inference requests by HTTP status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "stage1_request_seconds",
            "Seconds from an inference request's first byte to its answer, the wait for a thread included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.images = Counter("stage1_images", "Images by outcome.", ["outcome"], registry=self.registry)
        self.in_progress = Gauge(
            "stage1_requests_in_progress", "Inference requests that are read, wait or run.", registry=self.registry
        )
        self.most_in_progress = Gauge(
            "stage1_requests_in_progress_limit", "How many may be; more get 503.", registry=self.registry
        )
        self.channel_sequence = Gauge(
            "stage1_channel_sequence", "Sequence of the channel when it was last read.", registry=self.registry
        )
        self.channel_errors = Counter(
            "stage1_channel_errors", "Reads of the channel that failed.", registry=self.registry
        )
        self.swaps = Counter("stage1_swaps", "Bundles that replaced another without a restart.", registry=self.registry)
        self.rejections = Counter(
            "stage1_rejections", "Attempts to load what the channel points at that failed.", registry=self.registry
        )
        for outcome in OUTCOMES:
            self.images.labels(outcome)

    def watch(
        self, served: Callable[[], Served | None], lag_s: Callable[[], float], age_s: Callable[[], float]
    ) -> None:
        """Read these whenever Prometheus asks.

        Args:
            served: The bundle that answers now.
            lag_s: Seconds for which the channel has pointed at something else than what is served.
            age_s: Seconds since the channel was read.
        """
        self.registry.register(_Live(served, lag_s, age_s))


class _Live(Collector):
    """Numbers of the bundle that is served at this moment: a swap leaves nothing of the old one behind."""

    def __init__(
        self, served: Callable[[], Served | None], lag_s: Callable[[], float], age_s: Callable[[], float]
    ) -> None:
        self._served, self._lag_s, self._age_s = served, lag_s, age_s

    def collect(self) -> Iterable[Metric]:
        """Yield one family a number."""
        served = self._served()
        yield _gauge("stage1_ready", "1 where a bundle is served.", float(served is not None))
        yield _gauge(
            "stage1_channel_lag_seconds", "How long the channel has pointed elsewhere; 0: here.", self._lag_s()
        )
        yield _gauge("stage1_channel_age_seconds", "Seconds since the channel was last read.", self._age_s())
        if served is None:
            return
        manifest, window = served.bundle.manifest, served.window
        info = GaugeMetricFamily(
            "stage1_bundle_info", "The bundle that is served.", labels=["name", "version", "digest", "policy"]
        )
        info.add_metric([manifest.name, manifest.version, manifest.digest, served.bundle.policy_name], 1.0)
        yield info
        yield _gauge("stage1_bundle_sequence", "Sequence of the channel entry that is served.", served.sequence)
        yield _gauge(
            "stage1_bundle_age_seconds", "Seconds since it was loaded.", max(0.0, time.monotonic() - served.since)
        )
        yield _gauge("stage1_window_images", "Latest images that the next two look at.", window.num_images)
        yield _gauge("stage1_deferral_rate", "Share of them that was deferred.", window.deferral_rate)
        yield _gauge(
            "stage1_score_psi", "Population stability index of P(positive) against val_test.", window.score_psi
        )
        if window.reference is not None:
            yield _gauge(
                "stage1_reference_deferral_rate", "Share that was deferred on val_test.", window.reference.deferral_rate
            )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
