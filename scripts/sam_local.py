"""`sam local invoke` for real: both functions in containers, against local mode's AWS, with every file of events/.

Runs go from run.create to COMPLETED; every answer is read, since SAM exits 0 even where a handler raised; at the
end the table is looked at. Where no container can run, the same goes through Lambda's runtime interface emulator,
which SAM brings along, and a line says so.
"""

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from workflow_engine.adapters.system import SystemClock
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.functions import Invocation
from workflow_engine.local.job_source import JobSource
from workflow_engine.local.place import Place
from workflow_engine.local.template import Function, Template
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.status import Status
from workflow_engine.wiring.aws import client, kernel_of_process

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "sam-local"
SAM = ROOT / ".cache" / "sam" / "bin"
# The stand-in for the base image is Debian 12's Python; the code is the same on 3.11 and on 3.13.
RUNTIME = "python3.11"
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
IMAGE = f"public.ecr.aws/lambda/python:3.11-{ARCHITECTURE}"
# What the functions say, for whoever looks for the reason of a failure.
LOG = CACHE / "functions.log"
# The name under which a container sees this machine, whatever its network is called.
HOST = "host.docker.internal"
HOST_OF_CONTAINERS = f"{HOST}:host-gateway"
OVERRIDES = ("--parameter-overrides", f"Architecture={ARCHITECTURE}")
ANALYSIS = run_id_for("document-analysis", "example-document")
REPORT = run_id_for("publish-report", "example-report")
ORDER = run_id_for("order-process", "example-order")


class Machine(Protocol):
    """Where a function runs."""

    def invoke(self, function: str, event: Any) -> Any:
        """The function's answer to *event*."""
        ...


class InvocationFailedError(Exception):
    """A handler raised, or did not answer."""


def quiet(*command: str, **options: Any) -> str:
    """Run *command*; what it says is shown only if it fails."""
    done = subprocess.run(command, text=True, capture_output=True, check=False, **options)
    if done.returncode:
        raise InvocationFailedError(f"{command[0]} {command[1]}: {done.stderr[-2000:]}")
    return str(done.stdout)


def checked(answer: Any) -> Any:
    """*answer*, unless it is an error."""
    if answer is None or (isinstance(answer, dict) and "errorMessage" in answer):
        raise InvocationFailedError(f"the handler answered {answer!r}")
    return answer


