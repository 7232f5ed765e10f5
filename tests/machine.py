"""Means to take from a script what a machine can run out of. Each skips, and says why, where it can't be had."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import Script, wait_until


@contextlib.contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    """Something else in the place of a folder or file: the arguments of mount(8), but for the last."""
    if not folder.exists():
        folder.mkdir()
    done = subprocess.run(["mount", *how, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here; run the tests as root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk in memory, tmpfs(5)."""
    with mounted(folder, "-t", "tmpfs", "-o", options, "pipegraph_test") as disk:
        yield disk


@contextlib.contextmanager
def disk_with_whole_seconds(folder: Path) -> Iterator[Path]:
    """A disk that stamps files with whole seconds: ext2 with inodes of 128 bytes."""
    if shutil.which("mkfs.ext2") is None:
        pytest.skip("there is no mkfs.ext2 to make a disk with whole seconds: apt install e2fsprogs")
    image = folder.with_name(f"{folder.name}.image")
    with image.open("wb") as file:
        file.truncate(2 << 20)
    subprocess.run(["mkfs.ext2", "-q", "-F", "-I", "128", str(image)], check=True, capture_output=True)
    with mounted(folder, "-o", "loop", str(image)) as disk:
        yield disk


@contextlib.contextmanager
def control_group(controller: str, **limits: int) -> Iterator[Path]:
    """A control group with a limit, `pids.max` or `memory.max`; gives its file of processes, which one enters by."""
    version_1 = Path("/sys/fs/cgroup") / controller
    above = version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")
    group = above / f"pipegraph_test_{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made in {above}; run the tests as root: {error.strerror}")
    try:
        for name, value in limits.items():
            file = group / f"{controller}.{name}"
            if controller == "memory" and not file.exists():
                file = group / "memory.limit_in_bytes"
            try:
                file.write_text(str(value))
            except OSError as error:
                pytest.skip(f"the control groups here have no {controller}.{name}: {error.strerror}")
        for name, value in ("memory.memsw.limit_in_bytes", limits.get("max")), ("memory.swap.max", 0):
            if (group / name).exists():
                (group / name).write_text(str(value))
        yield group / "cgroup.procs"
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def preload(script: Script, source: str) -> None:
    """Have functions of the C library replaced by these, in C, in all processes of a script."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no compiler to replace functions of the C library: apt install gcc libc6-dev")
    library = script.folder / "instead.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, "-x", "c", "-"],
        input=C_HEAD + source,
        text=True,
        check=True,
    )
    script.environment["LD_PRELOAD"] = str(library)


C_HEAD = """
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
"""
