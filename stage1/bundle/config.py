"""Where bundles are published and what they are called."""

from pydantic import BaseModel, ConfigDict, Field

from stage1.bundle.channel import SignatureRule


class ChannelConfig(BaseModel):
    """A channel in an object store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field("stage1-store", min_length=1, description="Object store: a folder or file:// URI.")
    channel: str = Field("demo", min_length=1, description="Channel that consumers follow.")


class SignedConfig(ChannelConfig):
    """A channel, and whether it takes unsigned bundles."""

    signature: SignatureRule = Field(
        "unsigned-allowed",
        description="required: bundles must be signed, and the channel takes no others from then on, for good.",
    )


class ExportConfig(SignedConfig):
    """What a bundle is called, and whether it must be signed."""

    name: str = Field("stage1", min_length=1, description="Name of the model.")
    licence: str = Field("unspecified", min_length=1, description="Licence of the weights, for the model card.")
