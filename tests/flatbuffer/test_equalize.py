"""Equal answers from other weights, and biases that take up what rounding adds: on dense chains run for real."""

import numpy as np
import pytest

from tests.harness import twins
from tflite_edge.flatbuffer.biases import correct, rounded
from tflite_edge.flatbuffer.edit import dump, load
from tflite_edge.flatbuffer.equalize import GOALS, equalize, pairs
from tflite_edge.flatbuffer.network import RELU6, Network
from tflite_edge.records.job import Job
from tflite_edge.targets.local import Local


def chain(scales=None, relu6=False):
    """The network of the float chain; with scales, each hidden channel is made so much larger and read smaller."""
    network = Network(load(twins.float_chain()))
    if relu6:
        for op in network.ops[:-1]:
            op.node["builtin_options"]["fused_activation_function"] = RELU6
    if scales is not None:
        for first, second in zip(network.ops, network.ops[1:], strict=False):
            network.store(first.inputs[1], network.kernel(first) * scales[:, None])
            network.store_bias(first, network.bias(first) * scales)
            network.store(second.inputs[1], network.kernel(second) / scales)
    return network


def answers(network, tmp_path):
    model, pack, out = tmp_path / "m.tflite", tmp_path / "x.npz", tmp_path / "y.npy"
    model.write_bytes(dump(network.tree))
    np.savez(pack, x=twins.X)
    Local().score(Job("score", str(model), pack=str(pack), outputs=str(out)))
    return np.load(out)


def reached(network, scales=1.0):
    layers = twins.activations(twins.X)
    found = {op.outputs[0]: np.abs(layers[number]).max(0) for number, op in enumerate(network.ops, 1)}
    return {tensor: values * (scales if len(values) == 16 else 1) for tensor, values in found.items()}


def observed(network):
    """What each channel reaches on X by the network's own kernels and biases."""
    x, found = twins.X, {}
    for op in network.ops:
        x = x @ network.kernel(op).T + network.bias(op)
        x = np.maximum(x, 0) if op is not network.ops[-1] else x
        found[op.outputs[0]] = np.abs(x).max(0)
    return found


@pytest.mark.parametrize("goal", GOALS)
def test_the_answers_stay_and_the_channels_are_even(goal, tmp_path):
    scales = 10 ** np.random.default_rng(0).uniform(-2, 2, 16).astype(np.float32)
    network = chain(scales)
    before = answers(network, tmp_path)
    np.testing.assert_allclose(before, twins.activations(twins.X)[-1], rtol=1e-3, atol=1e-4)

    def unevenness():
        rows = [np.abs(network.kernel(op)).max(1) for op in network.ops[:3]]
        return max(float(row.max() / row.min()) for row in rows)

    uneven = unevenness()
    assert equalize(network, goal, reached(network, scales)) == 3
    np.testing.assert_allclose(answers(network, tmp_path), before, rtol=1e-3, atol=1e-4)
    assert uneven > 1000
    assert unevenness() < 20


@pytest.mark.parametrize("dead", [0.0, 1e-30, 1e-6])
@pytest.mark.parametrize("goal", GOALS)
def test_a_channel_that_is_all_but_dead_does_not_stretch_the_others_range(goal, dead, tmp_path):
    network = chain()
    for op in network.ops[:3]:
        kernel, bias = network.kernel(op), network.bias(op)
        kernel[:3], bias[:3] = dead, 0.5
        network.store(op.inputs[1], kernel)
        network.store_bias(op, bias)
    before, seen = answers(network, tmp_path), observed(network)
    equalize(network, goal, seen)
    np.testing.assert_allclose(answers(network, tmp_path), before, rtol=1e-3, atol=1e-4)
    for tensor, values in observed(network).items():
        assert values.max() <= 2.1 * seen[tensor].max()


