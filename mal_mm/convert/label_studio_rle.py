"""Label Studio's brush masks: a bit stream of runs over the pixels' red, green, blue and alpha.

Layout (rle-pack of thi.ng/umbrella, as Label Studio's own converter reads it): 32 bits number of
values, 5 bits word size - 1, four times 4 bits run size - 1; then blocks of 1 bit (1: one value
repeated, 0: values one by one), 2 bits that choose a run size, count - 1 in so many bits, and the
value or values.
"""

from __future__ import annotations

import numpy as np

_SIZES = (3, 4, 8, 16)
_WORD = 8


def encode_brush(mask: np.ndarray) -> list[int]:
    """A mask as Label Studio's list of bytes.

    Args:
        mask: (H, W) bool.

    Returns:
        Numbers from 0 to 255; alpha and colours are 255 inside the mask.
    """
    values = np.asarray(mask, dtype=bool).ravel()
    bits = [f'{4 * values.size:032b}', f'{_WORD - 1:05b}', *(f'{s - 1:04b}' for s in _SIZES)]
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1] if values.size else False))
    lengths = np.diff(starts, append=values.size)
    for start, length in zip(starts.tolist(), (4 * lengths).tolist(), strict=True):
        word = '11111111' if values[start] else '00000000'
        while length > 0:
            count = min(length, 2 ** _SIZES[-1])
            which = next(i for i, size in enumerate(_SIZES) if count <= 2**size)
            bits.append(f'1{which:02b}{count - 1:0{_SIZES[which]}b}{word}')
            length -= count
    text = ''.join(bits)
    text += '0' * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def decode_brush(rle: object, height: int, width: int) -> np.ndarray:
    """The inverse of `encode_brush`, for any word and run sizes.

    Args:
        rle: list of bytes.
        height: of the image in pixels.
        width: likewise.

    Returns:
        (H, W) bool, where alpha is above 0.

    Raises:
        ValueError: it is damaged, or of another size.
    """
    content = bytes(rle)  # type: ignore[call-overload]
    text = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
    place = 0

    def number(bits: int) -> int:
        nonlocal place
        taken = text[place : place + bits]
        if len(taken) < bits:
            raise ValueError('the brush mask is cut short')
        place += bits
        value = 0
        for bit in taken.tolist():
            value = value << 1 | bit
        return value

    total, word = number(32), number(5) + 1
    sizes = [number(4) + 1 for _ in range(4)]
    if total != 4 * height * width:
        raise ValueError(f'the brush mask has {total} values, not 4 x {height} x {width}')
    counts: list[int] = []
    values: list[int] = []
    done = 0
    while done < total:
        repeated = number(1)
        count = number(sizes[number(2)]) + 1
        if done + count > total:
            raise ValueError('the brush mask is longer than its image')
        if repeated:
            counts.append(count)
            values.append(number(word))
        else:
            counts += [1] * count
            values += [number(word) for _ in range(count)]
        done += count
    pixels = np.repeat(np.array(values, dtype=np.int64) > 0, counts)
    return pixels.reshape(height, width, 4)[..., 3]
