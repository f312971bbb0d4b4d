"""The steps that make a model smaller; their settings are the records of `records/step.py`."""
