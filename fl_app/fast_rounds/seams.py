"""What is replaced in flwr, and the check that it is what it was when this was written.

A seam is a name in one of flwr's modules. Its source is compared with that of flwr 1.41.0 before anything is replaced;
where one differs, the process runs stock.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

FLWR = "1.41.0"


@dataclass(frozen=True)
class Seam:
    """A function, method or class of flwr: where it is, and the SHA-256 of its source in flwr 1.41.0."""

    module: str
    name: str
    sha256: str

    def found(self) -> str | None:
        """Return the hash of its source as installed; None where it is not there."""
        try:
            thing = reduce(getattr, self.name.split("."), importlib.import_module(self.module))
            return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:16]
        except (ImportError, AttributeError, TypeError, OSError):
            return None


_CLIENT = "flwr.supernode.start_client_internal"
_STATE = "flwr.supernode.nodestate.in_memory_nodestate"
_CORE = "flwr.supercore.corestate.in_memory_corestate"
_EXECUTOR = "flwr.supercore.superexec.executor.subprocess_executor"
_LINK = "flwr.server.superlink.linkstate.sql_linkstate"
_SERVERAPP = "flwr.superlink.runtime.run_serverapp"
_SQL = "flwr.supercore.corestate.sql_corestate"
_OBJECTS = "flwr.supercore.state.schema.objectstore_models"
_SESSIONS = "flwr.supercore.state.schema.corestate_models"
_NODE_RUNTIME = "flwr.supernode.servicer.runtime.runtime_handlers"
_LINK_RUNTIME = "flwr.superlink.servicer.runtime.runtime_handlers"
_FLEET = "flwr.superlink.servicer.fleet.fleet_handlers"
_RUNTIME_CLIENT = ("flwr.supercore.runtime.runtime_http_client", "RuntimeHttpClient")

SUPERNODE = (
    Seam(_CLIENT, "start_client_internal", "9e89a6eb68fbec68"),
    Seam(_CLIENT, "_pull_and_store_message", "eaf5d0e36dc34e4c"),
    Seam(_CLIENT, "_push_messages", "00bb86faffdec114"),
    Seam(_STATE, "InMemoryNodeState.store_message", "8d38cc83c3fb7d5a"),
    Seam(_STATE, "InMemoryNodeState.finish_task", "6800803a9677cd3d"),
    Seam(_STATE, "InMemoryNodeState._store_error_replies", "3af03090bfae3ea7"),
    Seam(_CORE, "InMemoryCoreState.create_task", "ca22dc66c8990283"),
    Seam(_CORE, "InMemoryCoreState.store_object", "2f952e079f4dadd4"),
    Seam("flwr.supernode.servicer.runtime.runtime_handlers", "acquire_task", "d11e03ec4b0b06a4"),
    Seam("flwr.supercore.routers.runtime.router", "acquire_task", "dd75481efa7c4a7c"),
    Seam(_NODE_RUNTIME, "pull_messages", "49089949d9fd1246"),
    Seam(_NODE_RUNTIME, "push_messages", "f0b01d8d3c43d44a"),
    Seam(_NODE_RUNTIME, "pull_task_input", "035e6c69a7cffcad"),
    Seam(_NODE_RUNTIME, "push_task_output", "1d148b25ce523291"),
    Seam(_NODE_RUNTIME, "confirm_message_received", "d922673fae155c8e"),
    Seam("flwr.supernode.fleet_http_client", "FleetHttpClient", "9f33ca6d39a8f428"),
    Seam("flwr.supernode.main", "create_app", "28b04dd1c24669a2"),
    Seam("flwr.supercore.inflatable.inflatable_utils", "pull_objects", "31bb2de46b450e6a"),
)
SUPERLINK = (
    Seam("flwr.superlink.cli.flower_superlink", "SuperLinkLifespan._start_superexec_if_needed", "134a554c9e570981"),
    Seam("flwr.superlink.main", "_get_middleware", "acdbc2dce1520f8f"),
    Seam("flwr.superlink.routers.fleet.node_auth", "authenticate_node", "f8e66372d61b3653"),
    Seam("flwr.superlink.routers.fleet.node_auth", "NodeAuthMiddleware", "36b9ef8b482a1722"),
    Seam("flwr.superlink.routers.fleet.middlewares", "FleetEventLogMiddleware", "4466ecde96fb2315"),
    Seam("flwr.server.superlink.utils", "check_abort", "4990608beb174034"),
    Seam(_SQL, "SqlCoreState._cleanup_expired_task_tokens", "34301eae2ee4a008"),
    Seam(_SQL, "SqlCoreState.start_session", "1921ed72bdf87baf"),
    Seam(_SQL, "SqlCoreState.preregister_object_tree", "e8627c45d229977f"),
    Seam(_SQL, "SqlCoreState.store_object", "903590e226814f4a"),
    Seam(_SQL, "SqlCoreState._cleanup_push_session", "6e84f952c16abe04"),
    Seam("flwr.supercore.object_store.sql_object_store", "SqlObjectStore", "4c553d469e5fb89c"),
    Seam("flwr.supercore.state.schema.types", "UTCDateTime", "36c1010a1c2ef7b3"),
    Seam(_OBJECTS, "StoredObject", "a8b196ab94adacda"),
    Seam(_OBJECTS, "ObjectChild", "32b78bd579e38cfe"),
    Seam(_OBJECTS, "RunObject", "923078b8b8221030"),
    Seam(_OBJECTS, "ObjectStoreLock", "310fc2a12f6939f7"),
    Seam(_SESSIONS, "ObjectPushSession", "803b8ceca9ec053f"),
    Seam(_SESSIONS, "ObjectPushSessionRoot", "84742c8458dc4f7a"),
    Seam(_SESSIONS, "ObjectPushSessionPending", "a7f693fd4667513b"),
    Seam(_FLEET, "push_messages", "70c2fe927c6693b0"),
    Seam(_FLEET, "push_object", "df7e96f1188e0a40"),
    Seam(_FLEET, "pull_object", "78f6d45fda46df47"),
    Seam(_LINK_RUNTIME, "push_messages", "03b2ea647465c032"),
    Seam(_LINK_RUNTIME, "push_object", "b2f9c8ea398e9778"),
    Seam(_LINK_RUNTIME, "pull_object", "9fad81e6c59e35d8"),
    Seam(_LINK_RUNTIME, "get_nodes", "6c21f1812dd73891"),
    Seam(_LINK, "SqlLinkState.get_node_id_by_public_key", "963255b24bed0d35"),
    Seam(_LINK, "SqlLinkState._lock_run", "6b5866bba8427ac3"),
    Seam(_LINK, "SqlLinkState._load_message_ins_rows", "18748b2fdbccd8fa"),
    Seam(_LINK, "SqlLinkState._check_stored_messages", "e4aa2d05a99a0d66"),
    Seam(_LINK, "SqlLinkState.get_valid_message_ins", "59abe5660f998a11"),
    Seam(_LINK, "SqlLinkState.delete_messages", "d4e4907ef5ac5a74"),
    Seam(_LINK, "_message_model_to_dict", "379c49e10547346d"),
    Seam("flwr.supercore.state.schema.linkstate_models", "MessageRes", "f6104cc7510c1b72"),
    Seam("flwr.supercore.state.schema.linkstate_models", "Run", "1292966651a6e954"),
    Seam(_SESSIONS, "Task", "47299c112d4cfe1f"),
    Seam(_LINK, "SqlLinkState._claim_message_ins_rows", "cd74f93ce469fc83"),
    Seam("flwr.supercore.state.schema.linkstate_models", "MessageIns", "18b05953608d6c53"),
    Seam(_LINK, "SqlLinkState.store_message_ins", "03ff7e13cf98ba01"),
    Seam(_LINK, "SqlLinkState.store_message_res", "0d5ff7f4f292b8c2"),
    Seam(_LINK, "SqlLinkState.get_message_res", "5c1b460981b4e8d0"),
    Seam(_LINK, "SqlLinkState.add_clientapp_runtime", "5e7961fe73058658"),
    Seam("flwr.supercore.state.schema.linkstate_models", "Node", "d2ff0a5c23dd5f7a"),
    Seam(_FLEET, "confirm_message_received", "52bf47754a452d94"),
    Seam(_LINK_RUNTIME, "confirm_message_received", "ff47366421910371"),
    Seam(_LINK, "SqlLinkState.delete_node", "25f36ea18a8cf615"),
    Seam(_LINK, "SqlLinkState.store_traffic", "cc82e5eaf2bb9665"),
    Seam(_LINK, "SqlLinkState.get_run_info", "b6686f297300ab70"),
    Seam(_LINK, "SqlLinkState.create_run", "37e430ddba6bf096"),
    Seam(_SQL, "SqlCoreState.create_task", "e993354ed196d6c2"),
    Seam(_LINK_RUNTIME, "acquire_task", "bd7f7507d885b317"),
    Seam("flwr.supercore.routers.runtime.router", "acquire_task", "dd75481efa7c4a7c"),
    Seam("flwr.supercore.superexec.run_superexec", "run_superexec", "d11f4e7fbc8f0b12"),
)
DIRECT = (
    Seam("fastapi.applications", "FastAPI.__call__", "751d6592f91fc416"),
    Seam("flwr.supercore.error.http", "http_error_translator", "63e39a121204a42b"),
    Seam("flwr.supercore.protobuf.translation", "ProtobufTranslationMiddleware", "5ff23a6fdd06d0f9"),
    Seam("flwr.supercore.protobuf.routing", "ProtobufRoute", "c120a41bd5d51235"),
    Seam("flwr.supercore.routers.runtime.router", "create_runtime_router", "304f992bd83b25e0"),
    Seam("flwr.supercore.routers.runtime.tracing", "RuntimeTracingMiddleware", "4f574b47f7f33cd8"),
    Seam("flwr.supercore.dependencies.runtime", "get_task", "2ef297c4e5381e6a"),
    Seam("flwr.supercore.dependencies.task", "authenticate_task", "7b4c0c58ea91353a"),
    Seam("flwr.supercore.dependencies.superexec", "authenticate_superexec_request", "25520d5ab7206484"),
    Seam("flwr.supercore.dependencies.version", "VersionDependency", "e028ba91776f3f9a"),
)
HOLD = (
    Seam("flwr.supernode.fleet_http_connection", "http_request_response", "b80ca36779c2657f"),
    Seam("flwr.supernode.node_auth_http_interceptor", "NodeAuthHttpInterceptor", "a032beb3c41bf1bb"),
    Seam("flwr.superlink.grid.http_grid", "RuntimeVersionHttpInterceptor", "32dc4f3d763a9ca0"),
    Seam("flwr.superlink.servicer.fleet.fleet_handlers", "pull_messages", "5f1d8861a9eb1465"),
    Seam("flwr.superlink.servicer.runtime.runtime_handlers", "pull_messages", "8c998d6d197c09e4"),
    Seam(_LINK, "SqlLinkState.store_message_and_object_tree", "1fd5d65c086f3d6b"),
    Seam("uvicorn.server", "Server.handle_exit", "553276efa26e09ea"),
)
EXECUTOR = (
    Seam(_EXECUTOR, "SubprocessExecutor", "9c58435eb28cd789"),
    Seam("flwr.supernode.cli.flwr_clientapp", "flwr_clientapp", "9e02b412fb895b05"),
    Seam("flwr.supernode.runtime.run_clientapp", "run_clientapp", "6ce09559f3a2f5dc"),
    Seam("flwr.superlink.cli.flwr_serverapp", "flwr_serverapp", "b274501e3b1ebaf9"),
    Seam("flwr.supernode.runtime.run_clientapp", "push_message", "07cb512c93e065a9"),
    Seam("flwr.supercore.inflatable.inflatable_utils", "pull_and_inflate_object_from_tree", "139811483a15e4a6"),
    Seam(*_RUNTIME_CLIENT, "9d66e89a62052127"),
    Seam("flwr.supercore.heartbeat", "HeartbeatSender", "27714c8e35121c84"),
    Seam("flwr.cli.install", "install_from_fab", "481bd04cde582322"),
    Seam("flwr.cli.install", "validate_and_install", "628b69fb852ae858"),
    Seam("flwr.supercore.telemetry", "create_event", "080882197f2af71a"),
    Seam("flwr.supercore.exit.exit_handler", "add_exit_handler", "c153212885dfd1be"),
    Seam("flwr.supercore.exit", "flwr_exit", "1445f36e9999abb4"),
)
SERVERAPP = (
    Seam(_SERVERAPP, "run_serverapp", "2cf00cc3bc7ef87c"),
    Seam("flwr.server.run_serverapp", "run", "a3c8972eda36ee8c"),
    Seam("flwr.superlink.grid.http_grid", "HttpGrid", "72e288cdc292c3fd"),
    Seam(*_RUNTIME_CLIENT, "9d66e89a62052127"),
    Seam("flwr.supercore.inflatable.inflatable_utils", "pull_objects", "31bb2de46b450e6a"),
)


def differing(seams: Iterable[Seam]) -> list[str]:
    """Return the seams that are not as in flwr 1.41.0, as `module.name`."""
    return [f"{seam.module}.{seam.name}" for seam in seams if seam.found() != seam.sha256]


def as_expected(seams: Iterable[Seam], what: str) -> bool:
    """Return whether all are as expected; say in one line which are not, and that `what` runs stock."""
    from flwr.supercore import log

    names = differing(seams)
    if names:
        log(30, "fast_rounds: %s runs stock, without it: not as in flwr %s: %s", what, FLWR, ", ".join(names))
    return not names
