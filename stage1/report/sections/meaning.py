"""What the numbers mean, in plain words."""

from stage1.report.markup import Markup
from stage1.report.names import chosen_metrics
from stage1.report.numbers import round_percent
from stage1.report.read import number, words
from stage1.report.story import Story
from stage1.report.tables import facts


def build(story: Story) -> Markup:
    """Build the list of terms."""
    level = number(story.metrics, "confidence")
    sure = "the confidence level" if level is None else round_percent(level)
    terms: list[tuple[str, Markup | str]] = [
        (
            "Answered, deferred",
            "The model answers an image (road work, or none) or defers it to the next stage. "
            "Coverage is the share it answers.",
        ),
        (
            "FNR among answered",
            "Of the images with road work that it answered, the share it called clear. The gate judges this one.",
        ),
        (
            "Misses over all positives",
            "The same misses, divided by all images with road work. A deferred one is not missed: the next stage "
            "sees it.",
        ),
        ("P(miss)", "The same misses, divided by all images: how often any image ends as an unseen road work."),
        (
            "Upper bound",
            f"If the true rate were higher than the bound, a result this good would happen in less than "
            f"{_rest(level)} of tests. At {sure}, trust a rate only up to its bound, never at its observed value.",
        ),
        ("The promise", _promise(story)),
        (
            "AUGRC",
            "Sweep the threshold from strict to lax and average the chance that an image is answered and wrong. "
            "It falls when mistakes get low confidence. 0 is perfect.",
        ),
    ]
    return facts(terms)


def _rest(level: float | None) -> str:
    return "a small share" if level is None else round_percent(round(1 - level, 9))


def _promise(story: Story) -> str:
    promise = words(chosen_metrics(story.metrics), "promise").lower()
    kinds = (
        "“In expectation” holds on average over many calibrations: a single policy can be worse. “With probability "
        "1 − δ” holds for this very policy, except for an unlucky share δ of calibrations."
    )
    if "expectation" in promise:
        return f"{kinds} The chosen policy promises in expectation; the gate’s bound on fresh test images judges it."
    if "probability" in promise or "confidence" in promise:
        return f"{kinds} The chosen policy promises with probability 1 − δ."
    return kinds
