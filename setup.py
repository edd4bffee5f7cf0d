"""The package, with conf/ of the repository as condenser/conf; all else is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

found = find_namespace_packages("src", include=["condenser*", "hydra_plugins*"])
setup(
    packages=[*found, "condenser.conf"],
    package_dir={"": "src", "condenser.conf": "conf"},
)
