"""Results kept to be brought back: which is which (`recipe`), the folder that holds them (`store`), a job's way to it.

A result is the files that a job made, kept under the digest of all that they were made from. Owns that folder, which
several projects and people may share, and never decides whether a job must run: only how it comes by its files.
"""
