"""Writes and reads safetensors by hand: 8 bytes of little-endian length, a JSON header padded to 8, the data."""

import json

import numpy as np

WORDS = {"float32": "F32", "int8": "I8"}


def write(path, arrays, metadata):
    """Writes named arrays in name order; metadata is a flat mapping of text to text."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = np.ascontiguousarray(arrays[name])
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": WORDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
