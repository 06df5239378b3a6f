"""Reads resources as CloudFormation sees them."""

from typing import Any

Json = dict[str, Any]


def of_type(resources: Json, kind: str) -> Json:
    return {name: resource.get("Properties", {}) for name, resource in resources.items() if resource["Type"] == kind}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(resources: Json, role: str) -> list[Json]:
    policies = resources[role]["Properties"]["Policies"]
    return [statement for policy in policies for statement in as_list(policy["PolicyDocument"]["Statement"])]


def actions(resources: Json, role: str) -> set[str]:
    return {action for statement in statements(resources, role) for action in as_list(statement["Action"])}


def arn_of(logical_id: str) -> Json:
    return {"Fn::GetAtt": [logical_id, "Arn"]}
