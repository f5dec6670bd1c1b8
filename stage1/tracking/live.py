"""A run in MLflow while it trains: numbers by step, sent by a thread so that nobody waits for a server.

It is a run of its own, found again by its name when training goes on; the finished run that the report records is
another. What MLflow does not take is said once and left out.
"""

import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stage1 import events
from stage1.tracking.client import Unreachable, connected
from stage1.tracking.config import TrackingConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_NAME_TAG = "stage1.training"
_EVERY_S = 2.0
_MOST = 1000  # metrics in a request, by MLflow's own limit
_PATIENCE_S = 30.0


class LiveRun:
    """Takes numbers at any rate and sends them every few seconds.

    Args:
        name: Of the run; the same name in the same experiment is the same run.
    """

    def __init__(self, config: TrackingConfig, name: str) -> None:
        self._config, self._name = config, name
        self._waiting: queue.SimpleQueue[tuple[int, int, Mapping[str, float]] | str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, name="mlflow", daemon=True)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step; the first ones begin the run."""
        if not self._thread.ident:
            self._thread.start()
        self._waiting.put((step, int(time.time() * 1000), dict(numbers)))

    def close(self, status: str) -> None:
        """Send what is left and end the run as FINISHED, FAILED or KILLED; waits half a minute at most."""
        if self._thread.ident:
            self._waiting.put(status)
            self._thread.join(_PATIENCE_S)

    def _send(self) -> None:
        try:
            with connected(self._config) as (client, experiment):
                run = _run_of(client, experiment, self._name)
                status = ""
                while not status:
                    metrics, status = self._collected()
                    for start in range(0, len(metrics), _MOST):
                        client.log_batch(run, metrics[start : start + _MOST])
                client.set_terminated(run, status)
        except Unreachable as error:
            events.note(f"MLflow: the curves of {self._name} are not sent from here on ({error})")

    def _collected(self) -> tuple[list["Metric"], str]:
        """What came within some seconds, and the status if it was the last."""
        from mlflow.entities import Metric

        metrics: list[Metric] = []
        until = time.monotonic() + _EVERY_S
        while (left := until - time.monotonic()) > 0:
            try:
                found = self._waiting.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(found, str):
                return metrics, found
            step, when, numbers = found
            metrics += [Metric(name, value, when, step) for name, value in numbers.items()]
        return metrics, ""


def _run_of(client: "MlflowClient", experiment: str, name: str) -> str:
    found = client.search_runs([experiment], f"tags.`{_NAME_TAG}` = '{name}'")
    if found:
        run = str(found[0].info.run_id)
        client.update_run(run, status="RUNNING")
        return run
    return str(client.create_run(experiment, run_name=name, tags={_NAME_TAG: name}).info.run_id)
