"""Steps that make a model smaller, each `apply(model, step, tune) -> model`.

`prune`, `cluster` and `qat` take a tf_keras model and return a fresh one without wrappers (qat: with its
quantisers, ready for the converter); the model that was given is never changed. `graph` reads a model into
a list of layer calls and builds it anew, `rewrite` and `affine` turn what TF-MOT refuses into what it knows,
`choose` picks the layers of a step, `effect` measures what a step reached.
"""
