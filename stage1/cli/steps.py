"""One command a step, made from the step's own signature, so that the two cannot drift apart."""

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from stage1 import events
from stage1.cli.options import ConfigFile, Overrides, Preset, config_text
from stage1.steps import load
from stage1.steps.configure import configure
from stage1.steps.step import read_config

PARTS = ("sweep", "gate", "scrc")


def command(name: str) -> Any:
    """Return `stage1 NAME`; `stage1 calibrate` is a group whose parts can be fitted one by one."""
    step = load(name)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    if name != "calibrate":
        app.command(name, help=_first_paragraph(step))(_translated(step, name))
        return typer.main.get_command(app)
    app.callback(invoke_without_command=True, no_args_is_help=True, help=_first_paragraph(step))(
        _translated(step, name, in_group=True)
    )
    module = sys.modules[step.__module__]
    for part in PARTS:
        fit = getattr(module, f"calibrate_{part}")
        app.command(part, help=_first_paragraph(fit))(_translated(fit, name))
    group = typer.main.get_command(app)
    group.name = name
    return group


def _translated(step: Callable[..., Any], section: str, *, in_group: bool = False) -> Callable[..., None]:
    """Return a function whose signature typer reads: the step's folders, and the shared configuration options."""
    folders = [name for name in inspect.signature(step).parameters if name != "config"]

    def run(context: typer.Context, **given: Any) -> None:
        if in_group and context.invoked_subcommand:
            return
        missing = [name for name in folders if given[name] is None]
        if missing:
            raise typer.BadParameter(f"needed: {', '.join(f'--{name}' for name in missing)}")
        sections = configure(given["preset"], config_text(given["config_file"]), json.dumps(given["overrides"] or []))
        with events.logged():
            result = step(**{name: given[name] for name in folders}, config=read_config(step, sections[section]))
        typer.echo(json.dumps(asdict(result), indent=2, default=str))

    helps = _argument_help(step)
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    for name, parameter in inspect.signature(step).parameters.items():
        if name != "config":
            parameters.append(_option(name, parameter.annotation, helps.get(name, ""), required=not in_group))
    for name, kind, default in (
        ("preset", Preset, ""),
        ("config_file", ConfigFile, None),
        ("overrides", Overrides, None),
    ):
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default))
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__ = step.__doc__
    return run


def _option(name: str, annotation: Any, text: str, *, required: bool) -> inspect.Parameter:
    wanted: Any = annotation if required else annotation | None
    kind = Annotated[wanted, typer.Option(f"--{name}", help=text)]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _first_paragraph(step: Callable[..., Any]) -> str:
    return inspect.cleandoc(step.__doc__ or "").split("\n\n")[0]


def _argument_help(step: Callable[..., Any]) -> dict[str, str]:
    """The `Args:` of a step's docstring, by name; one entry may be about several names."""
    text = inspect.cleandoc(step.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    helps: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and not line.startswith(" " * 8):
            names = [name.strip() for name in head.split(",")]
            helps |= dict.fromkeys(names, rest)
        else:
            helps |= {name: f"{helps[name]} {line.strip()}" for name in names}
    return helps
