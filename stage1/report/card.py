"""The model card of a bundle (its README.md) and the verdict for the Kubeflow UI, both in Markdown."""

import json
from collections.abc import Mapping
from typing import Any

from stage1.report.markdown import code, plain, table
from stage1.report.markup import clean
from stage1.report.names import check_name, chosen_metrics, chosen_policy, in_order, policy_method, policy_name
from stage1.report.numbers import decimal, percent, percent_beside, round_percent, whole
from stage1.report.read import Json, count, mapping, number, rows, texts, words
from stage1.report.verdict import confidence_of, limit_of, passes, summary, verdict

_ABSENT = "n/a"


def model_card(
    *,
    metrics: Mapping[str, Any],
    decision: Mapping[str, Any],
    split: Mapping[str, Any],
    provenance: Mapping[str, Any],
    name: str,
    version: str,
    licence: str,
) -> str:
    """Write a bundle's README.md.

    Args:
        metrics: metrics.json; any value may be missing.
        decision: decision.json.
        split: split.json.
        provenance: Seed, code version, libraries, digests: any JSON object.
        name: Name of the model.
        version: Version of the bundle.
        licence: Licence of the weights, as the user states it.

    Returns:
        Markdown with a front matter; the same inputs give the same text.
    """
    policy = chosen_policy(metrics)
    parts = [
        _front_matter(name, version, licence),
        f"# {plain(name)} {plain(version)}",
        _what_it_is(policy),
        f"## Verdict\n\n{_verdict_lines(decision, metrics)}",
        f"## Numbers on val_test\n\n{_numbers(decision, metrics)}",
        f"## What is promised\n\n{_promise(metrics, policy)}",
        f"## How to load it\n\n{_LOADING}",
        f"## Data\n\n{_data(split)}",
        f"## Limits\n\n{_limits(metrics)}",
        f"## Licence of the weights\n\n{plain(licence) or _ABSENT}",
        f"## Provenance\n\n{_provenance(provenance, metrics)}",
    ]
    return "\n\n".join(parts) + "\n"


def verdict_markdown(
    decision: Mapping[str, Any], metrics: Mapping[str, Any], facts: Mapping[str, object] | None = None
) -> str:
    """Write the verdict, its reason, the checks and the policies for the Kubeflow UI.

    Args:
        decision: decision.json.
        metrics: metrics.json.
        facts: What the run was about, by name (channel, commit, data digest); empty ones are left out.
    """
    known = [[plain(name), code(str(value))] for name, value in (facts or {}).items() if value not in (None, "")]
    about = "\n\n" + table(["Of", ""], known) if known else ""
    return f"# {_verdict_lines(decision, metrics)}\n\n{_checks(decision)}\n\n{_policies(metrics)}{about}\n"


def _front_matter(name: str, version: str, licence: str) -> str:
    fields = {
        "library_name": "stage1",
        "license": clean(licence),
        "model_name": clean(name),
        "pipeline_tag": "image-classification",
        "tags": ["selective-classification", "conformal", "onnx"],
        "version": clean(version),
    }
    return "---\n" + "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items()) + "\n---"


def _what_it_is(policy: str) -> str:
    method = policy_method(policy)
    how = f"**{plain(policy_name(policy))}**" + (f" ({method[0].lower()}{method[1:]})" if method else "")
    return f"""\
A *selective* image classifier: is there road work in this street-level photo? It answers the images that it is sure
about and defers the rest. Exit policy: {how if policy else _ABSENT}. Its file is part of the bundle; no configuration
changes it.

**Intended use.** The first stage of a cascade: its answers are used as they are, and every deferred image goes to a
second stage (a larger model or a person) that can be trusted with it.

**Not for.** Use without a second stage; pictures unlike those it was tested on (other cameras, countries, seasons)
without a new test; steering a vehicle, or any use where one missed road work is intolerable; identifying people."""


_LOADING = """\
```
pip install stage1
stage1 decide PATH_OR_URI image1.jpg image2.jpg
```

```python
from stage1.bundle import Bundle

bundle = Bundle.load("PATH_OR_URI")
for answer in bundle.decide(["image1.jpg", "image2.jpg"]):
    print(answer.answer, answer.label, answer.probability)
```

`answer.answer` is `exit` (use `answer.label`) or `defer` (ask the second stage). Loading verifies every byte and asks
the model about images that the bundle carries; what does not fit is refused. torch is not needed."""


