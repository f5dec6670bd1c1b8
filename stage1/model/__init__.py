"""Networks: backbones, adapters, the three heads, masked image modelling, and how they are stored.

Only the configuration is exported here, because it must be readable where torch is not installed; import the rest from
the modules: `backbone`, `adapters`, `classifier`, `masked`, `masked_autoencoder`, `files`.
"""

from stage1.model.adapter_config import AdapterConfig, ExploraConfig
from stage1.model.config import BackboneConfig, PredictConfig

__all__ = ["AdapterConfig", "BackboneConfig", "ExploraConfig", "PredictConfig"]
