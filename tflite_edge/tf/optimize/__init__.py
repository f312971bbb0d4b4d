"""The optimise seam: steps that make a model smaller, each `apply(model, step, tune) -> model`."""
