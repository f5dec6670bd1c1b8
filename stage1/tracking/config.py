"""Where runs are recorded."""

import os
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stage1.errors import BadConfig


class TrackingConfig(BaseModel):
    """MLflow, or nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    uri: str = Field(
        "",
        description="MLflow tracking URI, e.g. sqlite:///mlflow.db or https://mlflow.example; '' takes "
        "$MLFLOW_TRACKING_URI, and where that is not set records nothing.",
    )
    experiment: str = Field("stage1", min_length=1, description="MLflow experiment.")
    run_name: str = Field("", description="Name of the run; '' takes one from the data and model digests.")
    model_name: str = Field("stage1", min_length=1, description="Registered model whose alias a promotion moves.")

    @field_validator("uri")
    @classmethod
    def _without_secret(cls, uri: str) -> str:
        """The configuration is written into every step's record, and from there into bundles and MLflow itself."""
        if urlsplit(uri).password is not None:
            raise ValueError(
                "needed without a password; give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN, in the environment"
            )
        return uri

    def resolved(self) -> Self:
        """Return the same with the environment's address where there is none.

        Raises:
            BadConfig: That address has a password in it.
        """
        return self if self.uri else self.at(os.environ.get("MLFLOW_TRACKING_URI", ""))

    def at(self, uri: str, model_name: str = "") -> Self:
        """Return the same with another address, and with another model's name unless that is "".

        Raises:
            BadConfig: The address has a password in it.
        """
        changed = {"uri": uri, "model_name": model_name or self.model_name}
        try:
            return self.model_validate({**self.model_dump(), **changed})
        except ValidationError as error:
            raise BadConfig(f"MLflow's address: {error.errors()[0]['msg']}") from None
