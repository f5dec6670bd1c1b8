"""A KFP stand-in, a namespace of its own on the real API server, and the pipeline as it is compiled."""

import json
from collections.abc import Iterator

import pytest

from pipelines.kubeflow import Kubeflow, load_package
from pipelines.ledger import Ledger, Request
from tests.servers.kubeflow import KubeflowStandIn


@pytest.fixture
def kfp() -> Iterator[KubeflowStandIn]:
    with KubeflowStandIn().serving() as server:
        yield server


@pytest.fixture
def kubeflow(kfp):
    return Kubeflow(kfp.endpoint)


@pytest.fixture(scope="session")
def pipeline_file(tmp_path_factory):
    from pipelines.pipeline import compile_to

    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_to(path)
    return path


@pytest.fixture(scope="session")
def package(pipeline_file):
    return load_package(pipeline_file)


@pytest.fixture
def namespace(kubernetes, request):
    made = kubernetes.core.create_namespace({"metadata": {"generateName": "test-"}}).metadata.name
    yield made
    kubernetes.core.delete_namespace(made)


@pytest.fixture
def ledger(kubernetes, namespace):
    return Ledger(kubernetes.core, namespace)


@pytest.fixture
def wanted():
    return Request(name="roads", hash="0123abcd", arguments={"data": "s3://scenes/v1", "seed": 3}, experiment="roads")


@pytest.fixture
def request_file(tmp_path, wanted):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(wanted.model_dump()))
    return path
