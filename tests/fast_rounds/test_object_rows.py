"""A SuperLink's database holds the same objects after plain statements as after stock's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore

from fast_rounds import object_rows
from link_state import assert_alike, installing, link, rows


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Install plain statements for the rest of this test."""
    return installing(
        monkeypatch,
        object_rows.install,
        {
            SqlObjectStore: ("preregister", "get_object_tree", "delete", "_lock_objectstore_mutation"),
            SqlCoreState: ("start_session", "preregister_object_tree"),
        },
    )


def name(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def trees(seed: int) -> list[ObjectTree]:
    """Return random trees that share many of their objects; an object has the same children in all of them."""
    drawn = random.Random(seed)
    levels: list[list[ObjectTree]] = [[ObjectTree(object_id=name(f"leaf {number}")) for number in range(6)]]
    for depth in range(3):
        below = [tree for level in levels for tree in level]
        levels.append(
            [
                ObjectTree(
                    object_id=name(f"{depth} {number}"), children=drawn.sample(below, drawn.randrange(1, len(below)))
                )
                for number in range(4)
            ]
        )
    return [
        ObjectTree(object_id=name(f"root {number}"), children=drawn.sample(levels[-1], drawn.randrange(1, 4)))
        for number in range(8)
    ]


def shape(tree: ObjectTree) -> tuple[str, frozenset[Any]]:
    return tree.object_id, frozenset(map(shape, tree.children))


def steps(state: SqlLinkState, runs: list[int], seed: int) -> Iterator[Any]:
    """Do things to a state in a random order; yield what each of them says."""
    drawn, known = random.Random(seed), trees(seed)
    store = state.object_store
    for _ in range(40):
        tree, run = drawn.choice(known), drawn.choice(runs)
        match drawn.randrange(5):
            case 0 | 1:
                session = state.start_session(run)
                others = drawn.sample([one for one in known if one.object_id != tree.object_id], drawn.randrange(3))
                yield [sorted(state.preregister_object_tree(one, session)) for one in (tree, *others)]
            case 2:
                try:
                    yield shape(store.get_object_tree(tree.object_id))
                except NoObjectInStoreError:
                    yield "not there"
            case 3:
                store.delete(drawn.choice([tree, tree.children[0]]).object_id)
                yield "deleted"
            case 4:
                store.delete_objects_in_run(run) if drawn.random() < 0.2 else None
                yield "run"


@pytest.mark.parametrize("seed", range(3))
def test_the_database_is_as_after_stocks_statements(tmp_path: Path, plain: Callable[[], None], seed: int) -> None:
    said = assert_alike(tmp_path, plain, lambda state, runs: steps(state, runs, seed), rows)
    assert len(set(map(repr, said))) > 5


def test_what_cannot_be_is_refused_as_in_stock_and_leaves_nothing(tmp_path: Path, plain: Callable[[], None]) -> None:
    leaf = ObjectTree(object_id=name("leaf"))
    known = ObjectTree(object_id=name("known"), children=[leaf])
    wrong = {
        "Invalid object ID format": ObjectTree(object_id="none"),
        "duplicate children": ObjectTree(object_id=name("twice"), children=[leaf, leaf]),
        "different children": ObjectTree(
            object_id=name("root"), children=[ObjectTree(object_id=name("new")), ObjectTree(object_id=name("known"))]
        ),
    }

    def refusals(path: Path) -> list[str]:
        state, (run, _) = link(path)
        session = state.start_session(run)
        state.preregister_object_tree(known, session)
        before, said = rows(state, [run]), []
        for words, tree in wrong.items():
            with pytest.raises(ValueError, match=words) as refused:
                state.preregister_object_tree(tree, session)
            said.append(str(refused.value))
        with pytest.raises(ValueError, match="Unknown object push session") as refused:
            state.preregister_object_tree(known, "nobody's")
        with pytest.raises(NoObjectInStoreError):
            state.object_store.get_object_tree(name("nobody's"))
        assert rows(state, [run]) == before
        return [*said, str(refused.value)]

    stock = refusals(tmp_path / "stock.db")
    plain()
    assert refusals(tmp_path / "plain.db") == stock
