"""Whatever is done to a bundle, loading it is a BundleRejected with its reason, and never another exception."""

import io
import json
import os
import pickle
import shutil
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stage1.bundle import Bundle, read_signing_key, sign, verify
from stage1.bundle.documents import canonical
from stage1.errors import BundleRejected
from stage1.policy.artifact import dumps
from tests.bundle.attacking import Edit, add_file, files_of, rejected, replaced, reseal
from tests.bundle.making import RED, KeyPair, Maker, decision, network, picture, policy
from tests.promotion.candidates import CHAMPION, OTHER


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Maker(tmp_path_factory.mktemp("good")).path()


@pytest.fixture
def bundle(good: Path, tmp_path: Path) -> Path:
    """A fresh copy of a good bundle."""
    return Path(shutil.copytree(good, tmp_path / "bundle"))


@pytest.fixture
def signed(bundle: Path, keys: KeyPair) -> Path:
    """The same, signed."""
    sign(bundle, read_signing_key(keys.private))
    return bundle


def test_the_bundle_that_is_attacked_is_good(bundle: Path) -> None:
    assert verify(bundle).digest == Bundle.load(bundle).digest
    reseal(bundle, lambda document: document["provenance"].update(note="another"))
    assert Bundle.load(bundle).manifest.provenance["note"] == "another", "resealing alone is no offence"


def test_what_a_bundle_holds(bundle: Path) -> None:
    assert files_of(bundle) == [
        "README.md",
        "bundle.json",
        "canaries.json",
        "canaries/0.png",
        "canaries/1.png",
        "canaries/2.png",
        "model.onnx",
        "model.safetensors",
        "schemas/bundle.schema.json",
        "schemas/canaries.schema.json",
        "schemas/thresholds.schema.json",
        "thresholds.json",
    ]


