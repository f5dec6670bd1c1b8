"""Where runs are recorded."""

from pydantic import BaseModel, ConfigDict, Field


class TrackingConfig(BaseModel):
    """MLflow, or nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(
        "", description="MLflow tracking URI, e.g. sqlite:///mlflow.db or https://mlflow.example; '' records nothing."
    )
    experiment: str = Field("stage1", min_length=1, description="MLflow experiment.")
    run_name: str = Field("", description="Name of the run; '' takes one from the data and model digests.")
    model_name: str = Field("stage1", min_length=1, description="Registered model whose alias a promotion moves.")
