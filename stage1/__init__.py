"""Selective image classification with a certified false-negative rate."""

__version__ = "0.1.0"
