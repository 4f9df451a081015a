"""Packs templates and static files into the wheel under names of their own; everything else stands in pyproject.toml.

pyproject.toml cannot both find packages and name two more whose folders are called differently.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

_DATA = {"letterlock_templates": "templates", "letterlock_static": "static"}


class BuildWithData(build_py):
    """Makes regular packages of the two: importlib.resources gives a plain path for those alone."""

    def run(self) -> None:
        """Build, then add what the folders in the checkout do without."""
        super().run()
        for name in _DATA:
            package = Path(self.build_lib, name)
            if package.is_dir():
                (package / "__init__.py").write_text('"""Files of the program; see relay.core.resources."""\n')


setup(
    packages=[*find_namespace_packages(include=["relay*", "pdfmail*", "portal*"]), *_DATA],
    package_dir=_DATA,
    package_data={name: ["**/*"] for name in _DATA},
    cmdclass={"build_py": BuildWithData},
)
