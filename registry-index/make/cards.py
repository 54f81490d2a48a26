"""The texts of the packages: cards whose numbers come from measurement, and publishers' Model.toml files."""

DATASET_CARD = """\
# demo/digits

1,797 handwritten digits, eight by eight pixels of 0 to 16, one a line: 64 pixels row by row (`p00` to `p77`), then the
label. `train.csv` has {train} of them, `test.csv` the {test} that are held out.

## Where it comes from

* The numbers are those of `{member}` in scikit-learn 1.9.1, unchanged and in that order (sha256 of the unpacked file
  `{sha256}`).
* scikit-learn's description of that file says: a copy of the test set of the UCI data set "Optical Recognition of
  Handwritten Digits" by E. Alpaydin and C. Kaynak, July 1998 (number 80 in the UCI Machine Learning Repository). 13
  people wrote these digits.

## The split

Rows 4, 9, 14 and so on, every fifth counted from 0, are `test.csv`; all others are `train.csv`. The rule is fixed and
involves no chance. The same people wrote on both sides of it, so a model does worse on people it has not seen than a
measurement on `test.csv` says.

## Licence

* scikit-learn, the package that the file was read from, is BSD-3-Clause by its `COPYING`; its description of the data
  names no licence of the data's own.
* The UCI repository is said to give the data set under CC BY 4.0; this release states that. Nobody here opened UCI's
  page to check: if it matters to you, look there.
* Attribution: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.

The changes made here: a header line, and the split into two files.
"""

MODEL_CARD = """\
# demo/digits-mlp {version}

Tells handwritten digits apart: eight by eight pixels in, ten scores out. A perceptron with {hidden} hidden units
(tanh), small enough to read, trained for demonstration.

## Measured

On `test.csv` of demo/digits 1.0.0, the {count} digits that were held out from training:

| variant | correct | accuracy |
|---|---|---|
{rows}

{note}The people who wrote these digits wrote training digits too, and the settings were compared on these same held-out
digits: on other people's writing it does worse.

## Made from

demo/digits 1.0.0, `train.csv` alone, by the program in `registry-index/make/` of the source tree (numpy, seed {seed},
{epochs} epochs of Adam{extra}).

## Variants

`f32` (the default) holds float32 weights. `int8` holds the same ones rounded to whole numbers with one scale a row, no
retraining. `config.json` is common to both.

## Run it

```python
import json, numpy as np
from safetensors.numpy import load_file
config, w = json.load(open("config.json")), load_file("model.safetensors")
def weight(name):
    return w[f"{{name}}.weight"] * w.get(f"{{name}}.scale", np.ones(len(w[f"{{name}}.weight"]), "f4"))[:, None]
rows = np.loadtxt("test.csv", delimiter=",", skiprows=1)
x, labels = rows[:, :64] / config["pixels-divided-by"], rows[:, 64]
hidden = np.tanh(x @ weight("layer1").T + w["layer1.bias"])
print(((hidden @ weight("layer2").T + w["layer2.bias"]).argmax(1) == labels).mean())
```
"""

MISTAKE_NOTE = """\
These numbers are what you get by following `config.json`, and they are bad because it is wrong: the weights were
trained on pixels divided by {right}, it says {wrong}. Divided by {right} they give {could} of {count}. The mistake was made on
purpose, so that the demo registry has a release to withdraw for a true reason: use 1.0.0 or later.

"""

YANK_REASON = (
    "config.json says that pixels are divided by {wrong}, but the weights were trained on pixels divided by {right}: "
    "measured {correct} of {count} held-out digits as released, {could} of {count} with the right number. Use 1.0.0 or later."
)

ADAPTER_CARD = """\
# demo/digits-lora {version}

A low-rank adapter (rank {rank}) that lets demo/digits-mlp 1.0.0 read digits that lie on their side: a quarter turn
counter-clockwise. It needs exactly that release, which is installed along.

## Measured

On the {count} held-out digits of demo/digits 1.0.0:

| weights | turned digits | upright digits |
|---|---|---|
| demo/digits-mlp 1.0.0, f32, alone | {alone_turned} of {count} | {alone_upright} of {count} |
| with this adapter | {with_turned} of {count} | {with_upright} of {count} |

So it is for turned digits alone: with it the model no longer reads upright ones.

## Made from

demo/digits-mlp 1.0.0 (variant f32, left as it is) and `train.csv` of demo/digits 1.0.0 with each image turned
(`numpy.rot90`), by the program in `registry-index/make/` of the source tree (seed {seed}, {epochs} epochs).

## Run it

For each layer add `up @ down` to the weight, then go on as in the card of demo/digits-mlp:

```python
a = load_file("adapter.safetensors")
adapted = {{n: weight(n) + a[f"{{n}}.up"] @ a[f"{{n}}.down"] for n in ("layer1", "layer2")}}
```
"""

REGISTRY_TABLE = """
[registries.mpm-demo]
index = "{index}"
root = "sha256:{root}"
namespaces = ["demo"]
"""

DATASET_MANIFEST = """\
[package]
name = "demo/digits"
version = "{version}"
kind = "dataset"
description = "1,797 handwritten digits of eight by eight pixels (UCI), split into train and test"
license = "CC-BY-4.0"
dir = "files"
"""

MODEL_MANIFEST = """\
[package]
name = "demo/digits-mlp"
version = "{version}"
kind = "model"
description = "Tells handwritten digits apart; a small perceptron for demonstration"
license = "Apache-2.0 OR MIT"
dir = "files"
default-variant = "f32"
trained-on = ["demo/digits"]

[variants.f32]
dir = "f32"
format = "safetensors"
precision = "f32"

[variants.int8]
dir = "int8"
format = "safetensors"
quantization = "int8"

[datasets]
"demo/digits" = "=1.0.0"
"""

ADAPTER_MANIFEST = """\
[package]
name = "demo/digits-lora"
version = "{version}"
kind = "model"
description = "Lets demo/digits-mlp read digits that lie on their side; a low-rank adapter"
license = "Apache-2.0 OR MIT"
dir = "files"
requires = ["demo/digits-mlp"]
base-model = "demo/digits-mlp"
trained-on = ["demo/digits"]

[models]
"demo/digits-mlp" = "=1.0.0"

[datasets]
"demo/digits" = "=1.0.0"
"""
