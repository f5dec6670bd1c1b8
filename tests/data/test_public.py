"""What others may import from stage1.data, and how the configuration refuses."""

import pytest
from pydantic import ValidationError

import stage1.data
from stage1.data import SplitConfig
from stage1.policy import Constraint


def test_the_public_names() -> None:
    assert stage1.data.__all__ == [
        "SPLITS",
        "ImageBatches",
        "Manifest",
        "Preprocessing",
        "Rows",
        "SplitConfig",
        "assign",
        "load_images",
        "make_split",
    ]
    for name in stage1.data.__all__:
        assert getattr(stage1.data, name) is not None


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="make_splits"):
        stage1.data.make_splits  # noqa: B018


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("positive", "x"),
        ("salt", ""),
        ("max_bad_fraction", 1.0),
        ("max_bad_fraction", -0.1),
        ("max_pixels", 0),
        ("max_fnr", 0),
        ("confidence", 1),
        ("fractions", {"train": 1.0}),
        ("path_column", ""),
    ],
)
def test_impossible_values_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        SplitConfig(**{field: value})


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in SplitConfig.model_fields.values())


def test_the_limit_to_certify_is_by_default_that_of_the_policies() -> None:
    constraint, config = Constraint(), SplitConfig()
    assert (config.max_fnr, config.confidence) == (constraint.max_fnr, constraint.confidence)
