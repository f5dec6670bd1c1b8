"""The evaluation report (one self-contained HTML page), the model card and the verdict in Markdown."""

from stage1.report.card import model_card, verdict_markdown
from stage1.report.page import render
from stage1.report.story import Story

__all__ = ["Story", "model_card", "render", "verdict_markdown"]
