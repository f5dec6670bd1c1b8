"""Of two runs of one retraining, one trains: the claim in the store."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from stage1.errors import BadInput
from stage1.steps.configure import configure
from stage1.storage import open_store


def claim(store, run, monkeypatch, name="roads/0123abcd/1"):
    monkeypatch.setenv("STAGE1_RUN_ID", run)
    return configure("demo", "", f"store={store}", name)


def test_the_first_run_works_and_another_ends(tmp_path, monkeypatch):
    assert claim(tmp_path, "one", monkeypatch) == claim(tmp_path, "one", monkeypatch), "a task that is tried again"
    with pytest.raises(BadInput, match=r"^Run one trains this already \(retrain/roads/0123abcd/1.json in "):
        claim(tmp_path, "two", monkeypatch)
    assert claim(tmp_path, "two", monkeypatch, "roads/0123abcd/2")
    written = json.loads(open_store(str(tmp_path)).get("retrain/roads/0123abcd/1.json").data)
    assert written == {"schema": "stage1/claim/v1", "run": "one"}


def test_a_bad_configuration_claims_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGE1_RUN_ID", "one")
    with pytest.raises(BadInput):
        configure("demo", "", f"store={tmp_path}\ntrain.epochs=-1", "roads/0/1")
    assert open_store(str(tmp_path)).list() == []


def test_a_claim_needs_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("STAGE1_RUN_ID", raising=False)
    with pytest.raises(BadInput, match="STAGE1_RUN_ID"):
        configure("demo", "", f"store={tmp_path}", "roads/0/1")


def test_of_many_on_a_real_server_one_works(minio, monkeypatch):
    from stage1.steps.configure import _hold

    minio.use(monkeypatch)
    uri = f"s3://{minio.new_bucket()}/models"

    def told(number):
        try:
            _hold("roads/0123abcd/1", uri, f"run-{number}")
        except BadInput as error:
            return str(error).split(" (")[0].split(" ", 2)[2]
        return "works"

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(told, range(16))]
    assert sorted(answers) == ["trains this already"] * 15 + ["works"]
