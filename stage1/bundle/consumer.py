"""What a consumer of a promoted bundle uses: load it, ask it.

    bundle = Bundle.load("s3://models/channels/prod.json", public_key="signing.pub.pem")
    for answer in bundle.decide(["street.jpg"]):
        print(answer.answer, answer.label, answer.probability)

Shapes: N images, S = image_size.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stage1.bundle.answers import Answer, answers
from stage1.bundle.keys import KeySource
from stage1.bundle.manifest import Manifest
from stage1.bundle.network import Network
from stage1.bundle.reference import Reference
from stage1.bundle.signing import SignatureState
from stage1.bundle.verification import Verified, rejecting, verify
from stage1.errors import BadImage, BadInput, BundleRejected
from stage1.policy import ExitPolicy, PolicyName

ImageSource = str | Path | bytes | Image.Image | NDArray[np.uint8]

_TOLERANCE = 1e-3


class Bundle:
    """A verified bundle, ready to decide. Offline after load; `decide` may be called from any number of threads."""

    def __init__(self, verified: Verified) -> None:
        """Build the session and reproduce the canaries.

        Raises:
            BundleRejected: The model cannot be run, or does not say here what it said where it was made.
        """
        self._verified = verified
        self._network = Network(verified.model)
        self._check_canaries()

    @classmethod
    def load(
        cls,
        uri: str | Path,
        public_key: KeySource | None = None,
        *,
        min_sequence: int = 0,
        cache: str | Path | None = None,
    ) -> Self:
        """Verify the bundle at `uri`, build its session from the verified bytes, and reproduce its canaries.

        Args:
            uri, public_key, min_sequence, cache: As in `verify`.

        Raises:
            BundleRejected: For whatever is wrong, with the first reason.
        """
        verified = verify(uri, public_key, min_sequence=min_sequence, cache=cache)
        with rejecting(f"bundle {uri}"):
            return cls(verified)

    @property
    def manifest(self) -> Manifest:
        """bundle.json."""
        return self._verified.manifest

    @property
    def digest(self) -> str:
        """The bundle's identity."""
        return self._verified.digest

    @property
    def signature(self) -> SignatureState:
        """Whether a given key signed it: "verified"; "unchecked" where no key was given; "absent"."""
        return self._verified.signature

    @property
    def policy(self) -> ExitPolicy:
        """The policy that decides."""
        return self._verified.policy

    @property
    def reference(self) -> Reference | None:
        """How its answers were spread over val_test, where the bundle says so."""
        return self._verified.reference

    @property
    def policy_name(self) -> PolicyName:
        """softmax, gate or scrc."""
        return self._verified.policy.name

    def decide(self, images: Iterable[ImageSource], *, batch_size: int = 32) -> list[Answer]:
        """Return one answer an image, in order.

        An image for which the model gives no finite number is deferred. onnxruntime sums in another order in another
        batch, which moves a probability by about 1e-6; with batch_size=1 an image's answer is the same to the bit
        whatever is beside it.

        Args:
            images: Paths, bytes of image files, Pillow images, or arrays uint8 [H,W,3] RGB.
            batch_size: Images that go through the model together, at least 1.

        Raises:
            BadImage: One cannot be decoded; the message says which.
            BadInput: `images` is one image instead of several, or the batch size is below 1.
        """
        return self._answers(*self.score(images, batch_size=batch_size))

    def score(
        self, images: Iterable[ImageSource], *, batch_size: int = 32
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the model's logits [N,2] and gate logit [N], before the policy; arguments and errors as for decide."""
        if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
            raise BadInput(f"Need a list of images, got one {type(images).__name__}. Put it into a list: [image].")
        if batch_size < 1:
            raise BadInput(f"Need a batch size of at least 1, got {batch_size}.")
        parts = [self._network(batch_NSS3) for batch_NSS3 in self._batches(images, batch_size)]
        if not parts:
            return np.empty((0, 2)), np.empty(0)
        return np.concatenate([logits for logits, _ in parts]), np.concatenate([gate for _, gate in parts])

    def _batches(self, images: Iterable[ImageSource], size: int) -> Iterator[NDArray[np.uint8]]:
        loaded = (self._load(index, image) for index, image in enumerate(images))
        while batch := list(islice(loaded, size)):
            yield np.stack(batch)

    def _load(self, index: int, image: ImageSource) -> NDArray[np.uint8]:
        try:
            return self._verified.preprocessing.load(Path(image) if isinstance(image, str) else image)
        except BadImage as error:
            raise BadImage(f"Image {index}: {error}", error.reason) from error

    def _answers(self, logits_N2: NDArray[np.float64], gate_N: NDArray[np.float64]) -> list[Answer]:
        return answers(self._verified.policy, self.manifest.classes, logits_N2, gate_N)

    def _check_canaries(self) -> None:
        canaries = self._verified.canaries
        images_NSS3 = np.stack([self._load(index, canary.image) for index, canary in enumerate(canaries)])
        logits_N2, gate_N = self._network(images_NSS3)
        recorded_N3 = np.array([(*canary.logits, canary.gate) for canary in canaries])
        found_N3 = np.column_stack([logits_N2, gate_N])
        if not np.allclose(found_N3, recorded_N3, rtol=_TOLERANCE, atol=_TOLERANCE):
            worst = np.nanmax(np.abs(found_N3 - recorded_N3)) if np.isfinite(found_N3).any() else np.nan
            raise BundleRejected(
                f"The model does not reproduce the canary images: logits are off by up to {worst:.3g}, "
                f"{_TOLERANCE:g} is tolerated."
            )
        for index, (canary, found) in enumerate(zip(canaries, self._answers(logits_N2, gate_N), strict=True)):
            if (found.answer, found.label) != (canary.answer, canary.label):
                raise BundleRejected(
                    f"The policy answers canary {index} with {found.answer} {found.label}, recorded is {canary.answer} "
                    f"{canary.label}."
                )
