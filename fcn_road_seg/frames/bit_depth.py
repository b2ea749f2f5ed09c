"""Pictures of 10, 12 or 14 bits in 16-bit containers, whose unused high bits make them almost black."""

from collections.abc import Callable

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)


class BitDepth:
    """The number of bits that the 16-bit samples of one camera use, as far as its frames have shown.

    It is the smallest of `DEPTHS` that holds the largest value seen so far. It only grows, so that the brightness does
    not change between a dark and a bright frame.

    Args:
        note: called with a sentence when the number of bits was seen or has grown.
    """

    def __init__(self, note: Callable[[str], object] = lambda sentence: None):
        self._note = note
        self._bits = 0

    def to_8_bits(self, samples: np.ndarray) -> np.ndarray:
        """The 8 highest of the bits in use: uint16 of any shape and byte order -> uint8."""
        largest = int(samples.max())
        bits = next(depth for depth in DEPTHS if largest < 1 << depth)
        if bits > self._bits:
            self._bits = bits
            self._note(
                f"16-bit images with values of {bits} bits (the largest is {largest}): {(1 << bits) - 1} is white"
            )
        return (samples >> (self._bits - 8)).astype(np.uint8)
