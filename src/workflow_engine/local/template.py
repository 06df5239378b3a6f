"""What ``template.yaml`` says: resources with their functions worked out, and the Lambda functions
with their environment and what triggers them. Reads the file; creates nothing."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from workflow_engine.local.errors import MAX_QUOTED, TemplateError, listed, reason_of, shortened
from workflow_engine.local.identities import Identity, identity_of
from workflow_engine.local.intrinsics import NO_VALUE, Resolver, load_yaml, names_in
from workflow_engine.local.place import Place

# What a message shows of a path whole.
MAX_PATH = 300
FUNCTION = "AWS::Serverless::Function"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What invokes a function: *type* is SAM's (``SQS``, ``Schedule``), *properties* are worked out."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function of the template."""

    logical_id: str
    handler: str
    timeout_seconds: int
    memory_megabytes: int
    environment: Mapping[str, str]
    triggers: tuple[Trigger, ...]
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource whose properties are worked out."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    identity: Identity


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template in a place. *overrides* are parameter values, by name."""

    path: Path
    document: Mapping[str, Any]
    place: Place
    overrides: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, place: Place, overrides: Mapping[str, str] | None = None) -> "Template":
        """The template at *path*.

        Raises:
            TemplateError: it cannot be read, has no resources, or has no such parameter.
        """
        where = str(path) if len(str(path)) <= MAX_PATH else shortened(str(path))
        try:
            document = load_yaml(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise TemplateError(where=where, problem=f"cannot be read: {reason_of(error)}") from error
        if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
            raise TemplateError(where=where, problem="has no Resources")
        for name, facts in document["Resources"].items():
            if not isinstance(facts, dict) or not isinstance(facts.get("Type"), str):
                raise TemplateError(where=f"resource {name}", problem="has no Type")
        template = cls(path=path, document=document, place=place, overrides=dict(overrides or {}))
        for name in sorted(template.overrides.keys() - document.get("Parameters", {}).keys()):
            known = listed(document.get("Parameters", {}))
            raise TemplateError(
                where=f"parameter {shortened(name) if len(name) > MAX_QUOTED else name}",
                problem=f"is not in the template; it has {known}",
            )
        return template

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The value of each parameter that has one."""
        declared = self.document.get("Parameters", {})
        defaults = {name: facts["Default"] for name, facts in declared.items() if "Default" in facts}
        return {**defaults, **self.overrides}

    @cached_property
    def identities(self) -> Mapping[str, Identity]:
        """What each resource is called, by logical id. Known before anything is created, as local
        names are not random."""
        found: dict[str, Identity] = {}
        for logical_id, resource in self.document["Resources"].items():
            properties = resource.get("Properties", {})
            name = self._naming.resolve(properties.get(_NAME_PROPERTY.get(resource["Type"])))
            if name is None and properties.get("FifoQueue"):
                # Another name is refused (SQS API reference, CreateQueue).
                name = f"{self.place.stack_name}-{logical_id}.fifo"
            found[logical_id] = identity_of(resource["Type"], logical_id, self.place, name)
        return found

    def resources(self, types: Collection[str]) -> list[Resource]:
        """The resources of those *types*, each after those that it refers to."""
        raw = self.document["Resources"]
        wanted = {name: facts for name, facts in raw.items() if facts["Type"] in types and self._exists(facts)}
        graph = {name: names_in(facts) & wanted.keys() - {name} for name, facts in wanted.items()}
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise TemplateError(where="Resources", problem=f"refer to each other: {error.args[1]}") from error
        return [self._resource(name, wanted[name]) for name in order]

    def functions(self) -> list[Function]:
        """The Lambda functions, with what ``Globals`` says of all of them."""
        raw = self.document["Resources"]
        return [self._function(name, facts) for name, facts in raw.items() if facts["Type"] == FUNCTION]

    def variables(self) -> dict[str, str]:
        """The environment of all functions, which share a process here.

        Raises:
            TemplateError: two of them want one variable to differ.
        """
        merged: dict[str, str] = {}
        for function in self.functions():
            for name, value in function.environment.items():
                if merged.setdefault(name, value) != value:
                    problem = "differs between functions; in local mode they share one process"
                    raise TemplateError(where=f"environment variable {name}", problem=problem)
        return merged

    def code_folder(self) -> Path:
        """Where the functions' code is, which Lambda puts on ``sys.path``."""
        uri = self._function_globals.get("CodeUri", ".")
        return (self.path.parent / str(uri)).resolve()

    @cached_property
    def resolver(self) -> Resolver:
        """Works out what the template's functions stand for."""
        return self._resolver(self._ref, self._attribute)

    @cached_property
    def _naming(self) -> Resolver:
        # The name of a resource cannot depend on another resource's identity: those are not known yet.
        return self._resolver(self._value, self._no_attribute)

    def _resolver(self, ref: Callable[[str], Any], attribute: Callable[[str, str], Any]) -> Resolver:
        document = self.document
        return Resolver(
            ref=ref,
            attribute=attribute,
            conditions=document.get("Conditions", {}),
            mappings=document.get("Mappings", {}),
        )

    @cached_property
    def _function_globals(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document.get("Globals", {}).get("Function", {})
        return found

    def _exists(self, facts: Mapping[str, Any]) -> bool:
        return "Condition" not in facts or self.resolver.condition(facts["Condition"])

    def _resource(self, name: str, facts: Mapping[str, Any]) -> Resource:
        properties = self.resolver.resolve(facts.get("Properties", {}))
        return Resource(logical_id=name, type=facts["Type"], properties=properties, identity=self.identities[name])

    def _function(self, name: str, facts: Mapping[str, Any]) -> Function:
        own = facts.get("Properties", {})
        merged = {**self._function_globals, **own}
        variables = {**_variables(self._function_globals), **_variables(own)}
        return Function(
            logical_id=name,
            handler=str(self.resolver.resolve(merged.get("Handler", ""))),
            timeout_seconds=self._number(name, "Timeout", merged.get("Timeout", 3)),
            memory_megabytes=self._number(name, "MemorySize", merged.get("MemorySize", 128)),
            environment={key: _text(value) for key, value in self.resolver.resolve(variables).items()},
            triggers=tuple(
                Trigger(trigger, event["Type"], self.resolver.resolve(event.get("Properties", {})))
                for trigger, event in own.get("Events", {}).items()
            ),
            identity=self.identities[name],
        )

    def _number(self, function: str, what: str, value: Any) -> int:
        found = self.resolver.resolve(value)
        try:
            return int(found)
        except (TypeError, ValueError) as error:
            raise TemplateError(where=f"{what} of {function}", problem=f"is no number: {found!r}") from error

    def _ref(self, name: str) -> Any:
        return self.identities[name].ref if name in self.identities else self._value(name)

    def _value(self, name: str) -> Any:
        pseudo = {
            "AWS::StackName": self.place.stack_name,
            "AWS::Region": self.place.region,
            "AWS::AccountId": self.place.account_id,
            "AWS::Partition": self.place.partition,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": NO_VALUE,
        }
        for values in (pseudo, self.parameters):
            if name in values:
                return self._listed(name, values[name]) if values is self.parameters else values[name]
        raise TemplateError(where=f"!Ref {name}", problem="is no resource, and no parameter that has a value")

    def _listed(self, name: str, value: Any) -> Any:
        """The value of a parameter as ``Ref`` has it: a list where it is declared as one."""
        kind = str(self.document.get("Parameters", {}).get(name, {}).get("Type", ""))
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            return [part.strip() for part in str(value).split(",")]
        return value

    def _attribute(self, name: str, attribute: str) -> str:
        if name not in self.identities:
            # SAM makes resources of its own (TickFunctionEveryMinute): nothing that runs here needs them.
            return f"{name}.{attribute}"
        return self.identities[name].attribute(attribute)

    def _no_attribute(self, name: str, attribute: str) -> str:
        raise TemplateError(where=f"!GetAtt {name}.{attribute}", problem="cannot be part of a resource's name")


_NAME_PROPERTY: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::EventBus": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::ScheduleGroup": "Name",
    FUNCTION: "FunctionName",
}


def _variables(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return found


def _text(value: Any) -> str:
    # CloudFormation writes booleans as JSON does.
    return str(value).lower() if isinstance(value, bool) else str(value)
