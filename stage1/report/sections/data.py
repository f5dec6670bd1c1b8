"""What the data were, how they were split, what was left out, and what the test split can certify."""

from stage1.conformal import positives_needed
from stage1.report.markup import Markup, clip, el, join
from stage1.report.names import chosen_metrics
from stage1.report.numbers import missing, percent, plural, round_percent, shown, whole
from stage1.report.read import Json, count, mapping, number, rows, texts, words
from stage1.report.story import Story
from stage1.report.tables import facts, table
from stage1.report.verdict import fnr_limit

_MOST_POSITIVES = 10_000_000
_ROLES = {
    "train": "fits the weights",
    "val_select": "chooses the checkpoint",
    "val_calib": "fits calibration and policies",
    "val_test": "judged by the gate, nothing else",
}


def build(story: Story) -> Markup:
    """Build the split table, the leakage summary and the certification table."""
    split = story.split
    return join(
        [
            _splits(split),
            _leakage(split),
            _certification(mapping(split, "certification")),
            _margin(story),
            _warnings(split),
        ]
    )


def _splits(split: object) -> Markup:
    found = mapping(split, "splits")
    if not found:
        return el("p", missing("no split report was given"))
    total = sum(count(found, name, "images") or 0 for name in found)
    names = [*(name for name in _ROLES if name in found), *sorted(set(found) - set(_ROLES))]
    body: list[list[Markup | str]] = []
    for name in names:
        images, positives, groups = (count(found, name, key) for key in ("images", "positives", "groups"))
        body.append(
            [
                el("code", clip(name, 60)),
                shown(None if images is None else whole(images)),
                shown(None if images is None or not total else percent(images / total, 1)),
                shown(None if positives is None else whole(positives)),
                _positive_rate(mapping(found, name), images, positives),
                shown(None if groups is None else whole(groups)),
                _ROLES.get(name, ""),
            ]
        )
    headers = ["Split", "Images", "Share", "Positives", "Positive rate", "Groups", "Role"]
    return table("The four splits", headers, body, numeric=range(1, 6), stacked=True)


def _positive_rate(split: Json, images: int | None, positives: int | None) -> Markup | str:
    if positives is None or not images:
        return missing("no images")
    low, high = (number(split, "positive_share", end) for end in ("low", "high"))
    if low is None or high is None:
        return shown(percent(positives / images, 1))
    return join(
        [percent(positives / images, 1), " ", el("small", f"{percent(low, 1)} to {percent(high, 1)}", cls="range")]
    )


def _leakage(split: object) -> Markup:
    merged, images = count(split, "duplicates", "groups_merged"), count(split, "duplicates", "images")
    duplicates: Markup | str = missing()
    if images is not None:
        joined = "" if merged is None else f", {plural(merged, 'group')} joined because they share one"
        duplicates = f"{plural(images, 'byte-identical copy', 'byte-identical copies')}{joined}"
    skipped = mapping(split, "skipped_by_reason")
    counts = [(clip(reason, 80), count(skipped, reason)) for reason in skipped]
    left_out = "; ".join(f"{reason}: {whole(n)}" for reason, n in counts[:40] if n is not None)
    pairs: list[tuple[str, Markup | str]] = [
        ("Groups", "A group goes whole into one split, by a salted hash: no drive or site is on both sides."),
        ("Duplicates", duplicates),
        ("Near-duplicates", _near(mapping(split, "near_duplicates"))),
        ("Train only", _train_only(split)),
        ("Left out", left_out or ("nothing" if "skipped_by_reason" in mapping(split) else missing())),
        ("Data", _code(words(split, "data"))),
        ("Data digest", _code(words(split, "data_digest"))),
        ("Salt", _code(words(split, "salt"))),
    ]
    return join([facts(pairs), _skipped(split)])


