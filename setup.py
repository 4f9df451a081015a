"""Packs templates and static files into the wheel under names of their own; everything else stands in pyproject.toml.

pyproject.toml cannot both find packages and name two more whose folders are called differently.
"""

from setuptools import find_namespace_packages, setup

_DATA = {"letterlock_templates": "templates", "letterlock_static": "static"}

setup(
    packages=[*find_namespace_packages(include=["relay*", "pdfmail*", "portal*"]), *_DATA],
    package_dir=_DATA,
    package_data={name: ["**/*"] for name in _DATA},
)
