#!/usr/bin/env python3
"""Publishes the demo packages into registry-index/ from nothing: new keys only where there are none.

    python3 registry-index/make/build.py --mpm target/release/mpm

Needs numpy, pip's access to a package index (for the wheel that carries the digits, unless target/demo/wheels has it)
and stock minisign. The registry is built in target/demo/registry; when all of it is there and checked, everything in
registry-index/ but this folder is replaced by it. Statements carry no time, so a build with
the same keys and the same numpy gives the same release statements; logs and the checkpoint carry the time of the build.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import builtin_table

HERE = Path(__file__).resolve().parent
PUBLISHED = HERE.parent
TREE = PUBLISHED.parent
KEYS = HERE / "keys"
WORK = TREE / "target/demo"
REGISTRY = WORK / "registry"
WHEEL = "scikit-learn==1.9.1"
MAIN, INDEX, RECOVERY = (KEYS / f"DEMO-{name}.key" for name in ("main", "index", "recovery"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpm", type=Path, default=TREE / "target/release/mpm")
    mpm = Mpm(parser.parse_args().mpm.resolve())
    wheels = fetch_wheel()
    for key in (MAIN, INDEX, RECOVERY):
        if not key.exists():
            mpm.run("key", "new", "--no-password", "--output", key)
    shutil.rmtree(REGISTRY, ignore_errors=True)
    init = ["--id", "mpm-demo", "--namespace", "demo", "--demo", "--freshness", "none"]
    mpm.run("index", "init", REGISTRY, *init, "--main-key", MAIN, "--index-key", INDEX, "--recovery-key", RECOVERY)
    root = hashlib.sha256((REGISTRY / builtin_table.FIRST_ROOT).read_bytes()).hexdigest()
    packages = WORK / "packages"
    subprocess.run([sys.executable, HERE / "make.py", wheels, "--out", packages, "--index", REGISTRY, "--root", root], check=True)  # fmt: skip
    for name in ("digits/1.0.0", "digits-mlp/0.9.0", "digits-mlp/1.0.0", "digits-mlp/1.1.0", "digits-lora/1.0.0"):
        publish(mpm, packages / name)
    facts = json.loads((packages / "facts.json").read_text())
    yank("demo/digits-mlp", "0.9.0", facts["digits-mlp 0.9.0"]["yank-reason"])
    mpm.run("index", "checkpoint", REGISTRY, "--key", INDEX)
    check_signatures()
    replace_published()
    builtin_table.TABLE.write_text(builtin_table.render())


class Mpm:
    """The binary, with a home of its own so that the builder's configuration and trust state stay out."""

    def __init__(self, binary):
        self.binary = binary
        self.home = tempfile.TemporaryDirectory()

    def run(self, *words):
        keep = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        command = [str(word) for word in (self.binary, *words)]
        print("+", *command, flush=True)
        subprocess.run(command, check=True, env={**keep, "HOME": self.home.name}, stdin=subprocess.DEVNULL)


def fetch_wheel():
    wheels = WORK / "wheels"
    if not list(wheels.glob("scikit_learn-1.9.1-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "--dest", wheels, WHEEL], check=True)
    return wheels


def replace_published():
    for path in PUBLISHED.iterdir():
        if path != HERE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Blobs are read-only where they were made; a tree under git wants plain modes.
    leases = shutil.ignore_patterns(".mpm-lease*")
    shutil.copytree(REGISTRY, PUBLISHED, dirs_exist_ok=True, ignore=leases, copy_function=shutil.copyfile)


def publish(mpm, folder):
    """Inputs are locked first, so that the statement can record them at their exact releases."""
    if folder.parent.name != "digits":
        mpm.run("-C", folder, "lock")
    mpm.run("-C", folder, "publish", "--registry", REGISTRY, "--key", MAIN)
    mpm.run("index", "checkpoint", REGISTRY, "--key", INDEX)


def yank(package, version, reason):
    """Writes and signs a yank record with stock minisign: a record is an ordinary file with an ordinary signature."""
    log = [json.loads(line) for line in (REGISTRY / f"packages/{package}.jsonl").read_text().splitlines()]
    statement = next(line["statement"]["sha256"] for line in log if line["event"] == "release" and line["version"] == version)
    record = {
        "type": "mpm.yank/1",
        "registry": "mpm-demo",
        "package": package,
        "version": version,
        "statement": statement,
        "action": "yank",
        "reason": reason,
        "severity": "broken",
        "counter": 1,
    }
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    file = REGISTRY / f"yanks/{hashlib.sha256(text).hexdigest()}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text)
    signature = file.with_name(f"{file.name}.{fingerprint(public_key(MAIN))[:16]}.minisig")
    words = ["minisign", "-S", "-W", "-s", MAIN, "-m", file, "-x", signature, "-t", "mpm-demo yank"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def check_signatures():
    """Every signature in the registry passes the stock tool."""
    keys = {fingerprint(public_key(key))[:16]: public_key(key) for key in sorted(KEYS.glob("*.key"))}
    signatures = list(REGISTRY.rglob("*.minisig"))
    for signature in sorted(signatures):
        file, short, _ = signature.name.rsplit(".", 2)
        words = ["minisign", "-V", "-q", "-H", "-P", keys[short], "-x", signature, "-m", signature.with_name(file)]
        subprocess.run(words, check=True)
    print(f"{len(signatures)} signatures pass minisign -V -H")


def public_key(secret):
    """The base64 line of the public key file beside a secret key."""
    return secret.with_name(f"{secret.name}.pub").read_text().splitlines()[1]


def fingerprint(public):
    return hashlib.sha256(base64.b64decode(public)[10:]).hexdigest()


if __name__ == "__main__":
    main()
