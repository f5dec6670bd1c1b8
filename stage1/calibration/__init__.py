"""Logits in, calibrated probabilities out: Platt (one score), temperature (one number), Dirichlet with ODIR.

Each has fit(...) -> self, apply(...), to_json() and from_json(...). `apply` and the JSON need numpy alone; only
fitting imports scipy or scikit-learn. What a reader must know about a fit (separable data, a negative slope) is a
sentence in `findings`.
"""

from stage1.calibration.dirichlet import Dirichlet
from stage1.calibration.platt import Platt
from stage1.calibration.temperature import Temperature

__all__ = ["Dirichlet", "Platt", "Temperature"]
