"""Versions of installed packages."""

from __future__ import annotations

import re


def package_version(name: str) -> tuple[tuple[str, str], ...] | None:
    """Names and versions of what is installed under a name, or gives the module of that name; None if nothing is."""
    # Late: it takes long to import, and few scripts ask.
    from importlib import metadata

    names = [name]
    try:
        metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        names = metadata.packages_distributions().get(name.partition(".")[0], [])
    found = {(re.sub(r"[-_.]+", "-", each).lower(), metadata.version(each)) for each in names}
    return tuple(sorted(found)) or None
