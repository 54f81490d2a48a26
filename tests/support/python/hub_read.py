"""Reads a repository as programs do, by its hub id, and prints what came: JSON with a path and a sha256 for each file.

    hub_read.py file     ID [--revision R] [--type dataset] PATH...    hf_hub_download of each path
    hub_read.py snapshot ID [--revision R] [--type dataset]            snapshot_download
    hub_read.py tokens   ID [--revision R] [--text T]                  AutoTokenizer.from_pretrained

Where the cache is, which endpoint is asked and whether anything may be asked at all is the caller's environment.
"""

import argparse
import hashlib
import json
import pathlib

import huggingface_hub


def described(path):
    with open(path, "rb") as file:
        return {"path": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def files(arguments):
    options = {"revision": arguments.revision, "repo_type": arguments.type}
    return {path: described(huggingface_hub.hf_hub_download(arguments.id, path, **options)) for path in arguments.paths}


def snapshot(arguments):
    folder = pathlib.Path(
        huggingface_hub.snapshot_download(arguments.id, revision=arguments.revision, repo_type=arguments.type)
    )
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): described(path) for path in found}


def tokens(arguments):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(arguments.id, revision=arguments.revision or "main")
    return {"ids": tokenizer(arguments.text)["input_ids"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["file", "snapshot", "tokens"])
    parser.add_argument("id")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--revision")
    parser.add_argument("--type")
    parser.add_argument("--text", default="models in a project")
    arguments = parser.parse_intermixed_args()
    result = {"version": huggingface_hub.__version__}
    if arguments.mode == "tokens":
        result |= tokens(arguments)
    else:
        result["files"] = files(arguments) if arguments.mode == "file" else snapshot(arguments)
    print(json.dumps(result))


main()
