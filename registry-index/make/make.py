#!/usr/bin/env python3
"""Makes the demo packages: data split, models trained, cards written with what was measured.

    python3 make.py WHEEL-OR-FOLDER [--out FOLDER] [--index FOLDER --root HEX]

WHEEL-OR-FOLDER holds scikit-learn 1.9.1's wheel, which carries the digits. With --index and --root the publishers'
Model.toml files name the registry that the packages are published to. Needs numpy alone.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

import cards
import digits
import network
import tensors

RIGHT, WRONG = 16, 255
VERSIONS = {
    "0.9.0": {"hidden": 32, "epochs": 20, "seed": 1},
    "1.0.0": {"hidden": 32, "epochs": 30, "seed": 1},
    "1.1.0": {"hidden": 64, "epochs": 120, "seed": 1, "decay": 1e-4, "shift": True},
}
ADAPTER = {"rank": 4, "epochs": 120, "seed": 3}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path("target/demo/packages"))
    parser.add_argument("--index", default="")
    parser.add_argument("--root", default="")
    arguments = parser.parse_args()
    if arguments.out.exists():
        shutil.rmtree(arguments.out)
    registry = cards.REGISTRY_TABLE.format(index=arguments.index, root=arguments.root) if arguments.root else ""
    facts = make(find_wheel(arguments.wheel), arguments.out, registry)
    (arguments.out / "facts.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    print(json.dumps(facts, indent=2, sort_keys=True))


def find_wheel(place):
    if place.is_file():
        return place
    found = sorted(place.glob("scikit_learn-1.9.1-*.whl"))
    if not found:
        raise SystemExit(f"{place}: no wheel of scikit-learn 1.9.1 (pip download --no-deps scikit-learn==1.9.1)")
    return found[0]


def make(wheel, out, registry):
    train, test = digits.split(*digits.load(wheel))
    make_dataset(out / "digits/1.0.0", train, test, registry)
    facts, models = {}, {}
    for version, recipe in VERSIONS.items():
        folder = out / "digits-mlp" / version
        models[version], facts[f"digits-mlp {version}"] = make_model(folder, version, recipe, train, test, registry)
    facts["digits-lora 1.0.0"] = make_adapter(out / "digits-lora/1.0.0", models["1.0.0"], train, test, registry)
    return facts


def make_dataset(folder, train, test, registry):
    files = started(folder, cards.DATASET_MANIFEST.format(version="1.0.0") + registry)
    digits.write(files / "train.csv", *train)
    digits.write(files / "test.csv", *test)
    counts = {"train": f"{len(train[1]):,}", "test": len(test[1])}
    card = cards.DATASET_CARD.format(member=digits.MEMBER, sha256=digits.SHA256, **counts)
    (files / "README.md").write_text(card)


def make_model(folder, version, recipe, train, test, registry):
    """One version with both variants; returns its float32 weights and what was measured."""
    weights = network.train(*train, scale=1 / RIGHT, **recipe)
    divisor = WRONG if version == "0.9.0" else RIGHT
    variants = {"f32": weights, "int8": network.quantised(weights)}
    pixels, labels = test
    files = started(folder, cards.MODEL_MANIFEST.format(version=version) + registry)
    measured = {}
    for name, arrays in variants.items():
        (files / name).mkdir()
        about = {"package": f"demo/digits-mlp {version}", "variant": name}
        tensors.write(files / name / "model.safetensors", arrays, about)
        usable = network.restored(arrays)
        measured[name] = network.correct(usable, single(pixels / divisor), labels)
        assert decided(usable, single(pixels / divisor)), "a score too close to call would differ between machines"
    could = network.correct(weights, single(pixels / RIGHT), labels)
    count = len(labels)
    facts = {"correct": measured, "of": count}
    note = ""
    if divisor != RIGHT:
        numbers = {"wrong": WRONG, "right": RIGHT, "could": could, "count": count}
        note = cards.MISTAKE_NOTE.format(**numbers)
        facts["yank-reason"] = cards.YANK_REASON.format(correct=measured["f32"], **numbers)
    config = {
        "type": "digits-mlp",
        "activation": "tanh",
        "layers": [64, recipe["hidden"], 10],
        "pixels-divided-by": divisor,
        "labels": [str(digit) for digit in range(10)],
        "held-out": {"dataset": "demo/digits 1.0.0, test.csv", "of": count, "correct": measured},
    }
    write_json(files / "config.json", config)
    rows = "\n".join(f"| `{name}` | {right} of {count} | {right / count:.1%} |" for name, right in measured.items())
    extra = ", images moved by up to a pixel, weight decay 0.0001" if recipe.get("shift") else ""
    card = cards.MODEL_CARD.format(
        version=version, hidden=recipe["hidden"], count=count, rows=rows, note=note,
        seed=recipe["seed"], epochs=recipe["epochs"], extra=extra,
    )  # fmt: skip
    (files / "README.md").write_text(card)
    return weights, facts


def make_adapter(folder, weights, train, test, registry):
    files = started(folder, cards.ADAPTER_MANIFEST.format(version="1.0.0") + registry)
    adapter = network.train_adapter(weights, turned(train[0]) / RIGHT, train[1], **ADAPTER)
    tensors.write(files / "adapter.safetensors", adapter, {"package": "demo/digits-lora 1.0.0"})
    pixels, labels = test
    upright, sideways, adapted = single(pixels / RIGHT), single(turned(pixels) / RIGHT), network.adapted(weights, adapter)
    facts = {
        "alone_turned": network.correct(weights, sideways, labels),
        "alone_upright": network.correct(weights, upright, labels),
        "with_turned": network.correct(adapted, sideways, labels),
        "with_upright": network.correct(adapted, upright, labels),
    }
    assert decided(adapted, sideways), "a score too close to call would differ between machines"
    config = {
        "type": "digits-lora",
        "base-model": "demo/digits-mlp 1.0.0",
        "rank": ADAPTER["rank"],
        "input": "quarter turn counter-clockwise",
        "held-out": {"dataset": "demo/digits 1.0.0, test.csv, turned", "of": len(labels), "correct": facts["with_turned"]},
    }
    write_json(files / "adapter_config.json", config)
    numbers = {"version": "1.0.0", "count": len(labels), **ADAPTER, **facts}
    (files / "README.md").write_text(cards.ADAPTER_CARD.format(**numbers))
    return {**facts, "of": len(labels)}


def turned(pixels):
    """A quarter turn counter-clockwise."""
    return np.rot90(pixels.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)


def single(inputs):
    return inputs.astype(np.float32)


def decided(weights, inputs):
    """Whether the best score leads by more than rounding could change."""
    best = np.sort(network.logits(weights, inputs), axis=1)[:, -2:]
    return float((best[:, 1] - best[:, 0]).min()) > 1e-4


def started(folder, manifest):
    files = folder / "files"
    files.mkdir(parents=True)
    (folder / "Model.toml").write_text(manifest)
    return files


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
