"""`stage1 decide` and `stage1 bundle ...` as a consumer meets them, in this process."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stage1.bundle import read_signing_key, sign, verify
from stage1.cli import main
from tests.bundle.making import CLASSES, KeyPair, Maker

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair.make(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Maker(tmp_path / "made").path()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `stage1 ...` and return its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    for name in ("STAGE1_PUBLIC_KEY", "STAGE1_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stage1", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return int(code), shown.out, shown.err

    return call


class TestDecide:
    def test_a_table_for_people(self, run: Run, bundle: Path) -> None:
        code, out, _ = run("decide", bundle, *(bundle / "canaries" / f"{n}.png" for n in range(3)))
        assert code == 0
        rows = [line for line in out.splitlines() if ".png" in line]
        assert [("exit" in row, "roadwork" in row, "nothing" in row) for row in rows] == [
            (True, True, False),
            (True, False, True),
            (False, True, True),
        ]

    def test_lines_for_programs(self, run: Run, bundle: Path) -> None:
        code, out, _ = run("decide", bundle, bundle / "canaries", "--json")
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png", "2.png"]
        assert [(line["answer"], line["label"]) for line in lines] == [
            ("exit", "roadwork"),
            ("exit", "nothing"),
            ("defer", None),
        ]
        assert lines[2]["label_set"] == list(CLASSES)
        assert set(lines[0]) == {"image", "answer", "label", "label_set", "probability", "confidence"}

    def test_a_file_that_is_no_image_is_said_and_the_others_are_answered(self, run: Run, bundle: Path) -> None:
        image = bundle / "canaries" / "0.png"
        code, out, err = run("decide", bundle, image, bundle / "README.md", "nowhere.png", image, "--json")
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 2
        assert ["error" in line for line in lines] == [False, True, True, False]
        assert "2 of 4 images could not be used" in err
        code, out, err = run("decide", bundle, image, bundle / "README.md")
        assert code == 2
        assert "README.md: Need one of JPEG" in err
        assert "0.png" in out

    def test_brackets_in_a_name_stay(self, run: Run, bundle: Path, tmp_path: Path) -> None:
        shutil.copyfile(bundle / "canaries" / "0.png", tmp_path / "a[bold]b.png")
        assert "a[bold]b.png" in run("decide", bundle, tmp_path / "a[bold]b.png")[1]

    def test_a_folder_without_images_is_bad_input(self, run: Run, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        code, _, err = run("decide", bundle, tmp_path / "empty")
        assert code == 2
        assert "has no image files" in err

    def test_the_key_is_asked_for_by_option_and_by_environment(
        self, run: Run, bundle: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = bundle / "canaries" / "0.png"
        assert run("decide", bundle, image)[2] == "not signed: anybody can have made this bundle\n"
        code, out, err = run("decide", bundle, image, "--public-key", pair.public)
        assert (code, out) == (2, "")
        assert "BundleRejected: The bundle is not signed" in err
        monkeypatch.setenv("STAGE1_PUBLIC_KEY", pair.public.read_text())
        assert run("decide", bundle, image)[0] == 2
        sign(bundle, read_signing_key(pair.private))
        assert run("decide", bundle, image)[::2] == (0, "")
        monkeypatch.delenv("STAGE1_PUBLIC_KEY")
        assert "not checked by whom" in run("decide", bundle, image)[2]


class TestVerify:
    def test_a_good_bundle_is_said_by_its_digest(self, run: Run, bundle: Path) -> None:
        assert run("bundle", "verify", bundle)[:2] == (0, f"good: {verify(bundle).digest}\n")

    def test_a_bad_one_is_rejected_with_its_reason(self, run: Run, bundle: Path) -> None:
        (bundle / "README.md").write_text("other")
        code, out, err = run("bundle", "verify", bundle)
        assert (code, out) == (2, "")
        assert err.startswith("BundleRejected: README.md has 5 bytes")

    def test_the_wrong_key_is_said(self, run: Run, bundle: Path, pair: KeyPair, tmp_path: Path) -> None:
        assert run("bundle", "sign", bundle, "--key", pair.private)[0] == 0
        assert run("bundle", "verify", bundle, "--public-key", pair.public)[::2] == (0, "")
        other = KeyPair.make(tmp_path / "other")
        code, _, err = run("bundle", "verify", bundle, "--public-key", other.public)
        assert code == 2
        assert "not with a given one" in err


class TestSign:
    def test_the_key_may_be_in_the_environment(
        self, run: Run, bundle: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = verify(bundle).digest
        monkeypatch.setenv("STAGE1_SIGNING_KEY", pair.private.read_text())
        code, out, _ = run("bundle", "sign", bundle)
        assert (code, out) == (0, f"signed with the key {read_signing_key(pair.private).public.hint[:12]}\n")
        assert verify(bundle, pair.public).digest == digest
        assert "PRIVATE" not in out

    def test_no_key_is_bad_input(self, run: Run, bundle: Path) -> None:
        code, _, err = run("bundle", "sign", bundle)
        assert code == 2
        assert "Need a private key" in err


class TestShow:
    def test_what_a_bundle_says_of_itself(self, run: Run, bundle: Path) -> None:
        code, out, _ = run("bundle", "show", bundle)
        shown = {line[:20].strip(): line[21:] for line in out.splitlines()}
        assert code == 0
        assert shown["bundle"] == "colours 1, sequence 1"
        assert shown["digest"] == verify(bundle).digest
        assert shown["signature"] == "none"
        assert shown["classes"] == "nothing, roadwork (positive)"
        assert shown["policy"] == "softmax: FNR <= 2 %"
        assert "6 misses among 906" in shown["gate: fnr_answered"]
        assert shown["model_digest"] == "b" * 64

    def test_the_signature_is_told(self, run: Run, bundle: Path, pair: KeyPair) -> None:
        sign(bundle, read_signing_key(pair.private))
        assert "no key was given" in run("bundle", "show", bundle)[1]
        assert "good, by the given key" in run("bundle", "show", bundle, "--public-key", pair.public)[1]

    def test_json_is_the_whole_of_it(self, run: Run, bundle: Path) -> None:
        assert json.loads(run("bundle", "show", bundle, "--json")[1]) == json.loads(
            (bundle / "bundle.json").read_bytes()
        )


class TestDiff:
    def test_one_bundle_has_no_differences(self, run: Run, bundle: Path) -> None:
        assert run("bundle", "diff", bundle, bundle)[:2] == (0, "the two are one bundle\n")
        assert json.loads(run("bundle", "diff", bundle, bundle, "--json")[1]) == []

    def test_every_part_that_differs_is_named(self, run: Run, bundle: Path, tmp_path: Path) -> None:
        from stage1.policy.artifact import dumps
        from stage1.promotion import GateConfig, gate
        from tests.bundle.making import policy
        from tests.promotion.candidates import MODEL, OTHER, Candidate

        metrics = {**Candidate(champion_augrc=None, fn=2).metrics(), "data_digest": OTHER}
        maker = Maker(tmp_path / "other")
        origin = {"model_digest": MODEL, "code": OTHER, "libraries": {"numpy": "9"}, "config": {"train": {"epochs": 3}}}
        given = maker.arguments(
            version="2", provenance=origin, decision=gate(metrics, GateConfig()).to_json(), model_card="# B\n"
        )
        given["policy"].write_text(dumps(policy(negative_below=-1.5)))
        from stage1.bundle import write_bundle

        write_bundle(tmp_path / "second", **given)
        code, out, _ = run("bundle", "diff", bundle, tmp_path / "second", "--json")
        changes = {(change["part"], change["name"]): (change["before"], change["after"]) for change in json.loads(out)}
        assert code == 0
        assert changes["bundle", "version"] == ("1", "2")
        assert changes["metrics", "fnr_answered value"] == (f"{6 / 906:.6g}", f"{2 / 902:.6g}")
        assert changes["policy", "negative_below"] == ("-1", "-1.5")
        assert changes["data", "data_digest"] == ("a" * 64, OTHER)
        assert changes["code", "code"] == ("", OTHER)
        assert changes["libraries", "numpy"] == ("", "9")
        assert changes["config", "train.epochs"] == ("", "3")
        assert {name for part, name in changes if part == "files"} == {"README.md", "thresholds.json"}
        table = run("bundle", "diff", bundle, tmp_path / "second")[1]
        assert "negative_below" in table
        assert OTHER[:12] in table
        assert OTHER not in table
