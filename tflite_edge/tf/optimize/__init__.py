"""The steps that make a model smaller, each `apply(model, step, tune) -> model`; their settings are records/step.py."""
