"""A small perceptron in numpy: training, quantisation, a low-rank adapter. Every random choice comes from a given seed."""

import numpy as np


def logits(weights, inputs):
    """Two layers: tanh in between."""
    hidden = np.tanh(inputs @ weights["layer1.weight"].T + weights["layer1.bias"])
    return hidden @ weights["layer2.weight"].T + weights["layer2.bias"]


def correct(weights, inputs, labels):
    return int((logits(weights, inputs).argmax(axis=1) == labels).sum())


def shifted(pixels, random):
    """Each image moved by at most one pixel up, down, left or right."""
    images = np.pad(pixels.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    rows, columns = random.integers(0, 3, (2, len(images)))
    view = np.lib.stride_tricks.sliding_window_view(images, (8, 8), axis=(1, 2))
    return view[np.arange(len(images)), rows, columns].reshape(-1, 64)


def train(pixels, labels, *, hidden, epochs, scale, seed, rate=0.01, decay=0.0, shift=False):
    """Trains from nothing with Adam on batches of 64; returns float32 weights."""
    random = np.random.default_rng(seed)
    weights = {
        "layer1.weight": random.normal(0, 64**-0.5, (hidden, 64)),
        "layer1.bias": np.zeros(hidden),
        "layer2.weight": random.normal(0, hidden**-0.5, (10, hidden)),
        "layer2.bias": np.zeros(10),
    }
    adam = Adam(weights)
    for epoch in range(epochs):
        images = shifted(pixels, random) if shift and epoch % 2 else pixels
        step = rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        for batch in batches(len(labels), random):
            gradients, _ = backward(weights, images[batch] * scale, labels[batch])
            for name in ("layer1.weight", "layer2.weight"):
                gradients[name] += decay * weights[name]
            adam.move(weights, gradients, step)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def train_adapter(weights, inputs, labels, *, rank, epochs, seed, rate=0.01):
    """Trains `up @ down` beside each weight matrix; the weights themselves stay as they are."""
    random = np.random.default_rng(seed)
    adapter = {}
    for layer in ("layer1", "layer2"):
        rows, columns = weights[f"{layer}.weight"].shape
        adapter[f"{layer}.down"] = random.normal(0, columns**-0.5, (rank, columns))
        adapter[f"{layer}.up"] = np.zeros((rows, rank))
    adam = Adam(adapter)
    for epoch in range(epochs):
        step = rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        for batch in batches(len(labels), random):
            whole, _ = backward(adapted(weights, adapter), inputs[batch], labels[batch])
            gradients = {}
            for layer in ("layer1", "layer2"):
                outer = whole[f"{layer}.weight"]
                gradients[f"{layer}.down"] = adapter[f"{layer}.up"].T @ outer
                gradients[f"{layer}.up"] = outer @ adapter[f"{layer}.down"].T
            adam.move(adapter, gradients, step)
    return {name: array.astype(np.float32) for name, array in adapter.items()}


def adapted(weights, adapter):
    """The weights with the adapter added."""
    result = dict(weights)
    for layer in ("layer1", "layer2"):
        result[f"{layer}.weight"] = weights[f"{layer}.weight"] + adapter[f"{layer}.up"] @ adapter[f"{layer}.down"]
    return result


def quantised(weights):
    """int8, symmetric, one scale a row; biases stay float32."""
    result = {}
    for name, array in weights.items():
        if not name.endswith(".weight"):
            result[name] = array
            continue
        scale = (np.abs(array).max(axis=1) / 127).astype(np.float32)
        result[name] = np.clip(np.rint(array / scale[:, None]), -127, 127).astype(np.int8)
        result[name.replace(".weight", ".scale")] = scale
    return result


def restored(tensors):
    """float32 weights from either variant."""
    result = {}
    for name, array in tensors.items():
        if name.endswith(".weight"):
            scale = tensors.get(name.replace(".weight", ".scale"), np.ones(len(array), np.float32))
            result[name] = array.astype(np.float32) * scale[:, None]
        elif name.endswith(".bias"):
            result[name] = array
    return result


def batches(count, random, size=64):
    order = random.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))


def backward(weights, inputs, labels):
    """Gradients of the mean cross-entropy, and its value."""
    hidden = np.tanh(inputs @ weights["layer1.weight"].T + weights["layer1.bias"])
    scores = hidden @ weights["layer2.weight"].T + weights["layer2.bias"]
    scores = scores - scores.max(axis=1, keepdims=True)
    likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(likely[rows, labels] + 1e-12).mean()
    likely[rows, labels] -= 1
    likely /= len(labels)
    inner = (likely @ weights["layer2.weight"]) * (1 - hidden**2)
    return {
        "layer2.weight": likely.T @ hidden,
        "layer2.bias": likely.sum(axis=0),
        "layer1.weight": inner.T @ inputs,
        "layer1.bias": inner.sum(axis=0),
    }, loss


class Adam:
    def __init__(self, weights):
        self.count = 0
        self.mean = {name: np.zeros_like(array) for name, array in weights.items()}
        self.square = {name: np.zeros_like(array) for name, array in weights.items()}

    def move(self, weights, gradients, rate):
        self.count += 1
        for name, gradient in gradients.items():
            self.mean[name] = 0.9 * self.mean[name] + 0.1 * gradient
            self.square[name] = 0.999 * self.square[name] + 0.001 * gradient**2
            mean = self.mean[name] / (1 - 0.9**self.count)
            square = self.square[name] / (1 - 0.999**self.count)
            weights[name] -= rate * mean / (np.sqrt(square) + 1e-8)
