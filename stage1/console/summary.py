"""The closing words of a run: what went in, what each exit policy can do, what the gate said, what to do next.

Everything is read from the step folders, and anything may be missing: a run that failed early has few folders, and a
number that could not be computed is null. Missing numbers read n/a; a section without its folder is left out.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stage1.errors import BadArtifact

_ABSENT = "n/a"
_ORDER = {"train": 0, "val_select": 1, "val_calib": 2, "val_test": 3}


def summary(folders: Mapping[str, Path]) -> str:
    """Return the closing summary as plain text, sections parted by an empty line.

    Args:
        folders: Step name to the folder that the step wrote (`done.out` of its events); any step may be missing.
    """
    split = _read(folders, "split", "split.json")
    metrics = _read(folders, "evaluate", "metrics.json")
    decision = _read(folders, "gate", "decision.json")
    sections = [
        _data(split),
        _policies(metrics, decision),
        _checks(decision),
        _verdict(decision, _read(folders, "promote", "promoted.json"), unchanged(folders)),
        _paths(folders),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def refused(folders: Mapping[str, Path]) -> bool:
    """Return whether the gate ran and refused a model that the channel does not serve already."""
    decision = _read(folders, "gate", "decision.json")
    return bool(decision) and decision.get("promote") is not True and not unchanged(folders)


def unchanged(folders: Mapping[str, Path]) -> bool:
    """Return whether the one thing against this model is that the channel serves it already: a run done twice."""
    failing = [check.get("name") for check in _read(folders, "gate", "decision.json").get("checks") or []
               if check.get("verdict") != "pass"]  # fmt: skip
    champion = _read(folders, "evaluate", "metrics.json").get("champion") or {}
    return failing == ["champion"] and champion.get("identical") is True


def _data(split: Mapping[str, Any]) -> list[str]:
    if not split:
        return []
    rows = [
        [name, _count(_at(part, "images")), _count(_at(part, "positives")), _count(_at(part, "groups"))]
        for name, part in sorted((split.get("splits") or {}).items(), key=lambda item: _ORDER.get(item[0], 9))
    ]
    images, groups = _count(split.get("num_images")), _count(split.get("num_groups"))
    lines = [f"Data: {images} images in {groups} groups", *_table(["split", "images", "road work", "groups"], rows)]
    return lines + [f"  warning: {warning}" for warning in split.get("warnings") or []]


def _policies(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> list[str]:
    if not metrics:
        return []
    ships = decision.get("policy") or metrics.get("chosen")
    rows, asides = [], []
    for name, policy in (metrics.get("policies") or {}).items():
        fnr = _at(policy, "fnr_answered")
        rows.append(
            [
                f"{name}{' *' if name == ships else ''}",
                _percent(_at(policy, "coverage", "value")),
                _percent(_at(fnr, "value")),
                _percent(_at(fnr, "upper")),
                f"{_count(_at(fnr, 'misses'))} of {_count(_at(fnr, 'positives'))}",
                _number(_at(policy, "augrc", "value")),
            ]
        )
        if _at(policy, "feasible") is False:
            asides.append(f"  {name} keeps no promise here: {_at(policy, 'reason') or 'no reason given'}")
    bound = f"{_percent(metrics.get('confidence'), 0)} bound"
    images = _count(metrics.get("num_images"))
    head = f"Exit policies on {metrics.get('split', 'val_test')} ({images} images; * ships)"
    return [head, *_table(["policy", "coverage", "FNR", bound, "missed", "AUGRC"], rows), *asides]


def _checks(decision: Mapping[str, Any]) -> list[str]:
    if not decision:
        return []
    rows = []
    for check in decision.get("checks") or []:
        judged = check.get("value") if check.get("bound") is None else check.get("bound")
        limit = f"{check['comparison']} {_number(check.get('limit'))}" if check.get("comparison") else ""
        found = _number(judged) if limit else ""
        rows.append([check.get("name", "?"), found, limit, check.get("verdict", "?")])
    if not rows:
        return ["Gate: no check was recorded"]
    lines = ["Gate", *_table(["check", "found", "limit", "verdict"], rows, right=(1,))]
    return lines + [f"  warning: {warning}" for warning in decision.get("warnings") or []]


def _verdict(decision: Mapping[str, Any], promoted: Mapping[str, Any], same: bool) -> list[str]:
    if not decision:
        return []
    if same:
        champion = decision.get("champion") or {}
        return [
            "NOTHING TO PROMOTE: the channel serves this very model already",
            f"  {champion.get('digest', _ABSENT)}",
        ]
    if decision.get("promote") is not True:
        return ["REFUSED", *(f"  {reason}" for reason in decision.get("reasons") or ["no reason was recorded"])]
    if not promoted:
        return ["The gate said yes, but the bundle was not promoted."]
    where = f"{promoted.get('channel', _ABSENT)}, sequence {promoted.get('sequence', _ABSENT)}"
    return [f"PROMOTED to channel {where}", f"  {promoted.get('digest', _ABSENT)}"]


def _paths(folders: Mapping[str, Path]) -> list[str]:
    lines = []
    report, bundle = _file(folders, "report", "report.html"), _file(folders, "export", "bundle")
    if report:
        lines.append(f"Report  {_shown(report)}")
    if bundle:
        lines.append(f"Bundle  {_shown(bundle)}")
        image = _image(folders)
        if image:
            lines.append(f"Ask it  stage1 decide {shlex.quote(_shown(bundle))} {shlex.quote(_shown(image))}")
    return lines


def _image(folders: Mapping[str, Path]) -> Path | None:
    """Return an image that no training saw: the first one of val_test, a positive where there is one."""
    manifest = _file(folders, "split", "manifest.parquet")
    if manifest is None:
        return None
    from stage1.data.manifest import Manifest  # slow to import: parquet
    from stage1.data.origin import RowImages

    try:
        whole = Manifest.read(manifest)
    except BadArtifact:
        return None
    rows = whole.rows("val_test", allowed=("val_test",))
    return RowImages(rows).local_path(int(rows.labels.argmax())) if len(rows) else None


def _read(folders: Mapping[str, Path], step: str, name: str) -> dict[str, Any]:
    path = _file(folders, step, name)
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _file(folders: Mapping[str, Path], step: str, name: str) -> Path | None:
    path = folders[step] / name if step in folders else None
    return path if path is not None and path.exists() else None


def _shown(path: Path) -> str:
    """Return a path as short as it stays right for somebody in the working folder."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def _at(node: Any, *path: str) -> Any:
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: Any) -> str:
    return f"{value:,.0f}" if _is_number(value) else _ABSENT


def _percent(value: Any, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %" if _is_number(value) else _ABSENT


def _number(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else _ABSENT


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] | None = None) -> list[str]:
    """Return lines of aligned columns; `right` names the right-aligned ones, all but the first when None."""
    aligned = range(1, len(head)) if right is None else right
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.rjust(w) if n in aligned else cell.ljust(w)
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
