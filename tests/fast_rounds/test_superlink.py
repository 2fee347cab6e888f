"""A SuperLink with less work for each request answers as stock's does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.main import create_app
from starlette.middleware.base import BaseHTTPMiddleware

from fast_rounds import expiry, layers


async def answers() -> dict[tuple[str, str], tuple[int, bytes, dict[str, str]]]:
    """Return what a SuperLink says to each request there is, without a key: an empty one and one that is none."""
    said = {}
    transport = httpx.ASGITransport(create_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://superlink") as client:
        for _, path in PROTOBUF_REQUEST_TYPES:
            for body in (b"", b"\xff\xff"):
                answer = await client.post(path, content=body, headers={"content-type": PROTOBUF_MEDIA_TYPE})
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.+]+", b"now", answer.content)
                said[path, body.hex()] = (answer.status_code, content, dict(answer.headers))
    return said


def test_layers_that_are_left_out_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = asyncio.run(answers())
    monkeypatch.setattr(BaseHTTPMiddleware, "__call__", BaseHTTPMiddleware.__call__)
    layers.install()
    assert asyncio.run(answers()) == stock
    whole = {path: status for (path, body), (status, _, _) in stock.items() if not body}
    assert {status for path, status in whole.items() if path.startswith("/v1/fleet/")} == {401}
    assert 200 in whole.values()


def test_silent_tasks_are_looked_for_twice_a_second_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    stock = SqlCoreState._cleanup_expired_task_tokens

    def look(self: SqlCoreState) -> None:
        looked.append(1)
        stock(self)

    clock = [1000.0]
    monkeypatch.setattr(expiry, "monotonic", lambda: clock[0])
    monkeypatch.setattr(SqlCoreState, "_cleanup_expired_task_tokens", look)
    expiry.install()
    state = SqlLinkState(str(tmp_path / "link.db"), NoOpFederationManager(), ObjectStoreFactory().store())
    state.initialize()
    for _ in range(5):
        state.get_tasks()
    assert len(looked) == 1
    clock[0] += expiry.EVERY
    state.get_tasks()
    assert len(looked) == 2
