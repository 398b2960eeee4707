"""The connection to a Ray cluster, or to one started here for this command only."""

import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from typing import Any

import ray

from hpo.errors import DeviceError
from hpo.training import machine


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster quietly; Ray's changes to this process are undone afterwards.

    A local cluster listens only on 127.0.0.1, and its token is in the memory of its processes.
    """
    driver, constants, environment = ray._private.worker, ray._private.ray_constants, os.environ
    before = driver.print_to_stdstream, constants.ENABLE_RAY_CLUSTER, dict(environment)
    handler = signal.getsignal(signal.SIGTERM)
    if address == "auto":
        address = environment.get("RAY_ADDRESS") or "local"
        machine.check_ray(address, source="RAY_ADDRESS")
    options: dict[str, Any] = {"address": address}
    try:
        # Ray prints the ends of actors and nodes on standard output.
        driver.print_to_stdstream = lambda *_, **__: None
        environment["RAY_USAGE_STATS_ENABLED"] = "0"
        if address == "local":
            options |= {"num_cpus": machine.n_cores(), "include_dashboard": False}
            environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            environment.pop("RAY_AUTH_MODE", None)  # Then Ray requires the token.
            # Like Ray on macOS: this machine is 127.0.0.1.
            environment[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
            constants.ENABLE_RAY_CLUSTER = False
        else:
            check_answers(address)
        try:
            # Ray adds the working folder, which may not be trusted, to the module path of actors.
            with contextlib.chdir(os.sep):
                ray.init(**options, logging_level="CRITICAL", log_to_driver=False)
        except Exception as error:  # Ray raises errors of many types.
            hint = (
                "Run the same command again, or without --ray."
                if address == "local"
                else "This command must run on a machine of the cluster, with its token "
                "(RAY_AUTH_MODE=token; docs/ray.md)."
            )
            problem = f"The Ray cluster at {address} cannot be used"
            raise DeviceError(f"{problem}: {why(error)} {hint}") from error
        with contextlib.suppress(ValueError):  # Ray replaces it in the main thread.
            signal.signal(signal.SIGTERM, handler)
        yield
    finally:
        ray.shutdown()
        driver.print_to_stdstream, constants.ENABLE_RAY_CLUSTER = before[:2]
        environment.clear()
        environment.update(before[2])


def check_answers(address: str, *, node: str = "") -> None:
    """Raise DeviceError if the head or a node does not answer, as Ray would try for minutes."""
    host, _, port = (node or address).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise DeviceError(
            f"No Ray cluster answers at {address}: {error.strerror or error}. Start one there: "
            f"`ray start --head --port={address.rpartition(':')[2]}`, or one on this machine with "
            "--ray auto."
        ) from None


def why(error: Exception) -> str:
    """Return the last line of an error of Ray as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "out of memory" in str(error):  # Ray's message is a page long.
        return "Its memory is full."
    return lines[-1][:200].rstrip(".") + "." if lines else f"{type(error).__name__}."
