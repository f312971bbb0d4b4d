"""Weight sharing: how many values are left, in the weights and in the bytes, and zeros that stay."""

import numpy as np
import pytest

from tests.tf.tiny import Tune, int8, kernels, net, small
from tflite_edge.records.errors import ModelError, RecipeError
from tflite_edge.records.step import CENTROIDS, Cluster, Prune
from tflite_edge.tf.optimize import cluster, effect, prune

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return net()


def measured(model):
    return {layer.layer: layer for layer in effect.measure(model).layers}


@pytest.mark.parametrize("centroids", CENTROIDS)
def test_every_start_of_the_centroids_ends_in_that_many_values(centroids):
    model = small()
    before = [w.copy() for w in model.get_weights()]
    shared = cluster.apply(model, Cluster(clusters=8, centroids=centroids), Tune(model))
    found = measured(shared)
    assert 2 <= found["two"].unique_per_tensor <= 8
    assert found["one"].unique_per_tensor > 100  # the first layer is spared
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_per_tensor_clusters_are_so_many_per_channel_in_the_bytes_but_more_per_tensor(model, tmp_path):
    tune = Tune(model)
    shared = cluster.apply(model, Cluster(clusters=8), tune)
    assert {measured(shared)[name].unique_per_tensor for name in ("pointwise", "middle", "dense")} == {8}
    found = {kernel.shape: kernel for kernel in kernels(int8(shared, tune.x, tmp_path))}
    assert found[24, 1, 1, 8].per_channel <= 8
    # Each channel has its own scale: the same value becomes another int8 in another channel (FACTS 5).
    assert found[24, 1, 1, 8].per_tensor > 8
    assert found[24, 3, 3, 24].per_channel <= 8


def test_per_channel_clusters_keep_the_zeros_of_pruning(model):
    pruned = prune.apply(model, Prune(), Tune(model))
    found = measured(cluster.apply(pruned, Cluster(clusters=8, per_channel=True), Tune(model)))
    assert found["middle"].unique_per_channel <= 8
    assert found["middle"].unique_per_tensor > 24
    assert found["dense"].unique_per_tensor <= 8
    for name in ("middle", "dense", "pointwise"):  # 8 weights a channel: pointwise is spared, and keeps its zeros
        assert found[name].sparsity >= 0.5


def test_zeros_stay_exactly_where_they_were():
    model = small()
    pruned = prune.apply(model, Prune(ends=True), Tune(model))
    shared = cluster.apply(pruned, Cluster(clusters=4), Tune(model))
    for name in ("one", "two", "three"):
        zero = pruned.get_layer(name).kernel.numpy() == 0
        assert (shared.get_layer(name).kernel.numpy()[zero] == 0).all()
    assert measured(shared)["two"].unique_per_tensor <= 4


def test_more_clusters_than_weights_are_refused_before_training():
    model = small()
    tune = Tune(model)
    with pytest.raises(RecipeError, match="256 weights cannot fill 256 clusters"):
        cluster.apply(model, Cluster(clusters=256), tune)
    assert tune.calls == 0


def test_clustered_models_are_refused():
    import tensorflow_model_optimization as tfmot

    start = tfmot.clustering.keras.CentroidInitialization.LINEAR
    model = tfmot.clustering.keras.cluster_weights(small(), 4, start)
    with pytest.raises(ModelError, match="is clustered already"):
        cluster.apply(model, Cluster(), None)
