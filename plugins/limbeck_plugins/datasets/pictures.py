"""Image files as square bytes: shorter side resized, centre cut out, as the field prepares photographs.

The result is bit for bit that of torchvision's ``Resize(size)`` (bilinear, antialiased) and ``CenterCrop(size)``.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Names that are taken for images, in upper or lower case."""

LONGEST = 100
"""Greatest length of a longer side, in shorter sides: a resized hair would fill the memory."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # nothing that starts another program
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(Exception):
    """A file that is no usable image; the text says why."""


def read_picture(path: Path, size: int, channels: int) -> Tensor:
    """Read one image file as uint8 [channels, size, size].

    Photographs are turned upright as their EXIF says, transparency is laid over white, palettes and CMYK become RGB.

    Args:
        path: the file.
        size: side of the result.
        channels: 1 for grey, 3 for RGB.

    Raises:
        Unreadable: it is no image, is cut off or too large, moves, or has more than 8 bits a channel.
    """
    if not path.is_file():
        raise Unreadable("is no file, or leads to none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd but harmless metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as image:
                _check(image)
                picture = _square(_plain(_upright(image), channels), size)
    except Unreadable:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable(f"has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except UnidentifiedImageError:
        raise Unreadable("is no image that can be read") from None
    except Exception as error:  # readers of damaged files raise nearly anything
        raise Unreadable(" ".join(str(error).split()) or type(error).__name__) from None
    pixels = torch.from_numpy(np.array(picture))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return what this Pillow can read of the formats allowed."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a photograph of several views, the first of which is the picture
        raise Unreadable(f"holds {frames} pictures (animated, or several pages)")
    if image.mode not in _MODES:
        raise Unreadable(f"has more than 8 bits a channel or odd channels (PIL mode {image.mode})")
    if max(image.size) > LONGEST * min(image.size):
        raise Unreadable(f"is {image.width}x{image.height}, one side more than {LONGEST} times the other")


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Return an image without palette and transparency, in the channels asked for."""
    if "A" in image.mode or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return image.convert("L" if channels == 1 else "RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))
