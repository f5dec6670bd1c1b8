from typing import NamedTuple

from components import component


@component
def configure(
    preset: str = "demo",
    config: str = "",
    overrides: str = "",
    seed: int = -1,
    store: str = "",
    channel: str = "",
    checkpoints: str = "",
    claim: str = "",
) -> NamedTuple(  # type: ignore[valid-type]  # KFP reads the outputs off this call
    "Sections",
    [
        ("split", str),
        ("pretrain", str),
        ("train", str),
        ("predict", str),
        ("calibrate", str),
        ("evaluate", str),
        ("gate", str),
        ("report", str),
        ("export", str),
        ("promote", str),
    ],
):
    """Compose and check the configuration of the whole run before anything is computed.

    Args:
        preset: Where to begin: demo or full.
        config: YAML text whose fields replace the preset's; empty replaces none.
        overrides: Single fields on top of everything, one `a.b=c` a line.
        seed: Of everything random in the run; -1 leaves what preset and config say.
        store: Object store of bundles and channels, a folder or s3://bucket; empty leaves what preset and config say.
        channel: Channel that a promotion moves; empty leaves what preset and config say.
        checkpoints: Folder or s3://bucket/prefix that gets checkpoints too, for another pod to go on from; empty leaves
            what preset and config say.
        claim: What this run trains; another run that has written it into the store already makes this one end.

    Returns:
        The JSON of every step's configuration, by step.
    """
    from collections import namedtuple

    from stage1.steps.configure import configure as step

    named = {"seed": seed if seed >= 0 else "", "store": store, "channel": channel, "checkpoints": checkpoints}
    lines = [f"{field}={value}" for field, value in named.items() if value != ""]
    sections = step(preset, config, "\n".join([*lines, overrides]), claim)
    return namedtuple("Sections", sections)(**sections)
