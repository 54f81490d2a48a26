"""Content of benchmarks: what its name says, pseudo-random, the same every time, made quickly."""

import json
import os
import random

PIECE = 1 << 20
ROOM = 160


def write(path, size, seed=None):
    """A file of this size: tensors where the name says safetensors, columns of hex digits otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        tensors(path, size, seed or path.name)
    else:
        with path.open("wb") as file:
            file.write(columns(size, seed or path.name))


def columns(size, seed):
    digits = random.Random(seed).randbytes(size // 2 + 1).hex().encode()
    rows = (digits[at : at + 63] for at in range(0, len(digits), 63))
    return (b"\n".join(rows) + b"\n")[:size]


def tensors(path, size, seed, inserted=0):
    """Many tensors: matrices with small vectors between. `inserted` bytes more stand in the middle of one of them."""
    plan = layout(size)
    data = sum(length for _, length in plan)
    middle, at, before = len(plan) // 3, 0, 0
    if inserted:
        before = sum(length for _, length in plan[:middle])
        at = before + plan[middle][1] // 2 + 1
        name, length = plan[middle]
        plan[middle] = (name, length + inserted)
    with path.open("wb") as file:
        file.write(header(plan, size - data - 8))
        if inserted:
            for piece in pieces(seed, 0, at):
                file.write(piece)
            file.write(random.Random(f"{seed} inserted").randbytes(inserted))
        for piece in pieces(seed, at, data):
            file.write(piece)


def layout(size):
    """Names and lengths that fill a file of this size, its header included."""
    large = min(32 * PIECE, max(8192, size // 64 // 8192 * 8192))
    small = min(8192, large // 4)
    count = 2 * max(1, size // (large + small)) + 2
    left = size - 8 - (count * ROOM + 127) // 128 * 128
    plan = []
    while left > 0 and len(plan) < count - 1:
        length = min(left, small if len(plan) % 2 else large)
        plan.append((f"model.layers.{len(plan) // 2}.{'norm' if len(plan) % 2 else 'projection'}.weight", length))
        left -= length
    if left > 0:
        plan.append(("lm_head.weight", left))
    return plan


def header(plan, length):
    """Eight bytes of length, then the table, filled up with spaces."""
    table, at = {}, 0
    for name, size in plan:
        kind, shape = ("BF16", [size // 8192, 4096]) if size % 8192 == 0 else ("U8", [size])
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(table, separators=(",", ":")).encode()
    if len(text) > length:
        raise ValueError(f"a header of {len(text)} bytes does not fit into {length}")
    return length.to_bytes(8, "little") + text.ljust(length)


def pieces(seed, begin, end):
    """The bytes from `begin` to `end` of an endless stream that `seed` names."""
    while begin < end:
        number, inside = divmod(begin, PIECE)
        piece = random.Random(f"{seed} {number}").randbytes(PIECE)[inside : inside + end - begin]
        yield piece
        begin += len(piece)


def change(path, places, length):
    """Other bytes in so many places, evenly spread, behind the header."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        first = 8 + int.from_bytes(file.read(8), "little")
        for number in range(places):
            room = (size - first) // places
            at = first + number * room + random.Random(number).randrange(max(1, room - length))
            os.pwrite(file.fileno(), random.Random(f"changed {number}").randbytes(length), at)


def spoil(path, every, offset):
    """One other byte at `offset` of every so many bytes."""
    with path.open("r+b") as file:
        for at in range(offset, path.stat().st_size, every):
            os.pwrite(file.fileno(), bytes([os.pread(file.fileno(), 1, at)[0] ^ 0x55]), at)
