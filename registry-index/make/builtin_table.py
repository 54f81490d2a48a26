#!/usr/bin/env python3
"""Writes src/index/builtin_table.rs: the files of registry-index/, this folder excepted, as they are compiled in.

    python3 registry-index/make/builtin_table.py          writes it
    python3 registry-index/make/builtin_table.py --check  exits 1 if it is not what would be written
"""

import hashlib
import sys
from pathlib import Path

REGISTRY = Path(__file__).resolve().parent.parent
TABLE = REGISTRY.parent / "src/index/builtin_table.rs"
FIRST_ROOT = "trust/root/1.json"


def render():
    paths = (path.relative_to(REGISTRY).as_posix() for path in REGISTRY.rglob("*") if path.is_file())
    kept = sorted(path for path in paths if not path.startswith("make/"))
    root = hashlib.sha256((REGISTRY / FIRST_ROOT).read_bytes()).hexdigest()
    lines = "".join(f'    ("{path}", include_bytes!("../../registry-index/{path}")),\n' for path in kept)
    return (
        "//! The files of `registry-index/`, compiled in. Written by registry-index/make/builtin_table.py; tests/tidy.rs\n"
        "//! compares it with the folder.\n\n"
        "/// Digest of the first root: the identity of the registry.\n"
        f'pub(super) const ROOT: &str = "{root}";\n\n'
        "/// Path and bytes of each file, sorted by path.\n"
        "#[rustfmt::skip]\n"
        f"pub(super) static FILES: &[(&str, &[u8])] = &[\n{lines}];\n"
    )


if __name__ == "__main__":
    wanted = render()
    if "--check" in sys.argv[1:]:
        same = TABLE.is_file() and TABLE.read_text() == wanted
        sys.exit(0 if same else f"{TABLE.name} is not what this program writes: run it without --check")
    TABLE.write_text(wanted)
    print(f"{TABLE}: {wanted.count('include_bytes!')} files")
