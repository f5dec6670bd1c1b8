"""Where bundles are published and what they are called."""

from pydantic import BaseModel, ConfigDict, Field


class ChannelConfig(BaseModel):
    """A channel in an object store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field("stage1-store", min_length=1, description="Object store: a folder or file:// URI.")
    channel: str = Field("demo", min_length=1, description="Channel that consumers follow.")


class ExportConfig(ChannelConfig):
    """What a bundle is called."""

    name: str = Field("stage1", min_length=1, description="Name of the model.")
    licence: str = Field("unspecified", min_length=1, description="Licence of the weights, for the model card.")
