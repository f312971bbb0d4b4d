"""From a Keras model to flatbuffers: `freeze` once, then `convert` for every variant."""
