"""A project that was begun by an older version, to be upgraded."""

from pathlib import Path

import pytest

from workflow_engine.scaffold import new_project

OLD, INSTALLED = "0.1.0", "0.2.0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project that version ``OLD`` has begun."""
    new_project.begin(tmp_path / "orders", package="orders", version=OLD)
    return tmp_path / "orders"


@pytest.fixture
def template(project: Path) -> Path:
    return project / "template.yaml"
