"""Results kept to be brought back: where each is (`address`), the folder that holds them (`store`), a job's way there.

A result is the files that a job made, kept under the digest of all that they were made from. This part owns the folder,
which several projects and people may share. It never decides whether a job must run: only how it comes by its files.
"""
