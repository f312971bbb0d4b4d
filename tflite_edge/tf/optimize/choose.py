"""Which layers a step works on, each other one with the reason why it is spared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tflite_edge.records.errors import ModelError, RecipeError

# Layer -> the attribute of its kernel that TF-MOT prunes and clusters. Not DepthwiseConv2D: of MobileNet's weights
# it has one in a hundred, and 9 weights a channel have nothing to spare (TF-MOT's registries leave it out, too).
KERNELS = {
    "Dense": "kernel",
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv3D": "kernel",
    "Conv2DTranspose": "kernel",
    "SeparableConv1D": "pointwise_kernel",
    "SeparableConv2D": "pointwise_kernel",
}
WRAPPERS = {
    "PruneLowMagnitude": "pruned",
    "ClusterWeights": "clustered",
    "QuantizeAnnotate": "annotated for quantisation",
    "QuantizeWrapper": "quantised",
    "QuantizeWrapperV2": "quantised",
    "Quantized": "quantised",
    "QuantizeLayer": "quantised",
}
FROZEN = "frozen: layer.trainable is false"
ENDS = "the first and the last layer hold few weights and hurt most"


@dataclass(frozen=True)
class Choice:
    """names: of the layers that the step works on, in the model's order. spared: (name, why) of the others."""

    names: tuple[str, ...]
    spared: tuple[tuple[str, str], ...]


def choose(model: Any, step: Any, unfit: Callable[[Any], str]) -> Choice:
    """The layers of `model`, which has no nested ones, that `step` works on.

    step: a record with name, layers (shell patterns for names or types) and ends. unfit: says why a layer
    cannot take the step, "" when it can. Raises RecipeError when none is left, naming what there is.
    """
    known = [layer for layer in model.layers if type(layer).__name__ in KERNELS]
    ends = set() if step.ends or not known else {known[0].name, known[-1].name}
    for pattern in step.layers:
        if not any(matches(layer, [pattern]) for layer in model.layers):
            raise RecipeError(
                f"no layer matches {pattern!r} in {step.name}", evidence=_listed(known), do="a layer's name or type"
            )
    names, spared, spared_ends = [], [], []
    for layer in model.layers:
        why = _why_not(layer, step, ends) or (unfit(layer) if layer in known else "")
        if layer in known and not why:
            names.append(layer.name)
        elif layer in known or matches(layer, step.layers):
            spared.append((layer.name, why))
            if why == ENDS and not unfit(layer):
                spared_ends.append(layer.name)
    if not names:
        raise RecipeError(
            f"{step.name} applies to no layer of {model.name}",
            evidence="\n".join(f"{name}: {why}" for name, why in spared[:10]) or "it has no Dense or Conv layer",
            do=f"ends = true takes {' and '.join(spared_ends)}, too" if spared_ends else _way_out(spared, step),
        )
    return Choice(tuple(names), tuple(spared))


def _way_out(spared: list[tuple[str, str]], step: Any) -> str:
    if any(why == FROZEN for _, why in spared):
        return "layer.trainable = True for what may change, then save it again"
    return f"leave {step.name} out" + (", or name other layers" if step.layers else "")


def _why_not(layer: Any, step: Any, ends: set[str]) -> str:
    if type(layer).__name__ not in KERNELS:
        return f"{type(layer).__name__} cannot be {step.name}d"
    if step.layers and not matches(layer, step.layers):
        return "not asked for"
    if not layer.trainable_weights:
        return FROZEN
    if layer.name in ends:
        return ENDS
    return ""


def matches(layer: Any, patterns: Sequence[str]) -> bool:
    """Whether the layer's name or type is meant by one of the shell patterns."""
    return any(fnmatchcase(word, pattern) for word in (layer.name, type(layer).__name__) for pattern in patterns)


def _listed(layers: list[Any]) -> str:
    return "there are: " + (", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers[:20]) or "none")


def kernel_of(layer: Any) -> Any:
    """The variable that prune and cluster work on."""
    return getattr(layer, KERNELS[type(layer).__name__])


def refuse_untrainable(model: Any, step: str) -> None:
    """Raises ModelError for models that no step can train: of TF-MOT's wrappers, of float16, SavedModels, frozen."""
    for layer in _all_layers(model):
        state = WRAPPERS.get(type(layer).__name__)
        if state:
            raise ModelError(
                f"{step} cannot start: {model.name} is {state} already",
                evidence=f"layer {layer.name} ({type(layer).__name__})",
                do="give the model from before; a quantised one cannot go back"
                if "quant" in state
                else "strip the wrappers first (tfmot strip_pruning or strip_clustering)",
            )
        if getattr(layer, "of_saved_model", False):
            raise ModelError(
                f"{step} cannot start: {model.name} is a SavedModel, which can be converted but not trained",
                evidence="it holds a graph of operators, and no layers",
                do="give the .h5 or .keras file it was exported from",
            )
        if getattr(layer, "compute_dtype", "float32") == "float16":
            raise ModelError(
                f"{step} cannot work on {model.name}: it computes in float16",
                evidence=f"layer {layer.name} has the policy mixed_float16",
                do="load the weights into a model of the policy float32",
            )
    if not model.trainable_weights:
        frozen = [layer.name for layer in _all_layers(model) if layer.weights]
        raise ModelError(
            f"{step} has nothing to train in {model.name}",
            evidence=f"frozen (layer.trainable is false): {', '.join(frozen[:10])}" if frozen else "it has no weights",
            do="model.trainable = True, then save it again; --quantize int8 alone needs no training",
        )


def _all_layers(model: Any) -> list[Any]:
    return [
        inner
        for layer in model.layers
        for inner in ([layer, *_all_layers(layer)] if hasattr(layer, "layers") else [layer])
    ]
