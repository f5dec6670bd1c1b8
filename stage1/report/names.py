"""Names and order of the exit policies and of the gate's checks, the same in every table and figure."""

import re
from collections.abc import Iterable

from stage1.report.markup import clip
from stage1.report.read import Json, mapping, words

_KNOWN = {
    "softmax": ("Softmax", "Two thresholds on the softmax margin"),
    "gate": ("Gate", "A learned gate, Platt-scaled, and a threshold"),
    "scrc": ("SCRC", "Selective conformal risk control on Dirichlet-calibrated probabilities"),
}
_ACRONYM = re.compile(r"\b(fnr|fpr|augrc)\b", re.IGNORECASE)


def policy_name(name: str) -> str:
    """Return the name that people read; an unknown policy keeps its own."""
    return _KNOWN[name][0] if name in _KNOWN else clip(name, 40)


def policy_method(name: str) -> str:
    """Return how a policy decides, in a few words; empty for an unknown one."""
    return _KNOWN[name][1] if name in _KNOWN else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Sort policy names: the known ones in their usual order, then any others by name."""
    usual = list(_KNOWN)
    return sorted(names, key=lambda name: (usual.index(name) if name in _KNOWN else len(usual), name))


def style_of(names: Iterable[str]) -> dict[str, int]:
    """Give every policy a line style of its own; the known ones keep theirs when another is absent."""
    others = [name for name in in_order(names) if name not in _KNOWN]
    return {name: index for index, name in enumerate([*_KNOWN, *others])}


def chosen_policy(metrics: object) -> str:
    """Return the name of the policy that ships, empty when none is named."""
    return words(metrics, "chosen")


def chosen_metrics(metrics: object) -> Json:
    """Return the numbers of the policy that ships, empty when there are none."""
    return mapping(metrics, "policies", chosen_policy(metrics))


def check_name(check: Json) -> str:
    """Return a check's name as a title.

    >>> check_name({"name": "fnr_answered"}), check_name({"name": "test_split"}), check_name({})
    ('FNR answered', 'Test split', 'Unnamed check')
    """
    name = clip(words(check, "name"), 80).replace("_", " ") or "unnamed check"
    return _ACRONYM.sub(lambda found: found[0].upper(), name[:1].upper() + name[1:])
