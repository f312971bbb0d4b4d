"""What runs on the board: one program that times a model or scores it on a labelled pack.

NumPy, a TFLite runtime and `tflite_edge.records` are all it may import; Python 3.9 syntax. It starts
no process but the board's own vcgencmd and the command of a power meter: an emulated board without binfmt could not.
"""
