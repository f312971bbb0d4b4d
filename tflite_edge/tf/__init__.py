"""The only folder that may import TensorFlow. Importing this package alone does not load it.

The environment is set here, first and in one place, because TensorFlow reads it once at import:
TF-MOT needs Keras 2 (the package `tf_keras`), which every module here imports by that name.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"  # of Keras 3, whose models are read and rebuilt
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
