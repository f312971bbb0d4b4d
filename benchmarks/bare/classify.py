"""What one would write on the board by hand: one image, one answer. Usage: classify.py RUNTIME MODEL LABELS IMAGE.

For an int8 model that was trained on values of -1..1.
"""

import sys

import numpy as np
from PIL import Image

runtime, model, labels, path = sys.argv[1:]
if runtime == "tflite-runtime":
    from tflite_runtime.interpreter import Interpreter
else:
    from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model, num_threads=1)
interpreter.allocate_tensors()
source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
_, height, width, channels = source["shape"]
image = Image.open(path).convert("L" if channels == 1 else "RGB").resize((width, height), Image.BILINEAR)
values = np.asarray(image, np.float32).reshape(1, height, width, channels) / 127.5 - 1
scale, zero = source["quantization"]
interpreter.set_tensor(source["index"], np.clip(np.round(values / scale + zero), -128, 127).astype(np.int8))
interpreter.invoke()
answer = interpreter.get_tensor(sink["index"])[0].argmax()
print(open(labels).read().splitlines()[answer])  # noqa: PTH123, SIM115 - as one would write it