def sam_environment(**more: str) -> dict[str, str]:
    """Without credentials: with fake ones SAM asks STS first and stalls for seconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    python = Path(sys.executable).parent
    path = f"{SAM}:{python}:{kept['PATH']}"
    return kept | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "PATH": path} | more


def build(environment: Mapping[str, str]) -> Path:
    """Build the bundle for the runtime at hand; answers the built template."""
    CACHE.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "template.yaml").read_text().replace("python3.13", RUNTIME)
    (CACHE / "template.yaml").write_text(text.replace("CodeUri: src/", "CodeUri: ../../src/"))
    template = str(CACHE / "template.yaml")
    quiet("sam", "build", "-t", template, "-b", str(CACHE / "build"), *OVERRIDES, env=dict(environment))
    return CACHE / "build" / "template.yaml"


@contextlib.contextmanager
def docker() -> Iterator[str | None]:
    """The address of a container engine: the machine's, or one that is started for the purpose."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        return
    if shutil.which("dockerd") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io"
        subprocess.run(install, shell=True, check=False, capture_output=True)
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        address = f"unix://{folder}/docker.sock"
        places = [f"--{name}={folder}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        engine = subprocess.Popen(["dockerd", "--host", address, *places], stdout=log, stderr=log)
        try:
            yield address if answers(address, engine) else None
        finally:
            engine.terminate()
            engine.wait()


def answers(address: str, engine: "subprocess.Popen[bytes]") -> bool:
    """Whether the engine comes up within ten seconds."""
    for _ in range(100):
        if subprocess.run(["docker", "--host", address, "info"], capture_output=True, check=False).returncode == 0:
            return True
        if engine.poll() is not None:
            return False
        threading.Event().wait(0.1)
    return False


@dataclass(slots=True)
class Containers:
    """`sam local invoke`, a container an invocation."""

    template: Path
    environment: Mapping[str, str]
    variables: Path

    def invoke(self, function: str, event: Any) -> Any:
        """Give *event* to *function* in a container of its own."""
        options = ("--skip-pull-image", "--env-vars", str(self.variables), "-t", str(self.template), *OVERRIDES)
        command = ["sam", "local", "invoke", function, "-e", "-", "--add-host", HOST_OF_CONTAINERS, *options]
        with LOG.open("a") as log:
            done = subprocess.run(
                command, input=json.dumps(event), env=self.environment, text=True, stdout=subprocess.PIPE, stderr=log
            )
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        return checked(json.loads(lines[-1]) if lines else None)


@dataclass(slots=True)
class Emulator:
    """Lambda's runtime interface emulator with the built code, a process a function."""

    code: Mapping[str, Path]
    handlers: Mapping[str, str]
    variables: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def invoke(self, function: str, event: Any) -> Any:
        """Give *event* to *function*, started if it is not."""
        port = self.ports.get(function) or self._start(function)
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return checked(json.loads(answer.read()))

    def _start(self, function: str) -> int:
        port, api = free_port(), free_port()
        (emulator,) = SAM.parent.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}")
        command = [
            str(emulator),
            f"--runtime-interface-emulator-address=127.0.0.1:{port}",
            f"--runtime-api-address=127.0.0.1:{api}",
            sys.executable,
            "-m",
            "awslambdaric",
            self.handlers[function],
        ]
        path = f"{self.code[function]}:{CACHE / 'ric'}"
        environment = {**os.environ, **self.variables, "PYTHONPATH": path, "AWS_LAMBDA_FUNCTION_NAME": function}
        environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = "900"
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=self.code[function],
            start_new_session=True,
            stdout=LOG.open("a"),
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        wait_for(port)
        self.ports[function] = port
        return port

    def stop(self) -> None:
        """End every process group: the emulator's children do not end with it."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Return when somebody listens on *port*."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        threading.Event().wait(0.1)
    raise InvocationFailedError(f"nothing listens on port {port}")


@dataclass(slots=True)
class Story:
    """Invokes the functions and counts."""

    machine: Machine
    place: Place
    template: Template
    invoked: int = 0

    def event(self, name: str, function: str = "JobFunction") -> None:
        """Invoke *function* with the file *name* of events/: no record of it may have to come again."""
        answer = self._count(function, json.loads((ROOT / "events" / name).read_text()))
        print(f"  {name:34} {json.dumps(answer)[:90]}", flush=True)
        failed = len(answer.get("batchItemFailures", ()))
        if failed:
            raise InvocationFailedError(f"{failed} records must come again")

    def invoke(self, function: Function, event: Any) -> Invocation:
        """What the job source calls with the messages that it took from the queue."""
        answer = self._count(function.logical_id, event)
        return Invocation(function.logical_id, timedelta(0), answer)

    def _count(self, function: str, event: Any) -> Any:
        self.invoked += 1
        return self.machine.invoke(function, event)

    def drain(self, run_id: str, *wanted: Status) -> None:
        """Handle what is in the queue until the run is as wanted."""
        (function,) = (one for one in self.template.functions() if one.logical_id == "JobFunction")
        trigger = next(one for one in function.triggers if one.type == "SQS")
        source = JobSource.of(client("sqs"), self, function, trigger)  # type: ignore[arg-type]
        end = SystemClock().now() + timedelta(minutes=5)
        while status_of(run_id) not in wanted:
            if not source.poll():
                threading.Event().wait(0.5)
            if SystemClock().now() > end:
                raise InvocationFailedError(f"run {run_id} is {status_of(run_id)}")


def expect_letters(story: Story, count: int) -> None:
    """Look at the dead-letter queue: what can never work is put there at once."""
    url, name = story.template.variables()["JOB_DLQ_URL"], "ApproximateNumberOfMessages"
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    if int(found) != count:
        raise InvocationFailedError(f"{found} dead letters, not {count}")
    print(f"  in the dead-letter queue: {found}", flush=True)


def status_of(run_id: str) -> Status | None:
    """How the run stands in the table."""
    head = kernel_of_process().parts.persistence.load_head(RunId(run_id))
    return None if head is None else head.status


def expect(run_id: str, status: Status) -> None:
    """Look at the table."""
    if status_of(run_id) is not status:
        raise InvocationFailedError(f"run {run_id} is {status_of(run_id)}, not {status}")
    print(f"  in the table: run {run_id} is {status}", flush=True)


def tell(story: Story) -> None:
    """Every file of events/, in an order that makes sense."""
    story.event("run-create.json")
    story.event("job-execute.json")
    story.drain(ANALYSIS, Status.COMPLETED)
    expect(ANALYSIS, Status.COMPLETED)
    story.event("run-rerun-from.json")
    story.event("run-cancel.json")
    expect(ANALYSIS, Status.CANCELLED)
    story.event("run-transition.json")
    story.event("maintenance-tick.json", "TickFunction")
    expect_letters(story, 0)
    story.event("jobs-one-bad-record.json")
    expect_letters(story, 1)
    story.event("run-create-publish-report.json")
    story.drain(REPORT, Status.SUSPENDED)
    story.event("run-signal.json")
    story.drain(REPORT, Status.COMPLETED)
    expect(REPORT, Status.COMPLETED)
    story.event("run-create-order-process.json")
    story.event("run-cancel-order-process.json")
    expect(ORDER, Status.CANCELLED)
    story.event("run-undo.json")
    expect(ORDER, Status.RUNNING)
    story.drain(ORDER, Status.CANCELLED)
    expect(ORDER, Status.CANCELLED)
    expect_letters(story, 1)


def run(address: str | None) -> int:
    """Build, start the embedded AWS, and tell the story."""
    environment = sam_environment(**({"DOCKER_HOST": address} if address else {}))
    built = build(environment)
    with EmbeddedAws(ROOT / "template.yaml", host="0.0.0.0" if address else "127.0.0.1") as aws:
        place = aws.template.place
        if address is None:
            print("no container engine here: the functions run under Lambda's runtime interface emulator", flush=True)
            pip = (sys.executable, "-m", "pip", "install", "-q", "--target", str(CACHE / "ric"), "awslambdaric")
            quiet(*pip)
            functions = {one.logical_id: one for one in aws.template.functions()}
            code = {name: CACHE / "build" / name for name in functions}
            handlers = {name: one.handler for name, one in functions.items()}
            emulator = Emulator(code, handlers, aws.variables)
            try:
                return finish(Story(emulator, place, aws.template))
            finally:
                emulator.stop()
        os.environ["DOCKER_HOST"] = address
        quiet(str(ROOT / "scripts" / "lambda_image.sh"), IMAGE, sys.executable, "-m", "pip")
        text = json.dumps({one.logical_id: dict(aws.variables) for one in aws.template.functions()})
        variables = CACHE / "variables.json"
        variables.write_text(text.replace("127.0.0.1", HOST))
        return finish(Story(Containers(built, environment, variables), place, aws.template))


def finish(story: Story) -> int:
    """Tell the story; say what was invoked."""
    tell(story)
    files = len(list((ROOT / "events").glob("*.json")))
    print(f"{story.invoked} invocations with {files} event files: 2 runs COMPLETED on the way, 2 CANCELLED", flush=True)
    return 0


def main() -> int:
    """Run it; what went wrong is said, with the end of the functions' logs."""
    LOG.unlink(missing_ok=True)
    try:
        with docker() as address:
            return run(None if "--emulator" in sys.argv else address)
    except InvocationFailedError as error:
        print(f"sam-local: {error}; the functions said last:", file=sys.stderr)
        print(LOG.read_text()[-4000:] if LOG.exists() else "nothing", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
