"""How a failure of somebody else's loader is told: hubs, pickle, safetensors and torch each raise their own."""

from stage1.errors import BadConfig


def first_words(error: BaseException) -> str:
    """What went wrong, without the hundreds of parameter names of a state dict that does not fit."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{' ...' if len(text) > 300 else ''}"


def cannot_build(what: str, weights: str, why: str) -> BadConfig:
    """The error of a network that could not be built with the weights that were named."""
    return BadConfig(
        f"backbone {what} could not be built with weights {weights or 'at random'!r}: {why.rstrip('.')}. Needed: 'hub' "
        "and a network, a folder or file with this architecture's weights, or '' for random ones."
    )
