"""The template as CloudFormation will see it."""

import json
from pathlib import Path

import pytest
from cfnlint.decode import cfn_yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.bundle.stack import Json

ROOT = Path(__file__).parents[2]


def _read_template() -> Json:
    # Through JSON: cfn-lint's nodes carry line numbers, which nothing here asks for.
    template: Json = json.loads(json.dumps(cfn_yaml.load(str(ROOT / "template.yaml"))))
    return template


@pytest.fixture(scope="session")
def template() -> Json:
    """template.yaml as it is written, intrinsic functions in their long form."""
    return _read_template()


@pytest.fixture(scope="session")
def parameters(template: Json) -> Json:
    """Parameter name to its declaration."""
    declared: Json = template["Parameters"]
    return declared


@pytest.fixture(scope="session")
def resources() -> Json:
    """Logical id to resource, after the SAM transform; the default of a parameter stands for its value."""
    template = _read_template()
    # `sam deploy` puts the address of the uploaded code here.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        translated: Json = Translator({}, Parser()).translate(template, {})
    found: Json = translated["Resources"]
    return found
