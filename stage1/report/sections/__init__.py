"""The parts of the page in their order; each turns the story into markup, or into None when it has nothing to tell."""

from collections.abc import Callable
from dataclasses import dataclass

from stage1.report.markup import Markup
from stage1.report.sections import (
    calibration,
    champion,
    checks,
    data,
    errors,
    meaning,
    outcomes,
    policies,
    provenance,
    ranking,
    slices,
    training,
)
from stage1.report.sections.opening import opening
from stage1.report.story import Story

__all__ = ["SECTIONS", "Section", "opening"]


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading and what builds it."""

    name: str
    title: str
    build: Callable[[Story], Markup | None]


SECTIONS = (
    Section("checks", "The gate’s checks", checks.build),
    Section("policies", "Exit policies", policies.build),
    Section("meaning", "What the numbers mean", meaning.build),
    Section("ranking", "Risk against coverage", ranking.build),
    Section("calibration", "Calibration", calibration.build),
    Section("outcomes", "Answered and deferred", outcomes.build),
    Section("slices", "Slices", slices.build),
    Section("errors", "Worst errors", errors.build),
    Section("training", "Training", training.build),
    Section("data", "Data and leakage", data.build),
    Section("champion", "Champion", champion.build),
    Section("provenance", "Configuration and provenance", provenance.build),
)
