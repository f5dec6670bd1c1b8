"""What the split step can be told; needs pydantic only."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stage1.data.decode import MAX_PIXELS


class Fractions(BaseModel):
    """Share of the groups that each split gets; changing one moves the groups between the old and the new border."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(default=0.7, gt=0, lt=1, description="For learning.")
    val_select: float = Field(default=0.1, gt=0, lt=1, description="For choosing the checkpoint.")
    val_calib: float = Field(default=0.1, gt=0, lt=1, description="For calibration and the exit policies.")
    val_test: float = Field(default=0.1, gt=0, lt=1, description="For evaluation and the gate, and nothing else.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.val_select + self.val_calib + self.val_test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four fractions must sum to 1, got {total:.6g}")
        return self


class AnnotationRule(BaseModel):
    """When an image with annotated objects (COCO, YOLO) is a positive: if any object satisfies all of this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    categories: tuple[str, ...] = Field(
        default=(), description="Names or ids of the categories that mean road work; needed for COCO and YOLO."
    )
    min_area: float = Field(
        default=0.0, ge=0, le=1, description="Smallest share of the picture that the object's box covers."
    )
    too_small: Literal["negative", "skip"] = Field(
        default="negative",
        description="What an image is whose objects of these categories are all smaller: a negative, or left out.",
    )


class SplitConfig(BaseModel):
    """Which images there are, what their labels mean, and how they are divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    positive_class: str = Field(
        default="",
        description="Folder name or label value that means road work. Empty: recognised where one class has a usual "
        "name (roadwork, positive, yes, true, 1 ...) and the other has not.",
    )
    path_column: str = Field(default="path", min_length=1, description="Column of a sheet with the image's path.")
    label_column: str = Field(
        default="label", min_length=1, description="Column with 0 and 1, true and false, or two class names."
    )
    group_column: str = Field(
        default="group",
        min_length=1,
        description="Column with what must stay together (drive, site, video); optional when left at its default.",
    )
    source_column: str = Field(
        default="source",
        min_length=1,
        description="Column with where an image comes from, for slices of the report; optional likewise.",
    )
    synthetic_column: str = Field(
        default="synthetic",
        min_length=1,
        description="Column with 1 where an image was generated and 0 where it was photographed; optional likewise.",
    )
    image_root: str = Field(
        default="",
        description="Folder (or s3://) that the paths of a sheet or of COCO annotations start from. Empty: the folder "
        "that the file is in.",
    )
    positive_when: AnnotationRule = Field(
        default=AnnotationRule(), description="Which annotated objects make an image a positive (COCO, YOLO)."
    )
    more: tuple[str, ...] = Field(
        default=(), description="Further labelled sources of any form, with the same columns and rules."
    )
    synthetic: tuple[str, ...] = Field(
        default=(),
        description="Labelled sources whose images were all generated: they train, and never calibrate or test.",
    )
    unlabeled: tuple[str, ...] = Field(
        default=(), description="Sources without labels, for pre-training: any folder of images, sheet or parquet."
    )
    salt: str = Field(
        default="stage1",
        min_length=1,
        description="Enters the hash that assigns groups to splits. Another salt is another division: old test images "
        "become training images, so change it only together with everything trained before.",
    )
    fractions: Fractions = Field(default=Fractions(), description="Share of the groups per split; they sum to 1.")
    near_duplicates: Literal["report", "merge", "off"] = Field(
        default="report",
        description="Pictures that look the same in different groups: count them, join their groups, or do not look. "
        "`merge` can move images towards training when data are added.",
    )
    near_distance: int = Field(
        default=4, ge=0, le=8, description="Bits out of 64 by which two perceptual hashes may differ and look the same."
    )
    max_bad_fraction: float = Field(
        default=0.01, ge=0, lt=1, description="Largest share of images that may be unreadable before the step fails."
    )
    max_pixels: int = Field(
        default=MAX_PIXELS, ge=1, le=MAX_PIXELS, description="Images with more pixels are refused as bad."
    )
    max_fnr: float = Field(
        default=0.02, gt=0, lt=1, description="False-negative rate that val_test must be able to certify."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Confidence of that certificate.")