def _near(near: Json) -> Markup | str:
    """Say how many pictures of different groups look the same, and how many of these pairs stand in two splits."""
    pairs, distance = count(near, "pairs"), count(near, "distance")
    if pairs is None:
        return "not looked for" if words(near, "mode") == "off" else missing()
    across = mapping(near, "across_splits")
    torn = sum(count(across, name) or 0 for name in across)
    bits = "" if distance is None else f" within {plural(distance, 'bit')} of perceptual hash"
    joined = ", their groups joined" if words(near, "mode") == "merge" else f", {whole(torn)} of them in two splits"
    return f"{plural(pairs, 'pair')} of different groups{bits}" + (joined if pairs else "")


def _train_only(split: object) -> Markup | str:
    synthetic, unlabeled = count(split, "num_synthetic"), count(split, "num_unlabeled")
    if synthetic is None or unlabeled is None:
        return missing()
    return f"{whole(synthetic)} generated and {whole(unlabeled)} unlabelled images; they never calibrate or test"


def _skipped(split: object) -> Markup | None:
    skipped = rows(split, "skipped")
    if not skipped:
        return None
    items = (
        el("li", el("code", clip(words(s, "path"), 200)), f": {clip(words(s, 'reason'), 200)}") for s in skipped[:100]
    )
    return el(
        "details", el("summary", f"Files left out (first {min(len(skipped), 100)})"), el("ul", *items, cls="plain")
    )


def _certification(certification: Json) -> Markup:
    needed, has = count(certification, "needed_no_miss"), count(certification, "test_positives")
    limit, level = number(certification, "max_fnr"), number(certification, "confidence")
    if needed is None or has is None:
        return el("p", "What the test split can certify: ", missing(), cls="aside")
    promise = "the limit" if limit is None else f"FNR ≤ {round_percent(limit)}"
    sure = "" if level is None else f" at {round_percent(level)} confidence"
    allowed = count(certification, "certifiable_misses")
    able = f"too few: no result could certify {promise}"
    if has >= needed:
        able = (
            f"enough, with at most {plural(allowed, 'miss', 'misses')}"
            if allowed is not None and allowed >= 0
            else "enough with no miss"
        )
    sentence = (
        f"To certify {promise}{sure}, {whole(needed)} answered positives with no miss are needed; "
        f"val_test has {whole(has)} positives: {able}."
    )
    body: list[list[Markup | str]] = []
    for row in rows(certification, "rows")[:30]:
        misses, positives = count(row, "misses"), count(row, "needed")
        if misses is not None and positives is not None:
            body.append([whole(misses), whole(positives), "✓ yes" if has >= positives else "✕ no"])
    head = ["Misses", "Answered positives needed", f"Within reach of {whole(has)}"]
    listed = table("What it takes to certify", head, body, numeric=(1,)) if body else None
    return join([el("p", sentence), listed])


def _margin(story: Story) -> Markup | None:
    """Say how far the chosen policy's result is from what its misses would need."""
    rate = mapping(chosen_metrics(story.metrics), "fnr_answered")
    limit, level = fnr_limit(story), number(story.metrics, "confidence")
    misses, positives = count(rate, "misses"), count(rate, "positives")
    if limit is None or level is None or misses is None or positives is None:
        return None
    if not (0 < limit < 1 and 0 < level < 1 and 0 <= misses <= positives <= _MOST_POSITIVES):
        return None
    needed = positives_needed(limit, misses, level)
    spare = positives - needed
    verdict = f"{whole(spare)} to spare" if spare >= 0 else f"{whole(-spare)} more, without another miss, would do"
    sentence = (
        f"Here the chosen policy missed {whole(misses)} of {whole(positives)} answered positives. With that many "
        f"misses, {whole(needed)} are needed: {verdict}. (For independent images; groups need more.)"
    )
    return el("p", sentence)


def _warnings(split: object) -> Markup | None:
    warnings = texts(split, "warnings")
    if not warnings:
        return None
    return el("ul", *(el("li", el("strong", "Warning: "), clip(text, 600)) for text in warnings[:50]), cls="warnings")


def _code(text: str) -> Markup:
    return el("code", clip(text, 300)) if text else missing()
