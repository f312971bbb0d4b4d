"""The data contracts: frozen dataclasses, standard library only, Python 3.9 syntax.

Everything that crosses a folder, a process or a machine is one of these records. Arrays never
live in them: arrays travel as ``.npz`` files or bytes.
"""
