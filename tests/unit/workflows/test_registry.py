"""The registry that Lambda and the command line load."""

from workflows import registry


def test_the_sample_workflows_are_registered() -> None:
    assert sorted(definition.id for definition in registry) == ["document-analysis", "order-process", "publish-report"]
