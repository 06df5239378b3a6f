"""What a resource of the local stack is called: its name, what ``!Ref`` gives, its ARN. Pure.

On AWS a name ends in random characters; here it does not, so that all names are known before the
first resource is made, and are the same after the next start.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_engine.local.errors import TemplateError

if TYPE_CHECKING:
    from workflow_engine.local.place import Place

# The part of an ARN after the account: by type, with "{name}".
_ARN_TAILS = {
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::Scheduler::ScheduleGroup": "scheduler:{region}:{account}:schedule-group/{name}",
    "AWS::Serverless::Function": "lambda:{region}:{account}:function:{name}",
}
_NAME_ATTRIBUTES = frozenset({"Name", "QueueName", "TopicName"})
_REF_IS_ARN = frozenset({"AWS::SNS::Topic"})


@dataclass(frozen=True, slots=True)
class Identity:
    """*ref* is what ``!Ref`` gives. *arn* is ``None`` for a type that has none here."""

    name: str
    ref: str
    arn: str | None

    def attribute(self, attribute: str) -> str:
        """What ``!GetAtt`` gives.

        Raises:
            TemplateError: local mode does not know that attribute.
        """
        if attribute == "Arn" and self.arn is not None:
            return self.arn
        if attribute in _NAME_ATTRIBUTES:
            return self.name
        if attribute == "QueueUrl":
            return self.ref
        raise TemplateError(where=f"!GetAtt {self.name}.{attribute}", problem="is not known to local mode")


def identity_of(type_: str, logical_id: str, place: "Place", given_name: str | None) -> Identity:
    """The identity of a resource; *given_name* is the name that its properties give it, if any."""
    name = str(given_name or f"{place.stack_name}-{logical_id}")
    if type_ == "AWS::S3::Bucket":
        name = name.lower()
    tail = _ARN_TAILS.get(type_)
    arn = None
    if tail is not None:
        arn = f"arn:{place.partition}:" + tail.format(name=name, region=place.region, account=place.account_id)
    if type_ == "AWS::SQS::Queue":
        return Identity(name, f"{place.endpoint}/{place.account_id}/{name}", arn)
    if type_ in _REF_IS_ARN and arn is not None:
        return Identity(name, arn, arn)
    return Identity(name, name, arn)
