"""The application of a cold start: one workflow of one small stage."""

from pydantic import BaseModel

from workflow_engine import Registry, Workflow, stage


class Parcel(BaseModel):
    """What goes in and out."""

    number: int


@stage("only")
def only(parcel: Parcel) -> Parcel:
    """Does nothing much."""
    return Parcel(number=parcel.number + 1)


registry = Registry([Workflow("cold", input=Parcel).pipe(only).build()])
