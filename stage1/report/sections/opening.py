"""The top of the page: the verdict, why, and three figures."""

from stage1.report.figures.gauge import gauge
from stage1.report.markup import Markup, el, join
from stage1.report.names import chosen_metrics, chosen_policy, policy_name
from stage1.report.numbers import decimal, missing, percent, percent_beside, plural, round_decimal, round_percent
from stage1.report.read import Json, count, number, words
from stage1.report.story import Story
from stage1.report.verdict import confidence_of, fnr_limit, limit_of, verdict

_TICK = "✓"
_CROSS = "✕"


def opening(story: Story) -> Markup:
    """Build the verdict and the large figures."""
    told = verdict(story.decision, story.metrics)
    icon = el("span", _TICK if told.promoted else _CROSS, cls="icon", aria_hidden="true")
    return el(
        "section",
        el("h2", icon, told.word, id="verdict-heading"),
        el("p", told.sentence, cls="why"),
        el("p", _policy_line(story), cls="which"),
        el("div", _fnr(story), _coverage(story), _augrc(story), cls="figures-large"),
        id="verdict",
        cls="promoted" if told.promoted else "refused",
        aria_labelledby="verdict-heading",
    )


def unanswered(policy: Json, what: str = "positives") -> str:
    """Return why a rate among the answered may be missing."""
    if not policy:
        return "no metrics for this policy"
    if policy.get("feasible") is False:
        return "the policy is infeasible"
    rate = "fnr_answered" if what == "positives" else "fpr_answered"
    if count(policy, rate, what) == 0:
        return f"no answered {what}"
    return "not recorded"


def _policy_line(story: Story) -> Markup:
    name = chosen_policy(story.metrics)
    if not name:
        return join(["No exit policy was chosen."])
    images, positives = count(story.metrics, "num_images"), count(story.metrics, "num_positives")
    judged = ""
    if images is not None and positives is not None:
        judged = f", judged on {plural(images, 'test image')} ({positives:,} with road work)"
    return join(["Exit policy: ", el("strong", policy_name(name)), judged, "."])


def _fnr(story: Story) -> Markup:
    policy, limit = chosen_metrics(story.metrics), fnr_limit(story)
    value, upper = number(policy, "fnr_answered", "value"), number(policy, "fnr_answered", "upper")
    misses, positives = count(policy, "fnr_answered", "misses"), count(policy, "fnr_answered", "positives")
    note: Markup | str = missing(unanswered(policy))
    if misses is not None and positives is not None:
        seen = "" if value is None else f" ({percent(value)} observed)"
        note = f"{plural(misses, 'miss', 'misses')} in {plural(positives, 'answered positive')}{seen}"
    if "korn" in words(policy, "fnr_answered", "bound"):
        note = join([note, "; bound widened for grouped images"])
    big = missing(unanswered(policy)) if upper is None else join(["≤ ", percent_beside(upper, limit)])
    against = "no limit recorded" if limit is None else f"limit {round_percent(limit)}"
    drawn = gauge(
        "gauge-fnr",
        "FNR among answered: observed rate, upper bound and limit",
        value=value,
        low=value,
        high=upper,
        limit=limit,
        limit_text=against,
    )
    return _large(
        "Missed road work, among answered", big, f"upper bound at {confidence_of(story.metrics)}", note, drawn
    )


def _coverage(story: Story) -> Markup:
    policy, limit = chosen_metrics(story.metrics), limit_of(story.decision, "coverage")
    value, low, high = (number(policy, "coverage", key) for key in ("value", "low", "high"))
    big = missing(unanswered(policy)) if value is None else join([percent_beside(value, limit)])
    note = missing() if low is None or high is None else join([f"interval {percent(low)} to {percent(high)}"])
    against = "no limit recorded" if limit is None else f"at least {round_percent(limit)}"
    drawn = gauge(
        "gauge-coverage",
        "Coverage: observed share, interval and limit",
        value=value,
        low=low,
        high=high,
        limit=limit,
        limit_text=against,
        top=1.0,
        judged=False,
    )
    return _large("Coverage", big, "of the images are answered, the rest deferred", note, drawn)


def _augrc(story: Story) -> Markup:
    policy, limit = chosen_metrics(story.metrics), limit_of(story.decision, "augrc")
    value, low, high = (number(policy, "augrc", key) for key in ("value", "low", "high"))
    big = missing(unanswered(policy)) if value is None else join([decimal(value)])
    note = (
        missing()
        if low is None or high is None
        else join([f"interval {decimal(low, value)} to {decimal(high, value)}"])
    )
    against = "no limit recorded" if limit is None else f"bound at most {round_decimal(limit)}"
    drawn = gauge(
        "gauge-augrc",
        "AUGRC: value, interval and limit",
        value=value,
        low=low,
        high=high,
        limit=limit,
        limit_text=against,
    )
    return _large("AUGRC", big, "how well confidence ranks mistakes; lower is better", note, drawn)


def _large(name: str, big: Markup, meaning: str, note: Markup | str, drawn: Markup) -> Markup:
    return el(
        "div",
        el("h3", name),
        el("p", big, cls="big"),
        el("p", meaning, cls="meaning"),
        drawn,
        el("p", note, cls="note"),
        cls="large",
    )
