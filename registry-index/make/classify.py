#!/usr/bin/env python3
"""Classifies digits with placed models and says how many are right. Needs numpy and safetensors.

    python3 classify.py MODEL-FOLDER TEST.csv [--adapter FOLDER] [--turned]

MODEL-FOLDER holds config.json and model.safetensors of demo/digits-mlp, either variant. --adapter adds the placed
demo/digits-lora; --turned gives each image a quarter turn counter-clockwise first.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--turned", action="store_true")
    arguments = parser.parse_args()

    config = json.loads((arguments.model / "config.json").read_text())
    found = load_file(arguments.model / "model.safetensors")
    adapter = load_file(arguments.adapter / "adapter.safetensors") if arguments.adapter else {}

    def layer(name, inputs):
        weight = found[f"{name}.weight"].astype(np.float32)
        if f"{name}.scale" in found:
            weight = weight * found[f"{name}.scale"][:, None]
        if adapter:
            weight = weight + adapter[f"{name}.up"] @ adapter[f"{name}.down"]
        return inputs @ weight.T + found[f"{name}.bias"]

    table = np.loadtxt(arguments.test, delimiter=",", skiprows=1)
    pixels, labels = table[:, :64], table[:, 64]
    if arguments.turned:
        pixels = np.rot90(pixels.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    inputs = (pixels / config["pixels-divided-by"]).astype(np.float32)
    guesses = layer("layer2", np.tanh(layer("layer1", inputs))).argmax(axis=1)
    right = int((guesses == labels).sum())
    print(f"{right} of {len(labels)} correct, accuracy {right / len(labels):.4f}")


if __name__ == "__main__":
    main()
