"""Fingerprints of what jobs depend on: files, functions, parameters.

Import the module that is needed; nothing is imported here. Takes fingerprints, and never decides what follows.
"""
