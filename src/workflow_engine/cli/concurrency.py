"""Whether the functions of a deployed stack leave room for its tick: what may run at once is the account's, not the stack's."""

from dataclasses import dataclass

from workflow_engine.adapters.aws.errors import translating
from workflow_engine.wiring.aws import client


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Functions at the same moment: what *account* allows, what of it is *unreserved*, what the *jobs* of the stack may
    take, and what is reserved for its *tick*."""

    account: int
    unreserved: int
    jobs: int
    tick: int

    @property
    def starves_the_tick(self) -> bool:
        """Whether jobs alone can take all that a tick could run in."""
        return not self.tick and self.jobs >= self.unreserved

    def said(self) -> str:
        """What it comes to, in one line."""
        if self.tick:
            return f"{self.jobs} job functions at once, and {self.tick} of the account's {self.account} reserved for the tick"
        if not self.starves_the_tick:
            return f"{self.jobs} job functions at once leave {self.unreserved - self.jobs} of {self.unreserved} to the tick"
        return (
            f"{self.jobs} job functions at once take all {self.unreserved} that the account has: under load no tick runs. "
            "Lower MaximumConcurrency, or have the quota raised (Service Quotas: Concurrent executions)"
        )


def concurrency_of(job_function: str, tick_function: str) -> Concurrency:
    """What may run at once in the account of the shell, and how much of it the functions of a stack take.

    Raises:
        AwsRequestError: AWS refused to tell.
    """
    with translating("Lambda", "GetAccountSettings"):
        limits = client("lambda").get_account_settings()["AccountLimit"]
    with translating("Lambda", "ListEventSourceMappings"):
        mappings = client("lambda").list_event_source_mappings(FunctionName=job_function)["EventSourceMappings"]
    with translating("Lambda", "GetFunctionConcurrency"):
        tick = client("lambda").get_function_concurrency(FunctionName=tick_function)
    # Without a maximum, a queue's functions scale to what there is (developer guide, "Configuring scaling behavior").
    unbounded = limits["ConcurrentExecutions"]
    jobs = [mapping.get("ScalingConfig", {}).get("MaximumConcurrency", unbounded) for mapping in mappings]
    return Concurrency(
        account=limits["ConcurrentExecutions"],
        unreserved=limits["UnreservedConcurrentExecutions"],
        jobs=sum(jobs),
        tick=tick.get("ReservedConcurrentExecutions", 0),
    )
