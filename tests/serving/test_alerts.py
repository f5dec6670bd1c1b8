"""The alert rules: what they ask for is what a server that has answered gives."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.bundle.making import RED, Maker, picture
from tests.bundle.test_reference import GOOD
from tests.serving.process import MODEL, asked, png, serving

RULES: list[dict[str, Any]] = yaml.safe_load(
    resources.files("stage1.serving").joinpath("alerts.yaml").read_text(encoding="utf-8")
)["groups"][0]["rules"]
NAME = re.compile(r"\bstage1_\w+")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """/metrics of a server that has answered with 200 and with an error, over a bundle with a reference."""
    folder = tmp_path_factory.mktemp("alerts")
    (folder / "reference.json").write_text(json.dumps(GOOD))
    bundle = Maker(folder / "made").path(files={"reference.json": folder / "reference.json"})
    with serving(str(bundle), folder / "log") as process, process.client() as client:
        client.post(f"{MODEL}/infer", json=asked(*[png(picture(RED))] * 4))
        client.post(f"{MODEL}/infer", content=b"{")
        return client.get("/metrics").text


def test_every_rule_asks_for_metrics_that_exist(shown: str) -> None:
    given = {match[0] for line in shown.splitlines() if not line.startswith("#") and (match := NAME.match(line))}
    asked_for = {name for rule in RULES for name in NAME.findall(rule["expr"])}
    assert len(asked_for) >= 9
    assert asked_for <= given


def test_every_label_that_a_rule_picks_exists(shown: str) -> None:
    for rule in RULES:
        for name, label in re.findall(r"(stage1_\w+)\{(\w+)=", rule["expr"]):
            assert re.search(rf"^{name}\{{[^}}]*{label}=", shown, re.MULTILINE), (rule["alert"], name, label)


def test_every_rule_has_a_name_of_its_own_a_severity_and_words() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 9
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_drift_is_seen(shown: str) -> None:
    """Four images at P = .999; val_test had a quarter of its images above .5: shares by hand, half an image added."""
    import math

    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in shown.splitlines() if not line.startswith("#")}
    in_service, on_val_test = [0.5 / 5.5, 0.5 / 5.5, 4.5 / 5.5], [4.5 / 9.5, 2.5 / 9.5, 2.5 / 9.5]
    expected = sum((a - e) * math.log(a / e) for a, e in zip(in_service, on_val_test, strict=True))
    assert values["stage1_score_psi"] == pytest.approx(expected)
    assert values["stage1_reference_deferral_rate"] == 3 / 8
    assert (values["stage1_deferral_rate"], values["stage1_window_images"]) == (0, 4)


def test_the_metrics_come_in_both_forms_that_prometheus_reads(running: Any) -> None:
    with running.client() as client:
        plain: httpx.Response = client.get("/metrics")
        open_metrics = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


def test_the_file_is_in_the_package() -> None:
    assert Path(str(resources.files("stage1.serving"))).joinpath("alerts.yaml").is_file()
