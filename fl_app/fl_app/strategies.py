"""The strategies of Flower that aggregate arrays, one entry each; the table imports no Flower.

Their parameters come from the app's settings (sampling) and from ``strategy_config`` (all others), which is
checked against the constructor's signature.
"""

import inspect
import math
import shlex
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args

from fl_app.errors import AppError

if TYPE_CHECKING:
    from flwr.serverapp.strategy import Strategy

    from fl_app.settings import Config


@dataclass(frozen=True)
class Entry:
    """A strategy.

    ``state``: attributes that its server optimiser keeps between rounds. ``defaults``: parameters that Flower
    gives no default, or one that makes a FedAvg of it; the name of a setting in braces stands for its value.
    ``wraps``: it wraps a FedAvg. ``mod``: the modifier of ``flwr.clientapp.mod`` that devices need.
    ``fewest``: how many devices it needs, as a factor of the malicious ones and a constant.
    """

    state: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    wraps: bool = False
    mod: str | None = None
    fewest: tuple[int, int] = (0, 1)


MOMENTS = ("m_t", "v_t")
# Flower's documentation recommends a noise multiplier of 1 or more for strong privacy; it costs much accuracy
# where few devices take part. A smaller fleet than thought would get too little noise, so min_devices counts.
NOISE = {"noise_multiplier": 1.0, "num_sampled_clients": "{min_devices}"}
FIXED = NOISE | {"clipping_norm": 1.0}
# Flower's own default, a twentieth of the devices, is too little for this noise multiplier with less than ten.
ADAPTIVE = NOISE | {"clipped_count_stddev": 1.0}

STRATEGIES = {
    "FedAvg": Entry(),
    "FedAvgM": Entry(state=("momentum_vector",), defaults={"server_momentum": 0.9}),
    "FedAdam": Entry(state=MOMENTS),
    "FedAdagrad": Entry(state=MOMENTS),
    "FedYogi": Entry(state=MOMENTS),
    "FedProx": Entry(defaults={"proximal_mu": 0.1}),
    "FedMedian": Entry(),
    "FedTrimmedAvg": Entry(),
    "Krum": Entry(),
    "MultiKrum": Entry(),
    "Bulyan": Entry(fewest=(4, 3)),
    "QFedAvg": Entry(defaults={"client_learning_rate": "{lr}"}),
    "DifferentialPrivacyServerSideFixedClipping": Entry(defaults=FIXED, wraps=True),
    "DifferentialPrivacyClientSideFixedClipping": Entry(defaults=FIXED, wraps=True, mod="fixedclipping_mod"),
    "DifferentialPrivacyServerSideAdaptiveClipping": Entry(("clipping_norm",), ADAPTIVE, wraps=True),
    "DifferentialPrivacyClientSideAdaptiveClipping": Entry(("clipping_norm",), ADAPTIVE, True, "adaptiveclipping_mod"),
}

# What Flower also offers, and why no model of this app can be trained with it.
NOT_FOR_ARRAYS = dict.fromkeys(("FedXgbBagging", "FedXgbCyclic"), "it aggregates XGBoost's trees, not arrays")

SCALARS = (bool, int, float, str)
# Parameters that the app's settings or the form of its replies decide.
DECIDED = {
    "fraction_train",
    "fraction_evaluate",
    "min_train_nodes",
    "min_evaluate_nodes",
    "min_available_nodes",
    "weighted_by_key",
    "arrayrecord_key",
    "configrecord_key",
    "train_loss_key",
}


def check(config: "Config", devices: int) -> None:
    """Raise `AppError` where the settings of the strategy are wrong or ``devices`` are too few for it."""
    given = parameters(config)
    if given:
        build(config)  # the constructor knows the ranges of its parameters
    factor, constant = STRATEGIES[config.strategy].fewest
    needed = factor * int(given.get("num_malicious_nodes", 0)) + constant
    if devices < needed:
        raise AppError(f"strategy={config.strategy} needs at least {needed} devices, this fleet has {devices}")


def parameters(config: "Config") -> dict[str, Any]:
    """Return ``strategy_config`` as keyword arguments, checked against the strategy's constructor."""
    if not config.strategy_config.strip():
        return {}
    allowed = _signature(config.strategy)
    result = {}
    for word in _words(config.strategy_config):
        name, equals, text = word.partition("=")
        if not equals or name not in allowed:
            raise AppError(
                f"strategy_config: {word!r} is no parameter of {config.strategy}: it takes "
                + (", ".join(f"{key}=<{kind.__name__}>" for key, kind in allowed.items()) or "none")
            )
        result[name] = _value(name, text, allowed[name])
    return result


def build(config: "Config") -> "Strategy":
    """Return the strategy that ``config`` asks for.

    A round samples the fraction of the online devices, and at least the same fraction of ``min_devices``.
    Raises `AppError` where its constructor refuses a parameter.
    """
    from flwr.serverapp import strategy

    entry = STRATEGIES[config.strategy]
    sampling: dict[str, Any] = {
        "fraction_train": config.fraction_train,
        "fraction_evaluate": config.fraction_evaluate,
        "min_train_nodes": max(_at_least_one(config.fraction_train * config.min_devices), config.min_train_devices),
        "min_evaluate_nodes": _at_least_one(config.fraction_evaluate * config.min_devices),
        "min_available_nodes": config.min_devices,
    }
    # A default in braces is the value of the setting that it names.
    own = {
        name: getattr(config, value[1:-1]) if isinstance(value, str) else value
        for name, value in entry.defaults.items()
    } | parameters(config)
    make = getattr(strategy, config.strategy)
    try:
        if entry.wraps:
            made: Strategy = make(strategy.FedAvg(**sampling), **own)
        else:
            made = make(**sampling, **own)
    except ValueError as error:
        raise AppError(f"strategy={config.strategy}, strategy_config={config.strategy_config!r}: {error}") from error
    return made


def _at_least_one(number: float) -> int:
    return max(int(number), 1)


def _signature(name: str) -> dict[str, type]:
    """Return the constructor's scalar parameters, with their types, but for those that the app decides."""
    from flwr.serverapp import strategy

    found: dict[str, type] = {}
    for parameter in inspect.signature(getattr(strategy, name).__init__, eval_str=True).parameters.values():
        annotation = parameter.annotation
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        kind = next((scalar for scalar in SCALARS if scalar in kinds), None)
        if kind and parameter.name not in DECIDED:
            found[parameter.name] = kind
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise AppError(f"strategy_config={text!r}: {error}") from error


def _value(name: str, text: str, kind: type) -> bool | int | float | str:
    truth = {"true": True, "false": False}
    try:
        value: bool | int | float | str = truth[text.lower()] if kind is bool else kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        return value
    except (KeyError, ValueError):
        raise AppError(f"strategy_config: {name}={text!r} is not a valid {kind.__name__}") from None
