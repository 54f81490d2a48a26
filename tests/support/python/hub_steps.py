"""Does what programs do with a hub, step by step in one process, and prints what came: a JSON list with an answer for each step.

    hub_steps.py < steps.json

A step is {"do": NAME, ...}; its answer is {"ok": VALUE} or {"error": CLASS, "bases": [CLASS...], "text": MESSAGE}. Where the cache
is and which endpoint is asked is the caller's environment. What the client warned of comes last.
"""

import hashlib
import json
import logging
import pathlib
import sys

import huggingface_hub
from huggingface_hub import HfApi, HfFileSystem


class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


heard = Heard()
logging.getLogger("huggingface_hub").addHandler(heard)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of(step):
    return {"revision": step.get("revision"), "repo_type": step.get("type"), "token": step.get("token")}


def file(step):
    return digest(huggingface_hub.hf_hub_download(step["id"], step["path"], **of(step)))


def snapshot(step):
    folder = pathlib.Path(huggingface_hub.snapshot_download(step["id"], **of(step)))
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {"commit": folder.name, "files": {path.relative_to(folder).as_posix(): digest(path) for path in found}}


def names(step):
    return sorted(huggingface_hub.list_repo_files(step["id"], **of(step)))


def tree(step):
    entries = HfApi().list_repo_tree(
        step["id"], step.get("path"), recursive=step.get("recursive", False), expand=step.get("expand", False), **of(step)
    )
    return [[type(entry).__name__, entry.path] for entry in entries]


def paths(step):
    entries = HfApi().get_paths_info(step["id"], step["paths"], **of(step))
    return [[type(entry).__name__, entry.path, getattr(entry, "size", None)] for entry in entries]


def refs(step):
    found = HfApi().list_repo_refs(step["id"], repo_type=step.get("type"))
    return {kind: {ref.name: ref.target_commit for ref in getattr(found, kind)} for kind in ["branches", "tags"]}


def info(step):
    found = HfApi().repo_info(step["id"], files_metadata=True, **of(step))
    files = {one.rfilename: one.lfs.sha256 for one in found.siblings}
    return {"commit": found.sha, "files": files}


def read(step):
    system = HfFileSystem()
    with system.open(step["path"], "rb") as source:
        source.seek(step.get("from", 0))
        part = source.read(step.get("count", -1))
    return hashlib.sha256(part).hexdigest()


def glob(step):
    return sorted(HfFileSystem().glob(step["path"]))


def tokens(step):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(step["id"], revision=step.get("revision") or "main")
    return tokenizer(step["text"])["input_ids"]


def config(step):
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(step["id"], revision=step.get("revision") or "main").hidden_size


def rows(step):
    import datasets

    found = datasets.load_dataset(step["id"], revision=step.get("revision"))
    return {split: found[split].to_list() for split in sorted(found)}


def large(step):
    """The wall that the client has at 50 GB, brought down so that a small file stands before it."""
    from huggingface_hub import constants

    before = constants.MAX_HTTP_DOWNLOAD_SIZE
    constants.MAX_HTTP_DOWNLOAD_SIZE = step["wall"]
    try:
        return file(step)
    finally:
        constants.MAX_HTTP_DOWNLOAD_SIZE = before


STEPS = {
    one.__name__: one
    for one in [file, snapshot, names, tree, paths, refs, info, read, glob, tokens, config, rows, large]
}


def main():
    answers = []
    for step in json.load(sys.stdin):
        try:
            answers.append({"ok": STEPS[step["do"]](step)})
        except Exception as error:
            bases = [base.__name__ for base in type(error).__mro__]
            answers.append({"error": type(error).__name__, "bases": bases, "text": str(error)})
    print(json.dumps({"version": huggingface_hub.__version__, "answers": answers, "heard": heard.lines}))


main()
