"""What a strategy may keep, in bytes, and how many images that is."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.synthetic.sets import BYTES_PER_NUMBER, Storage


def image_bytes(spec: DataSpec, storage: Storage = "uint8", soft: int = 0) -> int:
    """Return what one stored image and its label take.

    Args:
        spec: of the images.
        storage: number format of the pixels.
        soft: numbers of a soft label, 0 for a class; kept in ``storage`` but never below float16.
    """
    channels, height, width = spec.shape
    size = BYTES_PER_NUMBER[storage]
    label = max(size, 2) * soft if soft else (1 if spec.num_classes <= 256 else 2)
    return channels * height * width * size + label


@dataclass(frozen=True)
class Budget:
    """What may be kept of the past, the same for every strategy.

    Attributes:
        per_class: bytes for each class of the whole stream.
        classes: classes of the whole stream (of a domain-incremental one: classes times experiences).
        grows: whether a memory may hold ``per_class`` for each class seen so far, and not more; else it may hold all
            of it from the start, and the share of each class shrinks.
    """

    per_class: int
    classes: int
    grows: bool = True

    @classmethod
    def of_images(cls, images: int, spec: DataSpec, classes: int, grows: bool = True) -> Budget:
        """Return the bytes of ``images`` real images a class, kept as uint8 with their labels."""
        return cls(images * image_bytes(spec), classes, grows)

    @property
    def total(self) -> int:
        """Bytes at the end of the stream."""
        return self.per_class * self.classes

    def allowed(self, seen: int) -> int:
        """Return the bytes that may be kept when ``seen`` classes have been seen."""
        return self.per_class * seen if self.grows else self.total

    def a_class(self, seen: int) -> int:
        """Return the bytes of each class when ``seen`` classes share what is allowed."""
        return self.allowed(seen) // seen

    def images(self, seen: int, cost: int) -> int:
        """Return how many images of ``cost`` bytes each may be kept in all, at least one a class seen.

        Raises:
            UsageError: not one image of each class fits.
        """
        found = self.allowed(seen) // cost
        if found < seen:
            raise UsageError(
                f"the memory may hold {self.allowed(seen):,} bytes, but one image of each of {seen} classes takes "
                f"{seen * cost:,} with what is kept beside it. Allow more, for example --images 10."
            )
        return found
