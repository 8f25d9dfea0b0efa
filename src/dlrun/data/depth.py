"""Pictures of more than eight bits a channel: scaled by what the file says of its range, or refused."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dlrun.errors import DataError

PNG_SIGNATURE = 8
"""Bytes before the first chunk."""

BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT = 258, 262, 281, 339
"""Tags of TIFF."""

DOUBTFUL = 16
"""A picture that uses less than this fraction of its range would be black: its range is another, most likely."""


@dataclass(frozen=True)
class Depth:
    """What a file says of the range of its values; all but `bits` where they are sixteen wide or more."""

    bits: int = 8
    """White is 2**bits - 1."""
    told: bool = True
    """False where the range is only that of the numbers the file is made of."""
    shifted: bool = False
    """Whether the file should hold its `bits` as the upper ones of 16; some that say so hold them as the lower."""
    white_is_zero: bool = False

    @classmethod
    def of(cls, image: Image.Image, path: Path) -> "Depth":
        """Of a picture that was opened and is not decoded yet."""
        tiles: Any = getattr(image, "tile", None)
        codec, _, _, arguments = tiles[0] if tiles else ("", None, 0, ())
        words = arguments if isinstance(arguments, tuple) else (arguments,)
        if image.format == "PPM":
            most = words[1] if codec.startswith("ppm") and len(words) > 1 else (65535 if image.mode == "I" else 255)
            # Pillow scales by the file's own maximum; 65535 is what every file of two bytes a value may say.
            return cls(16, told=most != 65535) if most > 255 else cls()
        wide = image.mode.startswith("I") or any(";16" in str(word) for word in words)
        if not wide:
            return cls()
        if image.format == "PNG":
            bits = _significant_bits(path)
            return cls(bits, told=True, shifted=True) if bits else cls(16, told=False)
        if image.format == "TIFF":
            return cls._of_tiff(image)
        return cls(16, told=False)

    @classmethod
    def _of_tiff(cls, image: Image.Image) -> "Depth":
        tags = image.tag_v2  # type: ignore[attr-defined]
        inverted = tags.get(PHOTOMETRIC) == 0 and image.mode.startswith("I")
        width = _first(tags.get(BITS_PER_SAMPLE, 16))
        signed = width == 16 and _first(tags.get(SAMPLE_FORMAT, 1)) == 2
        most = _first(tags.get(MAX_SAMPLE, 0))
        if width < 16:
            return cls(width, white_is_zero=inverted)
        if 255 < most < 65535 and most & (most + 1) == 0:
            return cls(int(most).bit_length(), white_is_zero=inverted)
        return cls(15 if signed else 16, told=False, white_is_zero=inverted)


def eight_bits(image: Image.Image, depth: Depth, path: Path) -> Image.Image:
    """The picture with eight bits a channel; its alpha channel too, where one 16-bit grey stands for transparent.

    Raises:
        DataError: Its values don't fit what is known of their range, or none is more than a sixteenth of it.
    """
    if image.mode == "F":
        return Image.fromarray(_of_floats(np.asarray(image), path))
    if image.mode.startswith("I"):
        return _of_integers(image, depth, path)
    if depth.bits > 8 and not (depth.bits == 16 and depth.told):
        # Pillow kept the upper eight bits of every channel.
        colours = [np.asarray(image.getchannel(band)).max() for band in image.getbands() if band != "A"]
        if 0 < max(colours) <= 256 // DOUBTFUL:
            raise _doubtful(path, int(max(colours)) * 256 + 255, 65535)
        clear = image.info.get("transparency")
        if isinstance(clear, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in clear)
    return image


def _of_integers(image: Image.Image, depth: Depth, path: Path) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    clear = values == image.info.get("transparency", -1)
    bits = _bits_of(np.where(clear, 0, values), depth, path)
    grey = (values >> (bits - 8)).clip(0, 255).astype(np.uint8)
    if depth.white_is_zero:
        grey = 255 - grey
    if not clear.any():
        return Image.fromarray(grey)
    return Image.merge("LA", [Image.fromarray(layer) for layer in (grey, np.where(clear, 0, 255).astype(np.uint8))])


def _bits_of(values: npt.NDArray[np.int64], depth: Depth, path: Path) -> int:
    """How many bits white has; from 8 to 16."""
    low, high = int(values.min()), int(values.max())
    bits = 16 if depth.shifted else depth.bits
    if depth.shifted and high < 1 << depth.bits:
        # By the book the bits below the significant ones are 0 in so dark a picture.
        if (values & ((1 << (16 - depth.bits)) - 1)).any():
            return depth.bits
        if high:
            raise _doubtful(path, high, 65535)
    if low < 0 or high >= 1 << bits:
        raise DataError(f"{path}: has values from {low} to {high}; expected 0-{(1 << bits) - 1}. Save it with 8 bits")
    if not depth.told and 0 < high < (1 << bits) // DOUBTFUL:
        raise _doubtful(path, high, (1 << bits) - 1)
    return bits


def _of_floats(values: npt.NDArray[np.float32], path: Path) -> npt.NDArray[np.uint8]:
    """Floats from 0 to 1, or from 0 to 255: there are no others that a file could mean without saying so."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return (values * 255).round().astype(np.uint8)
    if low >= 0 and 256 // DOUBTFUL <= high <= 255:
        return values.round().astype(np.uint8)
    raise DataError(
        f"{path}: has floats from {low:g} to {high:g}; expected 0-1, or 0-255 used up to {256 // DOUBTFUL} at least. "
        "Save it with 8 bits"
    )


def _doubtful(path: Path, high: int, white: int) -> DataError:
    return DataError(
        f"{path}: no value above {high} of {white}, so it would be black; is white less (12 bits)? Save it with 8 bits"
    )


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _significant_bits(path: Path) -> int:
    """What the sBIT chunk of a 16-bit PNG says, from 8 to 15 bits; else 0."""
    with path.open("rb") as file:
        file.seek(PNG_SIGNATURE)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT":
                bits = max(file.read(min(length, 4)), default=0)
                return bits if 8 <= bits < 16 else 0
            if kind in (b"IDAT", b"IEND"):
                return 0
            file.seek(length + 4, 1)
    return 0
