"""What a bundle runs on the board: images in, answers out. NumPy, Pillow and a TFLite runtime; Python 3.9."""
