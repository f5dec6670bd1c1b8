"""The exit policies side by side: what each promises and what it did on val_test."""

from collections.abc import Callable

from stage1.report.figures.misses import Rate, misses
from stage1.report.markup import Markup, clip, el, join
from stage1.report.names import chosen_policy, in_order, policy_method, policy_name, style_of
from stage1.report.numbers import decimal, estimate, missing, percent
from stage1.report.read import Json, count, flag, mapping, number, texts, words
from stage1.report.sections.opening import unanswered
from stage1.report.story import Story
from stage1.report.tables import scroller, table
from stage1.report.verdict import fnr_limit

_PLATT_NOTE = (
    "Platt scaling with a positive slope keeps the order of the gate’s scores. It makes them readable as "
    "probabilities; it cannot change AUGRC."
)
_RULES = {"certificate": "the certificate itself", "aim": "the aim to pass the gate (stricter than the certificate)"}
_KINDS = (
    ("Among answered road work", "fnr_answered"),
    ("Over all road work", "fnr_all"),
    ("Over all images: P(miss)", "p_miss"),
)


def build(story: Story) -> Markup:
    """Build the promises, the comparison and the figure of misses."""
    policies = mapping(story.metrics, "policies")
    names = in_order(policies)
    if not names:
        return el("p", missing("no policy was evaluated"))
    chosen = chosen_policy(story.metrics)
    return join(
        [
            el("div", *(_promise(story, name, name == chosen) for name in names), cls="cards"),
            _comparison(story, names, chosen),
            _figure(story, names),
            el("p", _platt_note(story), cls="aside") if "gate" in names else None,
        ]
    )


def _promise(story: Story, name: str, chosen: bool) -> Markup:
    policy, fitted = mapping(story.metrics, "policies", name), mapping(story.policies, name)
    promise = words(policy, "promise") or words(fitted, "promise")
    return el(
        "div",
        el("h3", policy_name(name), el("span", "chosen", cls="badge ink") if chosen else None),
        el("p", policy_method(name), cls="note"),
        el("p", clip(promise, 600) if promise else missing("no promise recorded")),
        *(el("p", note, cls="note") for note in (_state(policy), _aim(policy, mapping(fitted, "evidence"))) if note),
        *(el("p", "Finding: ", clip(finding, 400), cls="note") for finding in texts(fitted, "findings")[:10]),
        cls="card chosen" if chosen else "card",
    )


def _state(policy: Json) -> str:
    feasible, reason = flag(policy, "feasible"), words(policy, "reason")
    if feasible is None:
        return "Whether it could be fitted was not recorded."
    if not feasible:
        return f"Infeasible, so it defers everything: {clip(reason, 400) or 'no reason recorded'}"
    return clip(reason, 400)


def _aim(policy: Json, evidence: Json) -> str:
    """Say which rule set the thresholds, and how likely an equal test was to be passed."""
    rule, chance = words(evidence, "bound_by"), number(evidence, "pass_probability")
    if not flag(policy, "feasible") or rule not in _RULES or chance is None:
        return ""
    return f"Thresholds set by {_RULES[rule]}; estimated chance to meet the limit on val_test: {percent(chance)}."


def _comparison(story: Story, names: list[str], chosen: str) -> Markup:
    def line(title: str, cell: Callable[[Json], Markup | str]) -> list[Markup | str]:
        return [title, *(cell(mapping(story.metrics, "policies", name)) for name in names)]

    body = [
        line("Coverage", lambda p: estimate(p, "coverage", reason=unanswered(p))),
        line("FNR among answered", lambda p: bounded(p, "fnr_answered", "misses", "positives")),
        line("Misses over all positives", lambda p: bounded(p, "fnr_all", "misses", "positives")),
        line("P(miss) over all images", lambda p: bounded(p, "p_miss", "misses", "images")),
        line("FPR among answered", lambda p: bounded(p, "fpr_answered", "false_alarms", "negatives")),
        line("Accuracy among answered", lambda p: estimate(p, "accuracy_answered", reason=unanswered(p))),
        line("AUGRC (lower is better)", lambda p: estimate(p, "augrc", rate=False, reason=unanswered(p))),
        line("How FNR is bounded", _bound_kind),
    ]
    headers = [policy_name(name) + (" (chosen)" if name == chosen else "") for name in names]
    return table("The policies on val_test", ["Measure", *headers], body)


def bounded(policy: Json, rate: str, errors: str, trials: str) -> Markup:
    """Write a rate object: its upper bound, then the observed rate and the counts behind it."""
    value, upper = number(policy, rate, "value"), number(policy, rate, "upper")
    found, of = count(policy, rate, errors), count(policy, rate, trials)
    if value is None and upper is None:
        return missing(unanswered(policy, "negatives" if rate.startswith("fpr") else "positives"))
    bound = missing("no bound") if upper is None else join(["≤ ", percent(upper)])
    counts = None if found is None or of is None else f", {found:,} of {of:,}"
    observed = missing() if value is None else join(["observed ", percent(value), counts])
    if of == 0:
        observed = join([f"no {trials} to judge by"])
    return join([el("strong", bound), " ", el("small", observed, cls="range")])


def _bound_kind(policy: Json) -> Markup | str:
    kind, effect = words(policy, "fnr_answered", "bound"), number(policy, "fnr_answered", "design_effect")
    if not kind:
        return missing(unanswered(policy))
    title = {"clopper-pearson": "Clopper–Pearson (exact)", "korn-graubard": "Korn–Graubard (grouped, approximate)"}
    words_ = clip(title.get(kind, kind))
    return (
        words_ if effect is None else join([words_, " ", el("small", f"design effect {decimal(effect)}", cls="range")])
    )


def _figure(story: Story, names: list[str]) -> Markup:
    styles = style_of(names)
    groups = []
    for heading, key in _KINDS:
        rates = []
        for name in names:
            found = mapping(story.metrics, "policies", name, key)
            rates.append(Rate(policy_name(name), styles[name], number(found, "value"), number(found, "upper")))
        groups.append((heading, rates))
    drawn = misses("figure-misses", groups, fnr_limit(story))
    text = "The same misses over three totals. Mark: observed. Bar: up to the upper bound. The gate judges the first."
    return el("figure", scroller("Three ways to count a miss", drawn), el("figcaption", text), cls="wide")


def _platt_note(story: Story) -> str:
    slope = number(story.policies.get("gate"), "slope")
    slope = number(story.policies.get("gate"), "platt", "slope") if slope is None else slope
    if slope is not None and slope <= 0:
        return (
            f"The gate’s Platt slope is {decimal(slope)}: not positive. That is a finding about the gate (it ranks the "
            "wrong way round or not at all), not a calibration."
        )
    return _PLATT_NOTE if slope is None else f"{_PLATT_NOTE} Its slope here is {decimal(slope)}."
