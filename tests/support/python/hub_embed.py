"""How alike sentences are, by a MiniLM sentence embedder that is loaded by its hub id: JSON with a similarity for each pair.

    hub_embed.py ID [--revision R | --folder] SENTENCE SENTENCE [SENTENCE SENTENCE]...

The forward pass of BERT in numpy: it needs config.json, tokenizer.json, 1_Pooling/config.json and model.safetensors, each
asked of the hub's client; where the cache is and whether anything may be asked at all is the caller's environment.
"""

import argparse
import json
import math

import numpy
from huggingface_hub import hf_hub_download
from safetensors.numpy import load_file
from tokenizers import Tokenizer

erf = numpy.vectorize(math.erf, otypes=[numpy.float32])


def gelu(values):
    return values * 0.5 * (1 + erf(values / math.sqrt(2)))


def softmax(values):
    powers = numpy.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


class Embedder:
    def __init__(self, id, revision, folder):
        def path(name):
            return f"{id}/{name}" if folder else hf_hub_download(id, name, revision=revision)

        def document(name):
            with open(path(name), encoding="utf-8") as file:
                return json.load(file)

        self.config = document("config.json")
        assert self.config["model_type"] == "bert" and self.config["hidden_act"] == "gelu"
        assert document("1_Pooling/config.json")["pooling_mode_mean_tokens"]
        self.tokenizer = Tokenizer.from_file(path("tokenizer.json"))
        self.tokenizer.no_padding()
        self.weights = load_file(path("model.safetensors"))

    def linear(self, name, values):
        return values @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, values):
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, values):
        heads = self.config["num_attention_heads"]

        def split(part):
            return self.linear(f"{name}.self.{part}", values).reshape(len(values), heads, -1).transpose(1, 0, 2)

        query, key, value = split("query"), split("key"), split("value")
        weights = softmax(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1]))
        mixed = (weights @ value).transpose(1, 0, 2).reshape(values.shape)
        return self.norm(f"{name}.output.LayerNorm", values + self.linear(f"{name}.output.dense", mixed))

    def embed(self, sentence):
        """The mean of all tokens' states, of length one."""
        ids = self.tokenizer.encode(sentence).ids
        table = "embeddings.{}_embeddings.weight".format
        values = self.weights[table("word")][ids] + self.weights[table("position")][: len(ids)]
        values = self.norm("embeddings.LayerNorm", values + self.weights[table("token_type")][0])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            values = self.attention(f"{name}.attention", values)
            wide = gelu(self.linear(f"{name}.intermediate.dense", values))
            values = self.norm(f"{name}.output.LayerNorm", values + self.linear(f"{name}.output.dense", wide))
        mean = values.mean(0)
        return mean / numpy.linalg.norm(mean)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("id")
    parser.add_argument("sentences", nargs="+")
    parser.add_argument("--revision")
    parser.add_argument("--folder", action="store_true", help="ID is a folder with the files")
    arguments = parser.parse_intermixed_args()
    embedder = Embedder(arguments.id, arguments.revision, arguments.folder)
    vectors = [embedder.embed(sentence) for sentence in arguments.sentences]
    pairs = zip(vectors[::2], vectors[1::2], strict=True)
    print(json.dumps({"similarities": [round(float(one @ other), 6) for one, other in pairs]}))


main()
