"""Street scenes with and without road work, drawn from nothing: the demo's data set.

A drive (the group) shares weather, light, road, palette and the country's way of marking work zones; its frames differ
in everything that stands in the street. Positives show cones, barrels, barriers, boards and signs, often with machines
and people; a fifth of them far away or partly hidden, yet always with a minimum of pixels that can be seen. Most
negatives show what is mistaken for road work: orange cars and shirts, other signs, billboards, bins, parasols, trees.

Measured with the defaults (12,000 images of 64 px, 36 % positive, drives split 60/10/15/15), per seed of scenes:
logistic regression on 8 x 8 RGB thumbnails (best of four regularisations); a GroupNorm convolutional net of 73k
parameters, 14 epochs in about 130 s on one thread; thresholds chosen on the calibration part as METHODS.md says, judged
on the test part with the one-sided 95 % Clopper-Pearson bound (Korn-Graubard over drives in brackets).

    seed  thumbnails  net    answered  missed positives  bound          false alarms among negatives  bound
    0     .825        .9996  .979      1 of 583          .0081 (.0082)  7 of 991                      .0132
    1     .840        .9987  .992      4 of 627          .0145 (.0172)  4 of 1159                     .0079
    2     .832        .9991  .976      4 of 538          .0169 (.0202)  7 of 915                      .0143
    3     .836        .9996  .997      3 of 637          .0121 (.0123)  9 of 1062                     .0147

What the net still misses with confidence are barriers and signs cut by the edge or half behind a car.
"""

from stage1.data.synth.config import SynthConfig
from stage1.data.synth.dataset import SynthSummary, synthesize
from stage1.data.synth.scene import MIN_CONTRAST, MIN_VISIBLE, Scene, render_scene
from stage1.data.synth.sheet import contact_sheet

__all__ = [
    "MIN_CONTRAST",
    "MIN_VISIBLE",
    "Scene",
    "SynthConfig",
    "SynthSummary",
    "contact_sheet",
    "render_scene",
    "synthesize",
]
