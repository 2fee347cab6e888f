"""The arrays of a message travel as one, and nobody but the wire sees it."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fl_app import federation, one_array
from fl_app.passing import Passing

from .app_fleet import Run, app_json, read_csv

QUICK = {"epochs": 1, "rounds": 2, "model": "mnist_cnn"}


def record() -> ArrayRecord:
    return ArrayRecord(
        {
            "z.weight": Array(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "a.count": Array(np.asarray(3.0, np.float32)),
            "m": Array(np.zeros((0, 4), np.float64)),
        }
    )


def test_arrays_come_back_in_their_order_with_their_shapes_and_types() -> None:
    back = one_array.unpack(one_array.pack(record()))
    assert list(back) == ["z.weight", "a.count", "m"]
    for name, array in record().items():
        assert (back[name].shape, back[name].dtype) == (array.shape, array.dtype)
        assert np.array_equal(back[name].numpy(), array.numpy())


def test_what_was_not_packed_is_left_alone() -> None:
    given = record()
    assert one_array.unpack(given) is given


def test_every_message_of_a_run_has_one_array(run: Run) -> None:
    seen = []

    def look(node: int, message: Message) -> Message:
        seen.append(message.content.array_records["arrays"])
        return message

    folder = run(fault=look, **QUICK)
    assert [row["failures"] for row in read_csv(folder / "rounds.csv")] == ["0", "0"]
    assert seen
    assert all(one_array.is_packed(arrays) for arrays in seen)


# Adam goes by name, clipping on the devices by position.
@pytest.mark.parametrize("strategy", ["FedAdam", "DifferentialPrivacyClientSideFixedClipping"])
def test_the_model_is_the_same_to_the_last_bit(run: Run, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**QUICK, "strategy": strategy, "evaluation": "after_training"}
    if strategy.startswith("Diff"):
        monkeypatch.setattr(np.random, "normal", lambda loc, scale, size: np.zeros(size))  # its noise has no seed
    packed = run(**settings)
    monkeypatch.setattr(one_array, "pack", lambda arrays: arrays)
    plain = run(**settings)
    model = Path("model") / "round-2.safetensors"
    one, two = (load(folder / model) for folder in (packed, plain))
    assert one == two


def load(path: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: array.tobytes() for name, array in load_file(path).items()}


def test_a_damaged_answer_is_a_failure_of_that_device(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaging(Passing):
        def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
            replies = list(super().send_and_receive(messages, timeout=timeout))
            for reply in replies:
                if reply.metadata.src_node_id == 101 and reply.content.array_records:
                    whole = reply.content.array_records["arrays"][one_array.NAME].data
                    cut = Array(dtype="uint8", shape=(9,), stype=one_array.FORMAT, data=whole[:9])
                    reply.content = RecordDict({**reply.content, "arrays": ArrayRecord({one_array.NAME: cut})})
            return replies

    monkeypatch.setattr(federation, "OneArray", lambda grid: one_array.OneArray(Damaging(grid)))
    folder = run(**QUICK)
    assert [(row["devices"], row["failures"]) for row in read_csv(folder / "rounds.csv")] == [("2", "1")] * 2
    assert app_json(folder)["failures"][0]["reason"].startswith("its arrays cannot be read: SafetensorError")
