"""The process of an app: `flwr-clientapp` or `flwr-serverapp`, as stock has it or without the start of Python."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

SAID = 87  # exit status of a process that ended as flwr's do: it has told the SuperNode itself how it went


def _clientapp() -> None:
    from importlib import import_module

    from flwr.supercore.inflatable import inflatable_utils
    from flwr.supernode.cli import flwr_clientapp

    from fast_rounds import heartbeats, objects, parcel_client, silence, unpacked
    from fast_rounds.clientapp_client import ClientAppClient

    module = import_module("flwr.supernode.runtime.run_clientapp")
    vars(module)["RuntimeHttpClient"] = ClientAppClient
    parcel_client.install_app(module)
    objects.install(inflatable_utils)
    heartbeats.install(module)
    silence.install()
    unpacked.install(module)
    flwr_clientapp()


def _serverapp() -> None:
    from fast_rounds import serverapp

    serverapp.main()


ENTRIES: dict[str, Callable[[], None]] = {"flwr-clientapp": _clientapp, "flwr-serverapp": _serverapp}


def become(argv: list[str], quiet: bool) -> None:
    """Be the process that `argv` names; ends this one. `quiet`: its output goes nowhere, as stock does it."""
    _as_new()
    if quiet:
        _silence()
    sys.argv = argv
    status = 1
    try:
        ENTRIES[argv[0]]()
    except SystemExit:
        status = SAID  # the end of flwr_exit, whose handlers have pushed the outcome
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # as at the end of Python: waits for the app's threads …
        atexit._run_exitfuncs()  # … and runs what the app registered
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def execute(argv: list[str], quiet: bool) -> None:
    """Become the program that `argv` names, found by PATH."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if quiet:
        _silence()
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"WARNING :  fast_rounds: {argv[0]} cannot be started: {error}", file=sys.stderr, flush=True)


def _silence() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def _as_new() -> None:
    """Undo what a process has of its parent and a new one has not."""
    import numpy as np
    from flwr.supercore.exit import exit_handler

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exit_handler.registered_exit_handlers.clear()
    np.random.seed()  # Python's own random does so by itself
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def report(argv: list[str], how: str) -> None:
    """Tell the SuperNode or SuperLink that the process of `argv` has ended, and `how`; ends this one."""
    from flwr.common.args import try_obtain_flwr_app_token
    from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushTaskOutputRequest
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient
    from flwr.supercore.tls import validate_and_resolve_root_certificates
    from flwr.supernode.cli.flwr_clientapp import _parse_args_run_flwr_clientapp

    args = _parse_args_run_flwr_clientapp().parse_args(argv[1:])
    client = RuntimeHttpClient.from_server_address(
        server_address=args.runtime_api_address,
        insecure=args.insecure,
        root_certificates=validate_and_resolve_root_certificates(args.root_certificates, args.insecure),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name=argv[0]),
            RuntimeTokenHttpInterceptor(try_obtain_flwr_app_token(args)),
        ],
    )
    if argv[0] == "flwr-clientapp":
        client.PullMessages(PullAppMessagesRequest())  # only a message that was fetched is answered
    client.PushTaskOutput(PushTaskOutputRequest(sub_status="failed", details=f"the process of {argv[0]} {how}"))
    os._exit(0)
