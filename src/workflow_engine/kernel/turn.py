"""One run in the hands of one invocation."""

from dataclasses import dataclass, field

from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.transitions import Decision, Told
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import Head


@dataclass(slots=True, kw_only=True)
class Turn:
    """What is known of a run while it is carried on: each write replaces *head*, each telling *told*.

    *data* is what its stages read, kept from stage to stage, *decision* what of the next groups runs, where that was
    decided.
    """

    data: RunData
    invocation: Invocation
    told: Told = field(default_factory=Told)
    decision: Decision | None = None

    @property
    def head(self) -> Head:
        """As it was read or written last."""
        return self.data.head

    @head.setter
    def head(self, head: Head) -> None:
        self.data.head = head

    @property
    def definition(self) -> WorkflowDefinition:
        """What the run goes on with."""
        return self.data.definition

    @property
    def plan(self) -> Plan:
        """What follows what in it."""
        return self.data.definition.plan
