"""The entry point of `tflite-edge` and `python -m tflite_edge`."""

import sys

from tflite_edge.cli import main

if __name__ == "__main__":
    sys.exit(main())