@pytest.mark.parametrize("goal", GOALS)
def test_relu6_keeps_its_answers_on_what_was_seen(goal, tmp_path):
    network = chain(relu6=True)
    before = answers(network, tmp_path)
    layers = {op.outputs[0]: np.minimum(values, 6) for op, values in zip(
        network.ops, [np.abs(x).max(0) for x in twins.activations(twins.X)[1:]], strict=True)}  # fmt: skip
    kernel = network.kernel(network.ops[0])
    equalize(network, goal, layers)
    np.testing.assert_allclose(answers(network, tmp_path), before, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(network.kernel(network.ops[0]), kernel)


def test_a_channel_at_relu6_s_limit_is_left_alone():
    network = chain(relu6=True)
    kernel = network.kernel(network.ops[0])
    equalize(network, "weights", {op.outputs[0]: np.full(16, 6.0) for op in network.ops})
    np.testing.assert_array_equal(network.kernel(network.ops[0]), kernel)


def test_a_tensor_that_others_read_as_well_is_no_pair():
    network = chain()
    assert len(list(pairs(network))) == 3
    network.outputs = (*network.outputs, network.ops[1].outputs[0])
    assert [pair.first.index for pair in pairs(network)] == [0, 2]


def test_a_corrected_bias_brings_the_mean_back():
    """Coarse rounding is made by one weight far out; the mean over the samples is then that of the float layer."""
    network = chain()
    op = network.ops[0]
    kernel = network.kernel(op)
    kernel[:, 0] = 100
    network.store(op.inputs[1], kernel)
    bias = network.bias(op)
    means = {op.inputs[0]: twins.X.mean(0)}
    assert correct(network, means) == 1
    wanted = (twins.X @ kernel.T + bias).mean(0)
    coarse = rounded(op, kernel)
    assert np.abs((twins.X @ coarse.T + bias).mean(0) - wanted).max() > 0.01
    np.testing.assert_allclose((twins.X @ coarse.T + network.bias(op)).mean(0), wanted, atol=1e-4)


def test_a_layer_that_stays_in_float_keeps_its_bias():
    network = chain()
    first, second = network.ops[:2]
    means = {op.inputs[0]: x.mean(0) for op, x in zip((first, second), twins.activations(twins.X), strict=False)}
    before = network.bias(first), network.bias(second)
    assert correct(network, means, spared=(network.name(first.outputs[0]),)) == 1
    np.testing.assert_array_equal(network.bias(first), before[0])
    assert not np.array_equal(network.bias(second), before[1])


def test_kernels_are_rounded_with_a_scale_for_each_channel_or_one():
    op = chain().ops[0]
    kernel = np.array([[1.0, 0.3], [100.0, 50.2]], np.float32)
    np.testing.assert_allclose(rounded(op, kernel), [[1.0, 38 / 127], [100.0, 64 * 100 / 127]], rtol=1e-6)
    np.testing.assert_allclose(
        rounded(op, kernel, ("FULLY_CONNECTED",)), [[100 / 127, 0.0], [100.0, 64 * 100 / 127]], rtol=1e-6
    )


def sharing(network):
    """The network with one bias, which is not zero, for its first three layers, as the converter merges equal ones."""
    first, *others = network.ops[:3]
    network.store_bias(first, np.linspace(-1, 2, 16, dtype=np.float32))
    for op in others:
        op.node["inputs"] = np.array([*op.inputs[:2], first.inputs[2]], "<i4").tobytes()
    return network


def test_what_shared_a_bias_keeps_it():
    network = sharing(chain())
    before, tensors = network.bias(network.ops[0]), len(network.tensors)
    network.store_bias(network.ops[1], before + 1)
    network.store_bias(network.ops[1], network.bias(network.ops[1]) + 1)
    for one in (network, Network(network.tree)):  # as it is, and as it is read again
        for op, wanted in zip(one.ops, (before, before + 2, before), strict=False):
            np.testing.assert_array_equal(one.bias(op), wanted)
        assert len(one.tensors) == tensors + 1


@pytest.mark.parametrize("goal", GOALS)
def test_layers_that_share_a_bias_are_evened_out_each_for_itself(goal, tmp_path):
    network = sharing(chain())
    before = answers(network, tmp_path)
    assert equalize(network, goal, reached(network)) == 3
    np.testing.assert_allclose(answers(network, tmp_path), before, rtol=1e-3, atol=1e-4)
