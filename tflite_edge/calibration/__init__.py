"""Is the representative dataset representative, and what would a better one come to? Never looks at the test set."""

from tflite_edge.calibration.advice import Advice, advise, diagnose

__all__ = ["Advice", "advise", "diagnose"]
