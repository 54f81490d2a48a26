"""Cuts as docs/formats/chunk-index.md says, written from that page alone: prints the cases of cuts.json with their lengths."""

import hashlib
import json
import math
import sys

ROWS = (".arrow", ".csv", ".feather", ".json", ".jsonl", ".md", ".ndjson", ".parquet", ".tsv", ".txt")


def content(size):
    out = bytearray()
    for i in range((size + 31) // 32):
        if i // 8192 % 4 == 3:
            out += bytes(32)
        else:
            out += hashlib.sha256(b"mpm.bytes/1" + i.to_bytes(8, "little")).digest()
    return bytes(out[:size])


def average_of(path, size):
    average = (64 if path.lower().endswith(ROWS) else 128) * 1024
    while math.ceil(size / average) > 196608:
        average *= 2
    return average


GEAR = [int.from_bytes(hashlib.sha256(b"mpm.gear/1" + bytes([b])).digest()[:8], "little") for b in range(256)]


def segments(size, smallest, borders):
    last = 0
    for border in sorted(borders):
        if border - last >= smallest and size - border >= smallest:
            yield last, border
            last = border
    yield last, size


def cut(data, average, borders):
    smallest, largest = average // 4, min(average * 4, 8 << 20)
    bits = average.bit_length() - 1
    lengths = []
    for begin, e in segments(len(data), smallest, borders):
        s, h = begin, 0
        for p in range(begin + 1, e + 1):
            n = p - s
            h = (h * 2 + GEAR[data[p - 1]]) % 2**64
            k = bits + 1 if n < average else bits - 1
            found = n >= smallest and e - p >= smallest and h >> (64 - k) == 0
            if p == e or n == largest or found:
                lengths.append(n)
                s, h = p, 0
    return lengths


cases = json.load(open(sys.argv[1]))
for case in cases:
    case["average"] = average_of(case["path"], case["size"])
    case["lengths"] = cut(content(case["size"]), case["average"], case["borders"])
print(json.dumps(cases, sort_keys=True, separators=(",", ":")))
