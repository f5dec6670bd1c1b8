"""What a reader must know about a fit, in sentences; the same ones for every calibrator."""

SEPARABLE = (
    "The scores separate the classes, so the likelihood has no maximum; fitted to Platt's smoothed targets instead."
)
ONE_CLASS = "Only one class was given, so the score cannot be judged; fitted to Platt's smoothed targets instead."
NOT_CONVERGED = "The fit did not converge and was dropped; the score is left as it is."
