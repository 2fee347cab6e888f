import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord

from fl_app import arrays
from fl_app.errors import AppError
from fl_app.models import build_model


def test_a_model_survives_the_journey_with_all_its_buffers() -> None:
    sent = build_model("lenet5", 1, 28, 10, seed=1)
    sent(torch.rand(4, 1, 28, 28))  # moves the statistics and the counter of batch normalisation
    record = arrays.from_model(sent)
    received = build_model("lenet5", 1, 28, 10, seed=2)
    arrays.into_model(record, received, "the test")
    expected = sent.state_dict()
    assert int(expected["norm1.num_batches_tracked"]) == 1
    assert all(torch.equal(tensor, expected[name]) for name, tensor in received.state_dict().items())
    assert {str(dtype) for dtype in arrays.dtypes(record).values()} == {"float32"}


def test_a_variance_below_zero_becomes_zero() -> None:
    model = build_model("lenet5", 1, 28, 10, seed=1)
    record = arrays.from_model(model)
    record["norm1.running_var"] = Array(np.full(6, -0.5, np.float32))
    arrays.into_model(record, model, "the test")
    assert model.state_dict()["norm1.running_var"].tolist() == [0.0] * 6
    assert model.eval()(torch.rand(2, 1, 28, 28)).isfinite().all()


def test_arrays_of_another_model_are_refused_in_one_line() -> None:
    record = arrays.from_model(build_model("net", 1, 28, 10, seed=1))
    with pytest.raises(AppError, match="the test does not hold the arrays of this model") as error:
        arrays.into_model(record, build_model("mnist_cnn", 1, 28, 10, seed=1), "the test")
    assert "\n" not in str(error.value)


def test_arrays_go_back_to_the_type_they_had() -> None:
    record = ArrayRecord({"w": Array(np.ones((2, 2), np.float64))})
    again = arrays.like(record, {"w": np.dtype(np.float32)})
    assert again["w"].numpy().dtype == np.float32
    assert arrays.count_bytes(again) < arrays.count_bytes(record)
