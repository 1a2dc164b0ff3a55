"""What an image measure promises: a finite number for each image, whatever stands beside it."""

from __future__ import annotations

import torch

from limbeck.testing.suite import Subject, require
from limbeck_example.measures import ImageMeasure

BASE = ImageMeasure


def measures_each_image_by_itself(subject: Subject) -> None:
    """It gives one finite number for each image, which does not depend on the others."""
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = subject.make().measure(images)
    require(found.shape == (5,), f"{list(found.shape)} for 5 images")
    require(bool(found.isfinite().all()), "some are infinite or NaN")
    alone = torch.cat([subject.make().measure(images[i : i + 1]) for i in range(5)])
    require(torch.allclose(found, alone), "other numbers than for each image alone")


CHECKS = (measures_each_image_by_itself,)
