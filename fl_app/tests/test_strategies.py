import inspect
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy
from flwr.serverapp.strategy import Strategy

from fl_app import checkpoints, strategies
from fl_app.errors import AppError
from fl_app.run_folder import RunFolder
from fl_app.settings import Config
from fl_app.strategies import NOT_FOR_ARRAYS, STRATEGIES

from .app_fleet import Fleet, config_of, set_task


def record(value: float) -> ArrayRecord:
    # The second array is one number, like the counter of batch normalisation.
    arrays = {"w": np.full((3, 2), value, np.float32), "n": np.asarray(value, np.float32)}
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def one_round(made: Strategy, number: int, arrays: ArrayRecord, values: list[float]) -> ArrayRecord:
    """Have ``made`` send ``arrays`` to as many devices as there are ``values`` and aggregate these."""
    set_task(1)
    fleet = Fleet({}, [{}] * len(values))
    out = list(made.configure_train(number, arrays, ConfigRecord({}), fleet))
    replies = []
    for message, value in zip(out, values, strict=True):
        metrics = MetricRecord({"num-examples": 10, "train_loss": 0.5, "norm_bit": 1})
        replies.append(Message(RecordDict({"arrays": record(value), "metrics": metrics}), reply_to=message))
    new, together = made.aggregate_train(number, replies)
    assert new is not None
    assert together is not None
    return new


def test_the_table_is_all_that_flower_offers_for_arrays() -> None:
    offered = {
        name
        for name, value in vars(strategy).items()
        if inspect.isclass(value) and issubclass(value, Strategy) and value is not Strategy
    }
    assert offered == set(STRATEGIES) | set(NOT_FOR_ARRAYS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_made_and_aggregates(name: str) -> None:
    config = Config.of({"strategy": name, "min-devices": 4})
    new = one_round(strategies.build(config), 1, record(1.0), [2.0, 2.0, 2.0, 2.0])
    assert new["w"].numpy().shape == (3, 2)
    assert np.isfinite(new["w"].numpy()).all()
    if STRATEGIES[name].wraps:
        assert len(np.unique(new["w"].numpy())) == 6  # there is noise
    else:
        assert (new["w"].numpy() > 1.0).all()  # it went where the devices went


@pytest.mark.parametrize("name", [name for name, entry in STRATEGIES.items() if entry.mod])
def test_the_modifiers_that_devices_need_exist(name: str) -> None:
    from flwr.clientapp import mod

    assert callable(getattr(mod, str(STRATEGIES[name].mod)))


@pytest.mark.parametrize("name", [name for name, entry in STRATEGIES.items() if entry.state])
def test_the_state_of_a_server_optimiser_survives_a_checkpoint(name: str, tmp_path: Path) -> None:
    settings = {"strategy": name, "min-devices": 2}
    if STRATEGIES[name].wraps:
        # Without noise, so that two runs can be compared.
        settings["strategy-config"] = "noise_multiplier=0 clipped_count_stddev=0"
    config = Config.of(settings)
    names = STRATEGIES[name].state
    whole = strategies.build(config)
    middle = one_round(whole, 1, record(1.0), [2.0, 3.0])
    folder = RunFolder(tmp_path)
    checkpoints.save(folder, 1, middle, whole, names)
    expected = one_round(whole, 2, middle, [4.0, 5.0])

    resumed = strategies.build(config)
    last = checkpoints.load(tmp_path)
    checkpoints.restore(resumed, names, last.state)
    arrays = last.fitting(record(0.0))
    assert (last.round, list(arrays)) == (1, ["w", "n"])
    again = one_round(resumed, 2, arrays, [4.0, 5.0])
    fresh = one_round(strategies.build(config), 2, arrays, [4.0, 5.0])
    assert np.array_equal(again["w"].numpy(), expected["w"].numpy())
    # On the device clipping happens before; the server only counts the bits, and the array does not show it.
    if "ClientSide" not in name:
        assert not np.array_equal(fresh["w"].numpy(), expected["w"].numpy())
    for attribute in names:
        np.testing.assert_equal(vars(resumed)[attribute], vars(whole)[attribute])


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    checkpoints.save(RunFolder(tmp_path), 3, record(1.0), strategies.build(Config.of({})), ())
    with pytest.raises(
        AppError, match=r"round-3\.safetensors is a checkpoint of another model: n has shape \(\), where None"
    ):
        checkpoints.load(tmp_path).fitting(ArrayRecord({"other": Array(np.zeros(2))}))


def test_a_folder_without_a_checkpoint_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"no model/round-N\.safetensors"):
        checkpoints.load(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "round-2.safetensors").write_bytes(b"cut")
    with pytest.raises(AppError, match=r"round-2\.safetensors cannot be read"):
        checkpoints.load(tmp_path)


def test_parameters_reach_the_constructor_with_their_types() -> None:
    made = strategies.build(Config.of({"strategy": "FedAdam", "strategy-config": "eta=0.5 tau=1e-9"}))
    assert (vars(made)["eta"], vars(made)["tau"]) == (0.5, 1e-9)
    krum = strategies.build(Config.of({"strategy": "MultiKrum", "strategy-config": "num_nodes_to_select=3"}))
    assert vars(krum)["num_nodes_to_select"] == 3


def test_a_default_may_be_the_value_of_a_setting() -> None:
    made = strategies.build(Config.of({"strategy": "QFedAvg", "lr": 0.25}))
    assert vars(made)["client_learning_rate"] == 0.25


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("FedAvg", "eta=1", "no parameter of FedAvg: it takes none"),
        ("FedAdam", "eta=fast", "eta='fast' is not a valid float"),
        ("FedAdam", "eta=nan", "eta='nan' is not a valid float"),
        ("FedAdam", "eta", "'eta' is no parameter of FedAdam: it takes eta=<float>"),
        ("FedAdam", "min_train_nodes=3", "no parameter of FedAdam"),
        ("FedAdam", "'eta=1", "No closing quotation"),
        ("FedTrimmedAvg", "beta=0.9", "`beta` must be in the range"),
    ],
)
def test_a_wrong_parameter_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(AppError) as error:
        strategies.check(Config.of({"strategy": name, "strategy-config": text}), devices=4)
    assert words in str(error.value)


def test_more_devices_train_than_the_fraction_where_asked() -> None:
    made = strategies.build(Config.of(config_of(min_devices=4, fraction_train=0.25, min_train_devices=3)))
    set_task(1)
    assert len(list(made.configure_train(1, record(1.0), ConfigRecord({}), Fleet({}, [{}] * 4)))) == 3


def test_the_fraction_counts_where_min_devices_is_the_whole_fleet() -> None:
    config = Config.of(config_of(min_devices=4, fraction_train=0.5))
    made = strategies.build(config)
    set_task(1)
    assert len(list(made.configure_train(1, record(1.0), ConfigRecord({}), Fleet({}, [{}] * 4)))) == 2
