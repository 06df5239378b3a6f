"""Runs in a DynamoDB table. pynamodb is private to this package."""

from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence

__all__ = ["DynamoPersistence"]
