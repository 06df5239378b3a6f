"""Writes template.yaml of this project, which is what ``workflow-engine init`` gives to any other."""

import tomllib
from pathlib import Path

from workflow_engine.scaffold import rendering

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / rendering.TEMPLATE


def rendered() -> str:
    """The template for the samples, by the version that stands in pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return rendering.template(version=version, workflows="workflows:registry").text()


if __name__ == "__main__":
    TEMPLATE.write_text(rendered())