def _verdict_lines(decision: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    told = verdict(decision, metrics)
    about = "" if told.promoted else summary(decision, metrics)
    return f"{told.word}\n\n{plain(told.sentence, 2000)}" + (f"\n\n{plain(about, 2000)}" if about else "")


def _numbers(decision: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    policy, limit = chosen_metrics(metrics), limit_of(decision, "fnr_answered")
    model = mapping(metrics, "model")
    body = [
        ["Coverage", _value(policy, "coverage"), _range(policy, "coverage")],
        ["FNR among answered", _value(policy, "fnr_answered"), _upper(policy, "fnr_answered", limit)],
        ["Misses over all positives", _value(policy, "fnr_all"), _upper(policy, "fnr_all")],
        ["P(miss) over all images", _value(policy, "p_miss"), _upper(policy, "p_miss")],
        ["FPR among answered", _value(policy, "fpr_answered"), _upper(policy, "fpr_answered")],
        ["AUGRC (lower is better)", _value(policy, "augrc", rate=False), _range(policy, "augrc", rate=False)],
        ["Accuracy, nothing deferred", _value(model, "accuracy"), _range(model, "accuracy")],
        ["AUROC", _value(model, "auroc", rate=False), _range(model, "auroc", rate=False)],
    ]
    images, positives = count(metrics, "num_images"), count(metrics, "num_positives")
    tested = _ABSENT if images is None or positives is None else f"{whole(images)} images, {whole(positives)} positive"
    note = f"Test set: {tested}. Bounds are one-sided, at {confidence_of(metrics)}; intervals are two-sided."
    return table(["Measure", "Observed", "Bound or interval"], body) + f"\n\n{note}"


def _promise(metrics: Mapping[str, Any], policy: str) -> str:
    chosen = words(metrics, "policies", policy, "promise")
    return f"""\
{plain(chosen, 800) or "n/a: the policy states no promise."}

FNR *among answered* counts misses among the positives that were answered; *over all positives*, a deferred one is not
missed; *P(miss)* divides by all images. The gate judges the first, by its upper bound on images that chose nothing."""


def _data(split: Mapping[str, Any]) -> str:
    found = mapping(split, "splits")
    if not found:
        return _ABSENT
    body = [
        [code(name, 60), *(_count(found, name, key) for key in ("images", "positives", "groups"))]
        for name in sorted(found)
    ]
    origin = f"Data: {code(words(split, 'data'))}, digest {code(words(split, 'data_digest'))}."
    rule = "A group (drive, site, camera day) is whole in one split; byte-identical images are one group."
    return table(["Split", "Images", "Positives", "Groups"], body) + f"\n\n{origin} {rule}"


def _limits(metrics: Mapping[str, Any]) -> str:
    kind = words(chosen_metrics(metrics), "fnr_answered", "bound")
    grouped = (
        "- The FNR bound is widened for grouped images (Korn and Graubard); it is approximate.\n"
        if "korn" in kind
        else "- The FNR bound takes the test images as independent.\n"
    )
    return (
        grouped
        + "- Every number holds for images like those of val_test. When the world changes, the numbers do not follow.\n"
        "- A higher deferral rate than the coverage above suggests is a sign of such a change: watch it.\n"
        "- Probabilities are those of the positive class; they are not the promise."
    )


def _provenance(provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    simple = {
        key: str(value)
        for key, value in sorted(provenance.items())
        if isinstance(value, str | int | float) and value != ""
    }
    simple.setdefault("data_digest", words(metrics, "data_digest"))
    simple.setdefault("model_digest", words(metrics, "model_digest"))
    libraries = mapping(provenance, "libraries")
    lines = [f"- {plain(key.replace('_', ' '), 60)}: {code(value)}" for key, value in simple.items()]
    if libraries:
        versions = ", ".join(code(f"{key} {value}", 60) for key, value in sorted(libraries.items())[:40])
        lines.append(f"- libraries: {versions}")
    return "\n".join(lines) + "\n\nThe whole configuration stands in `bundle.json`."


def _checks(decision: Mapping[str, Any]) -> str:
    checks = rows(decision, "checks")
    if not checks:
        return "No check was recorded."
    body = [
        [plain(check_name(check)), "✓ pass" if passes(check) else "✕ refuse", plain(words(check, "reason")) or _ABSENT]
        for check in checks
    ]
    warnings = "".join(f"\n- Warning: {plain(warning, 600)}" for warning in texts(decision, "warnings")[:20])
    return table(["Check", "Verdict", "Reason"], body) + (f"\n{warnings}" if warnings else "")


def _policies(metrics: Mapping[str, Any]) -> str:
    policies, chosen = mapping(metrics, "policies"), chosen_policy(metrics)
    body = [
        [
            plain(policy_name(name)) + (" (chosen)" if name == chosen else ""),
            _value(mapping(policies, name), "coverage"),
            _upper(mapping(policies, name), "fnr_answered"),
            _value(mapping(policies, name), "augrc", rate=False),
        ]
        for name in in_order(policies)
    ]
    return table(["Policy", "Coverage", "FNR among answered", "AUGRC"], body) if body else "No policy was evaluated."


def _value(node: Json, key: str, *, rate: bool = True) -> str:
    value = number(node, key, "value")
    return _ABSENT if value is None else percent(value) if rate else decimal(value)


def _range(node: Json, key: str, *, rate: bool = True) -> str:
    low, high, value = (number(node, key, end) for end in ("low", "high", "value"))
    if low is None or high is None:
        return _ABSENT
    return f"{percent(low)} to {percent(high)}" if rate else f"{decimal(low, value)} to {decimal(high, value)}"


def _upper(node: Json, key: str, limit: float | None = None) -> str:
    upper = number(node, key, "upper")
    if upper is None:
        return _ABSENT
    allowed = "" if limit is None else f" (limit {round_percent(limit)})"
    return f"≤ {percent_beside(upper, limit)}{allowed}"


def _count(node: Json, *path: str) -> str:
    found = count(node, *path)
    return _ABSENT if found is None else whole(found)
