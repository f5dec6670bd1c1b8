"""`stage1 decide` and `stage1 bundle ...`: what a consumer does with a bundle. Needs no torch."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stage1.bundle import Answer, Verified

app = typer.Typer(help="Bundles: check one, look into one, compare two, sign one.", no_args_is_help=True)

_URI = typer.Argument(help="A bundle's folder, or a channel: STORE/channels/NAME.json, in a folder or at s3://.")
_KEY = typer.Option(
    "--public-key",
    envvar="STAGE1_PUBLIC_KEY",
    show_envvar=True,
    help="PEM file of the public key that must have signed the bundle. Without it nobody's signature is checked.",
)
_JSON = typer.Option("--json", help="JSON instead of a table.")
_SHOWN = 12


def register(parent: typer.Typer) -> None:
    """Add `stage1 decide`."""
    parent.command()(decide)


def decide(
    bundle: Annotated[str, _URI],
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders whose image files are taken.")],
    public_key: Annotated[str, _KEY] = "",
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Ask a bundle about images: an answer, or a deferral to the second stage.

    A file that cannot be used as an image is said, the others are answered, and the command ends with 2.
    """
    from stage1.bundle import Bundle

    paths = list(_image_files(images))
    loaded = Bundle.load(bundle, public_key or None)
    _say_signature(loaded.signature)
    told = _told_lines if json_lines else _told_table
    failed = told(_asked(loaded, paths))
    if failed:
        typer.echo(f"{failed:,} of {len(paths):,} images could not be used.", err=True)
        raise typer.Exit(2)


@app.command()
def verify(uri: Annotated[str, _URI], public_key: Annotated[str, _KEY] = "") -> None:
    """Check every byte of a bundle, load it and reproduce its canaries; exit 2 with the reason if anything is wrong."""
    from stage1.bundle import Bundle

    loaded = Bundle.load(uri, public_key or None)
    _say_signature(loaded.signature)
    typer.echo(f"good: {loaded.digest}")


@app.command()
def show(
    uri: Annotated[str, _URI],
    public_key: Annotated[str, _KEY] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The whole of bundle.json instead of a summary.")] = False,
) -> None:
    """Say what a bundle is, what it promises, why it was promoted and where it comes from."""
    from stage1.bundle import verify as verified

    found = verified(uri, public_key or None)
    if as_json:
        typer.echo(json.dumps(found.manifest.document, indent=2, sort_keys=True))
        return
    for name, text in _summary(found):
        typer.echo(f"{name:<20} {text}")


@app.command()
def diff(
    before: Annotated[str, _URI],
    after: Annotated[str, _URI],
    public_key: Annotated[str, _KEY] = "",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Say in what two bundles differ: metrics, policy, data, code, libraries, configuration, files."""
    from stage1.bundle import verify as verified
    from stage1.bundle.comparing import compare

    changes = compare(verified(before, public_key or None), verified(after, public_key or None))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(change) for change in changes], indent=2))
        return
    if not changes:
        typer.echo("the two are one bundle")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "what", "before", "after")
    for change in changes:
        table.add_row(change.part, change.name, _short(change.before), _short(change.after))
    Console(markup=False).print(table)


@app.command()
def sign(
    folder: Annotated[Path, typer.Argument(help="A bundle's folder; it gets bundle.sig, its digest stays.")],
    key: Annotated[
        str,
        typer.Option("--key", envvar="STAGE1_SIGNING_KEY", show_envvar=True, help="PEM file of the private EC key."),
    ] = "",
) -> None:
    """Sign a bundle, after checking it; `export` does so itself where the key is in the environment."""
    from stage1.bundle import read_signing_key
    from stage1.bundle import sign as signed
    from stage1.errors import BadInput

    if not key:
        raise BadInput("Need a private key: --key FILE, or its text or path in $STAGE1_SIGNING_KEY.")
    read = read_signing_key(key)
    signed(folder, read)
    typer.echo(f"signed with the key {read.public.hint[:_SHOWN]}")


def _image_files(given: list[Path]) -> Iterator[Path]:
    """The files, and of folders those whose names say that they are images."""
    from stage1.errors import BadInput

    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
        if not found:
            raise BadInput(f"The folder {path} has no image files ({', '.join(sorted(suffixes))}).")
        yield from found


def _asked(bundle: Any, paths: list[Path]) -> Iterator[tuple[Path, "Answer | str"]]:
    """Each image with its answer, or with the reason why there is none."""
    from stage1.errors import BadImage

    for path in paths:
        try:
            yield path, bundle.decide([path])[0]
        except BadImage as error:
            yield path, str(error).removeprefix("Image 0: ")


def _told_lines(answered: "Iterator[tuple[Path, Answer | str]]") -> int:
    failed = 0
    for path, answer in answered:
        said = {"error": answer} if isinstance(answer, str) else _plain(dataclasses.asdict(answer))
        failed += isinstance(answer, str)
        typer.echo(json.dumps({"image": str(path), **said}))
    return failed


def _told_table(answered: "Iterator[tuple[Path, Answer | str]]") -> int:
    from rich.console import Console
    from rich.table import Table

    failed = 0
    table = Table("image", "answer", "label", "P(positive)")
    for path, answer in answered:
        if isinstance(answer, str):
            failed += 1
            typer.echo(f"{path}: {answer}", err=True)
            continue
        label = answer.label or " or ".join(answer.label_set)
        table.add_row(str(path), answer.answer, label, f"{answer.probability:.4f}")
    Console(markup=False).print(table)
    return failed


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null."""
    return {key: None if isinstance(value, float) and value != value else value for key, value in answer.items()}


def _say_signature(signature: str) -> None:
    if signature == "unchecked":
        typer.echo("signed, but not checked by whom: no --public-key was given", err=True)
    elif signature == "absent":
        typer.echo("not signed: anybody can have made this bundle", err=True)


def _summary(found: "Verified") -> Iterator[tuple[str, str]]:
    manifest, said = found.manifest, {"absent": "none", "unchecked": "there is one, no key was given to check it with"}
    yield "bundle", f"{manifest.name} {manifest.version}, sequence {manifest.sequence}"
    yield "digest", manifest.digest
    yield "signature", said.get(found.signature, "good, by the given key")
    yield "classes", f"{manifest.classes[0]}, {manifest.classes[1]} (positive)"
    yield "policy", f"{found.policy.name}: {found.policy.promise}"
    for check in manifest.decision["checks"]:
        yield f"gate: {check['name']}", str(check.get("reason") or check["verdict"])
    for warning in manifest.decision.get("warnings", []):
        yield "warning", str(warning)
    for key in ("data_digest", "model_digest", "stage1", "commit", "code", "seed", "run"):
        if manifest.provenance.get(key) not in (None, ""):
            yield key, str(manifest.provenance[key])
    num_bytes = sum(entry.size for entry in manifest.files.values())
    yield "files", f"{len(manifest.files)} with {num_bytes:,} bytes"


def _short(text: str) -> str:
    """A digest by its beginning; the rest of what is long is in --json."""
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:_SHOWN] if is_digest else text[:200]