def test_a_flipped_bit_in_any_file_and_region_is_rejected(bundle: Path) -> None:
    for name in files_of(bundle):
        path = bundle / name
        data = path.read_bytes()
        for place in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
            changed = bytearray(data)
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises(BundleRejected):
                verify(bundle)
        path.write_bytes(data)
    verify(bundle)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_rejected(
    data: st.DataObject, good: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = data.draw(st.sampled_from(files_of(good)))
    original = (good / name).read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("flip") / "bundle"
    shutil.copytree(good, folder, copy_function=os.link)
    (folder / name).unlink()
    (folder / name).write_bytes(changed)
    with pytest.raises(BundleRejected):
        verify(folder)


def test_bytes_all_over_the_manifest_count(bundle: Path) -> None:
    data = (bundle / "bundle.json").read_bytes()
    for place in range(0, len(data), 13):
        (bundle / "bundle.json").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(BundleRejected):
            verify(bundle)


@pytest.mark.parametrize("cut", [1, 10, 10**9])
def test_a_file_cut_short_or_made_longer_is_rejected(bundle: Path, cut: int) -> None:
    for name in files_of(bundle):
        data = (bundle / name).read_bytes()
        for changed in (data[:-cut], data + b"\n"):
            (bundle / name).write_bytes(changed)
            rejected(bundle)
        (bundle / name).write_bytes(data)


def test_a_missing_file_is_rejected(bundle: Path) -> None:
    for name in files_of(bundle):
        (bundle / name).rename(bundle.parent / "aside")
        assert name.removesuffix("/0.png") in rejected(bundle)
        (bundle.parent / "aside").rename(bundle / name)
    verify(bundle)


def two_policies(folder: Path) -> None:
    add_file(folder, "gateparams.json", b"{}\n")


def no_policy(folder: Path) -> None:
    (folder / "thresholds.json").unlink()
    reseal(folder, lambda document: document["files"].pop("thresholds.json"))


def policy_file(text: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / "thresholds.json").write_text(text)
        reseal(folder, lambda _: None)

    return edit


def manifest(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda folder: reseal(folder, change)


def text_of_manifest(change: Callable[[str], str]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "bundle.json"
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)

    return edit


def swap_two(folder: Path) -> None:
    first, second = (folder / "canaries" / name for name in ("0.png", "1.png"))
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def link(name: str) -> Edit:
    def edit(folder: Path) -> None:
        target = folder.parent / f"outside-{Path(name).name}"
        (folder / name).rename(target)
        (folder / name).symlink_to(target)

    return edit


def canaries(change: Callable[[list[dict[str, Any]]], object]) -> Edit:
    def edit(folder: Path) -> None:
        document = json.loads((folder / "canaries.json").read_bytes())
        change(document["canaries"])
        (folder / "canaries.json").write_bytes(canonical(document))
        reseal(folder, lambda _: None)

    return edit


class Payload:
    """What a pickle does to whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("false",))


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as written:
        written.writestr("data.pkl", pickle.dumps(Payload()))
    return stream.getvalue()


ARCHIVE = archive()
PICKLE = pickle.dumps(Payload(), protocol=4)
INFEASIBLE = dumps(policy(feasible=False, reason="needs 149 positives, got 12"))
REFUSED = {**decision(), "promote": False}
ONE_REFUSES = decision()
ONE_REFUSES["checks"][0]["verdict"] = "refuse"

ATTACKS: dict[str, tuple[Edit, str]] = {
    "extra file": (lambda f: (f / "extra.json").write_text("{}"), "does not list: 'extra.json'"),
    "extra file in a folder": (lambda f: (f / "canaries" / "9.png").write_bytes(b""), "does not list"),
    "hidden file": (lambda f: (f / ".hidden").write_bytes(b""), "does not list: '.hidden'"),
    "git folder": (lambda f: ((f / ".git").mkdir(), (f / ".git" / "config").write_bytes(b"")), "does not list"),
    "gitignore": (lambda f: (f / ".gitignore").write_bytes(b"*"), "does not list: '.gitignore'"),
    "gitattributes": (lambda f: (f / ".gitattributes").write_bytes(b"*"), "does not list: '.gitattributes'"),
    "github folder": (lambda f: ((f / ".github").mkdir(), (f / ".github" / "a").write_bytes(b"")), "does not list"),
    "git folder that is listed": (lambda f: add_file(f, ".git/config.json", b"{}"), "no file named '.git/config.json'"),
    "hidden file that is listed": (lambda f: add_file(f, ".hidden.json", b"{}\n"), "no file named '.hidden.json'"),
    "empty folder": (lambda f: (f / "folder").mkdir(), "empty folder"),
    "renamed file": (lambda f: (f / "README.md").rename(f / "readme2.md"), "does not list: 'readme2.md'"),
    "files changed for each other": (swap_two, "was changed|bytes"),
    "file as link": (link("model.onnx"), "'model.onnx' in the bundle is a symbolic link"),
    "policy as link": (link("thresholds.json"), "symbolic link"),
    "bundle.json as link": (link("bundle.json"), "Rejected bundle"),
    "folder as link": (link("canaries"), "symbolic link"),
    "link that leads nowhere": (lambda f: (f / "x.md").symlink_to("nowhere"), "symbolic link"),
    "pipe": (lambda f: os.mkfifo(f / "pipe.json"), "device, pipe or socket"),
    "pipe as bundle.json": (lambda f: ((f / "bundle.json").unlink(), os.mkfifo(f / "bundle.json")), "no plain file"),
    "folder as bundle.json": (lambda f: ((f / "bundle.json").unlink(), (f / "bundle.json").mkdir()), "no plain file"),
    "very deep folders": (lambda f: (f / "/".join("a" * 12)).mkdir(parents=True), "too deep"),
    "two policies": (two_policies, "exactly one policy file"),
    "no policy": (no_policy, "exactly one policy file"),
    "policy of another kind": (manifest(lambda d: d.update(policy="gateparams.json")), "exactly one policy file"),
    "policy that was not judged": (manifest(lambda d: d["decision"].update(policy="gate")), "gate judged policy gate"),
    "policy that could not be fitted": (policy_file(INFEASIBLE), "needs 149 positives, got 12"),
    "policy that is no object": (policy_file("[]\n"), "no JSON object"),
    "policy without fields": (policy_file('{"schema": "stage1/thresholds/v1"}\n'), "cannot be used"),
    "policy of no schema": (policy_file("{}\n"), "cannot be used"),
    "policy that is not JSON": (policy_file("negative_below = 3\n"), "not strict JSON"),
    "policy with NaN": (policy_file(dumps(policy()).replace("-1.0", "NaN")), "NaN is no JSON number"),
    "policy with a key twice": (policy_file('{"a": 1, "a": 2}\n'), "'a' stands twice"),
    "policy nested deeply": (policy_file("[" * 100_000 + "]" * 100_000), "not strict JSON"),
    "policy with a huge number": (policy_file(dumps(policy()).replace("-1.0", "-1e999")), "cannot be used"),
    "refused decision": (manifest(lambda d: d.update(decision=REFUSED)), "decision.promote"),
    "decision that says 1": (manifest(lambda d: d["decision"].update(promote=1)), "decision.promote"),
    "no decision": (manifest(lambda d: d.pop("decision")), "'decision' is a required property"),
    "a check refuses": (manifest(lambda d: d.update(decision=ONE_REFUSES)), "verdict"),
    "no checks": (manifest(lambda d: d["decision"].update(checks=[])), "checks"),
    "another model was judged": (manifest(lambda d: d["decision"].update(model_digest=OTHER)), "gate judged model"),
    "no word about the model": (manifest(lambda d: d["provenance"].pop("model_digest")), "made of None"),
    "no provenance": (manifest(lambda d: d.update(provenance={})), "provenance"),
    "unknown field": (manifest(lambda d: d.update(extra=1)), "extra"),
    "another version of the schema": (manifest(lambda d: d.update(schema="stage1/bundle/v2")), r"\$\.schema"),
    "sequence 0": (manifest(lambda d: d.update(sequence=0)), r"\$\.sequence"),
    "one class": (manifest(lambda d: d.update(classes=["a"])), r"\$\.classes"),
    "two classes of one name": (manifest(lambda d: d.update(classes=["a", "a"])), r"\$\.classes"),
    "preprocessing without a field": (manifest(lambda d: d["input"]["preprocessing"].pop("image_size")), "image_size"),
    "huge preprocessing": (manifest(lambda d: d["input"]["preprocessing"].update(image_size=10**9)), "image_size"),
    "path that leads out": (
        manifest(lambda d: d["files"].update({"../a.json": d["files"]["README.md"]})),
        "no file named",
    ),
    "absolute path": (manifest(lambda d: d["files"].update({"/etc/a.json": d["files"]["README.md"]})), "no file named"),
    "backslashes": (manifest(lambda d: d["files"].update({"..\\a.json": d["files"]["README.md"]})), "no file named"),
    "name with a line end": (
        manifest(lambda d: d["files"].update({"a.json\n": d["files"]["README.md"]})),
        "no file named",
    ),
    "upper and lower case": (lambda f: add_file(f, "readme.md", b"x"), "upper and lower case"),
    "lists itself": (manifest(lambda d: d["files"].update({"bundle.json": d["files"]["README.md"]})), "lists itself"),
    "pickle": (lambda f: add_file(f, "model.pkl", b"x"), "no file of the kind"),
    "zip": (lambda f: add_file(f, "all.zip", b"PK"), "no file of the kind"),
    "zip under the name of weights": (replaced("model.safetensors", ARCHIVE), "header has"),
    "pickle under the name of weights": (replaced("model.safetensors", PICKLE), "header has"),
    "pickle under the name of the policy": (replaced("thresholds.json", PICKLE), "not strict JSON"),
    "zip under the name of the model card": (replaced("README.md", ARCHIVE), "is no text"),
    "no suffix": (lambda f: add_file(f, "model", b"x"), "no file of the kind"),
    "no model card": (manifest(lambda d: d["files"].pop("README.md")), "lists no README.md"),
    "no model": (manifest(lambda d: d["files"].pop("model.onnx")), "lists no model.onnx"),
    "no canaries": (manifest(lambda d: d["files"].pop("canaries.json")), "lists no canaries.json"),
    "no schema": (manifest(lambda d: d["files"].pop("schemas/bundle.schema.json")), "lists no schemas"),
    "canary of no image": (canaries(lambda c: c[0].update(file="canaries/7.png")), "bundle lacks: canaries/7.png"),
    "canary outside": (canaries(lambda c: c[0].update(file="../0.png")), "canaries.json breaks schema"),
    "canaries are none": (canaries(list.clear), "canaries.json breaks schema"),
    "key twice": (text_of_manifest(lambda t: t.replace("{", '{\n  "name": "other",', 1)), "'name' stands twice"),
    "NaN": (text_of_manifest(lambda t: t.replace('"sequence": 1', '"sequence": NaN')), "NaN is no JSON number"),
    "number out of range": (text_of_manifest(lambda t: t.replace('"sequence": 1', '"sequence": 1e999')), "bundle.json"),
    "half a character": (text_of_manifest(lambda t: t.replace('"colours"', '"\\ud800"')), "bundle.json"),
    "half a character in a note": (text_of_manifest(lambda t: t.replace("made by", "\\ud800")), "written as JSON"),
    "not canonical": (text_of_manifest(lambda t: t.replace('": ', '":  ', 1)), "canonical"),
    "number in another form": (
        text_of_manifest(lambda t: t.replace('"sequence": 1,', '"sequence": 1.0,', 1)),
        "canonical|says",
    ),
    "no digest": (text_of_manifest(lambda t: t.replace('"digest": ', '"digest_": ', 1)), "breaks schema"),
    "signature as a listed file": (lambda f: add_file(f, "bundle.sig", b"{}"), "no file of the kind of 'bundle.sig'"),
    "signature of nothing": (lambda f: (f / "bundle.sig").write_bytes(b""), "bundle.sig is not strict JSON"),
    "signature that is none": (lambda f: (f / "bundle.sig").write_bytes(b"{}\n"), "no signature of model-signing"),
    "signature as link": (lambda f: (f / "bundle.sig").symlink_to("README.md"), "Rejected bundle"),
    "signature as folder": (lambda f: (f / "bundle.sig").mkdir(), "no plain file"),
    "huge signature": (lambda f: (f / "bundle.sig").write_bytes(b" " * ((1 << 20) + 1)), "at most 1,048,576"),
    "an array": (text_of_manifest(lambda _: "[]\n"), "breaks schema"),
    "not UTF-8": (lambda f: (f / "bundle.json").write_bytes(b"\xff\xfe{}"), "not strict JSON"),
    "empty": (lambda f: (f / "bundle.json").write_bytes(b""), "not strict JSON"),
    "nested deeply": (lambda f: (f / "bundle.json").write_bytes(b"[" * 200_000), "not strict JSON"),
    "huge bundle.json": (lambda f: os.truncate(f / "bundle.json", (4 << 20) + 1), "at most 4,194,304"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(bundle: Path, name: str) -> None:
    edit, match = ATTACKS[name]
    edit(bundle)
    rejected(bundle, match)


@pytest.mark.parametrize("name", [name for name in ATTACKS if not name.startswith(("signature", "huge signature"))])
def test_attack_on_a_signed_bundle(signed: Path, name: str, keys: KeyPair) -> None:
    ATTACKS[name][0](signed)
    rejected(signed, public_key=keys.public)


def huge_png() -> bytes:
    """A picture whose header promises 10^10 pixels."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "png")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


CANARY_ATTACKS: dict[str, tuple[Edit, str]] = {
    "numbers": (canaries(lambda c: c[0].update(gate=2.9)), "does not reproduce"),
    "one logit": (canaries(lambda c: c[1].update(logits=[7.8, 0.3])), "does not reproduce"),
    "answer": (canaries(lambda c: c[0].update(answer="defer", label=None)), "answers canary 0 with exit roadwork"),
    "label": (canaries(lambda c: c[0].update(label="nothing")), "answers canary 0 with exit roadwork"),
    "image": (swap_two, "does not reproduce"),
    "huge image": (replaced("canaries/0.png", huge_png()), "Image 0"),
    "pickle as model": (replaced("model.onnx", PICKLE), "model.onnx cannot be used"),
    "zip as model": (replaced("model.onnx", ARCHIVE), "model.onnx cannot be used"),
    "model of NaN": (replaced("model.onnx", network(float("nan")).SerializeToString()), "off by up to nan"),
    "no image": (lambda f: (f / "canaries" / "0.png").write_bytes(b"x"), "Image 0"),
    "policy": (policy_file(dumps(policy(positive_from=7.9))), "answers canary 0 with defer None"),
}


@pytest.mark.parametrize("name", CANARY_ATTACKS)
def test_a_bundle_that_does_not_say_what_it_said_does_not_load(bundle: Path, name: str) -> None:
    edit, match = CANARY_ATTACKS[name]
    edit(bundle)
    reseal(bundle, lambda _: None)
    verify(bundle)
    with pytest.raises(BundleRejected, match=match):
        Bundle.load(bundle)


def test_a_size_beyond_the_limit_is_rejected_before_anything_is_read(bundle: Path) -> None:
    path = bundle / "README.md"
    os.truncate(path, (4 << 20) + 1)
    reseal(bundle, lambda _: None)
    rejected(bundle, r"README\.md has 4,194,305 bytes; at most 4,194,304")
    path.write_bytes(b" " * (4 << 20))
    reseal(bundle, lambda _: None)
    verify(bundle)


def test_files_of_two_bundles_do_not_mix(make: Maker, tmp_path: Path) -> None:
    first, second = make.path(), make.path(version="2", files={})
    shutil.copytree(first / "schemas", tmp_path / "schemas")
    shutil.copyfile(second / "bundle.json", first / "bundle.json")
    rejected(first, "does not list: 'model.safetensors'")


@pytest.mark.parametrize("uri", ["nowhere", "", "s3://bucket/x", "a\0b", "file://host/x", "nowhere/channels/demo.json"])
def test_an_address_of_nothing_is_rejected(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rejected(uri)


def test_a_folder_without_a_bundle_is_rejected(tmp_path: Path) -> None:
    rejected(tmp_path, "no bundle.json")
    (tmp_path / "file").write_text("x")
    rejected(tmp_path / "file", "no bundle at")


def test_the_place_in_a_store_must_be_that_of_the_digest(good: Path, tmp_path: Path) -> None:
    digest = verify(good).digest
    right = tmp_path / "bundles" / "sha256" / digest
    shutil.copytree(good, right)
    assert Bundle.load(right).digest == digest
    assert Bundle.load(f"file://{right}").digest == digest
    wrong = right.rename(right.with_name(CHAMPION))
    rejected(wrong, f"Expected the bundle {CHAMPION}")


def test_a_file_that_changes_between_check_and_use_is_not_used(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is what was checked: the model is replaced right after verification."""
    from stage1.bundle import consumer

    def verify_then_replace(uri: str | Path, *arguments: Any, **more: Any) -> Any:
        verified = verify(uri, *arguments, **more)
        (bundle / "model.onnx").write_bytes(b"evil")
        (bundle / "thresholds.json").write_bytes(b"{}")
        return verified

    monkeypatch.setattr(consumer, "verify", verify_then_replace)
    loaded = Bundle.load(bundle)
    assert loaded.decide([bundle / "canaries" / "0.png"])[0].label == "roadwork"


def test_a_model_that_is_exchanged_again_and_again_never_decides(bundle: Path) -> None:
    """A race for real: another thread puts a model that says the opposite in place of the good one, and back."""
    good = (bundle / "model.onnx").read_bytes()
    evil = network(-8.0).SerializeToString()
    assert len(good) == len(evil), "the size must not give it away"
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for data in (evil, good):
                (bundle.parent / "next").write_bytes(data)
                (bundle.parent / "next").replace(bundle / "model.onnx")

    thread = threading.Thread(target=exchange)
    thread.start()
    outcomes = {"good": 0, "rejected": 0}
    try:
        for _ in range(150):
            try:
                answer = Bundle.load(bundle).decide([picture(RED)])[0]
            except BundleRejected:
                outcomes["rejected"] += 1
            else:
                outcomes["good"] += 1
                assert answer.label == "roadwork"
    finally:
        stop.set()
        thread.join()
    assert outcomes["good"] + outcomes["rejected"] == 150
    assert min(outcomes.values()) > 0, outcomes


def test_a_fault_of_the_disk_is_a_rejection(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", broken)
    rejected(bundle, "Input/output error")


def test_whatever_a_damaged_bundle_makes_the_code_raise_is_a_rejection(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("stage1.bundle.verification.check_listing", broken)
    rejected(bundle, "KeyError: 'unforeseen'")
