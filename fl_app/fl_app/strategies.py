"""The strategies of ``flwr.serverapp.strategy`` that aggregate arrays, one entry each; the table imports no Flower.

Their parameters come from the app's settings (sampling) and from ``strategy_config`` (all others), which is
checked against the constructor's signature.
"""

import inspect
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
    gives no
    default or a useless one, as values or as names of settings in braces. ``wraps``: it wraps a FedAvg.
    ``mod``: the modifier of ``flwr.clientapp.mod`` that devices need. ``replies``: replies it needs, by the
    number of malicious nodes, as (factor, constant).
    """

    state: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    wraps: bool = False
    mod: str | None = None
    replies: tuple[int, int] = (0, 1)


MOMENTS = ("m_t", "v_t")
# Flower's documentation recommends a noise multiplier of 1 or more for strong privacy; it costs much accuracy
# where few devices take part. A smaller fleet than thought would get too little noise, so min_devices counts.
NOISE = {"noise_multiplier": 1.0, "num_sampled_clients": "{min_devices}"}
FIXED = NOISE | {"clipping_norm": 1.0}

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
    "Bulyan": Entry(replies=(4, 3)),
    "QFedAvg": Entry(defaults={"client_learning_rate": "{lr}"}),
    "DifferentialPrivacyServerSideFixedClipping": Entry(defaults=FIXED, wraps=True),
    "DifferentialPrivacyClientSideFixedClipping": Entry(defaults=FIXED, wraps=True, mod="fixedclipping_mod"),
    "DifferentialPrivacyServerSideAdaptiveClipping": Entry(("clipping_norm",), NOISE, wraps=True),
    "DifferentialPrivacyClientSideAdaptiveClipping": Entry(
        ("clipping_norm",), NOISE, True, "adaptiveclipping_mod"
    ),
}

# These aggregate trees in XGBoost's own format, not arrays: no model of this app can be trained with them.
NOT_FOR_ARRAYS = ("FedXgbBagging", "FedXgbCyclic")

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
    entry = _entry(config.strategy)
    given = parameters(config)
    factor, constant = entry.replies
    needed = factor * int(given.get("num_malicious_nodes", 0)) + constant
    if devices < needed:
        raise AppError(
            f"strategy={config.strategy} needs at least {needed} devices, this fleet has {devices}"
        )


def parameters(config: "Config") -> dict[str, Any]:
    """Return ``strategy_config`` as keyword arguments, checked against the strategy's constructor."""
    _entry(config.strategy)
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

    entry = _entry(config.strategy)
    sampling: dict[str, Any] = {
        "fraction_train": config.fraction_train,
        "fraction_evaluate": config.fraction_evaluate,
        "min_train_nodes": _at_least_one(config.fraction_train * config.min_devices),
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
        raise AppError(
            f"strategy={config.strategy}, strategy_config={config.strategy_config!r}: {error}"
        ) from error
    return made


def _entry(name: str) -> Entry:
    if name in NOT_FOR_ARRAYS:
        raise AppError(
            f"strategy={name} aggregates XGBoost's trees, not arrays: it cannot train this app's models"
        )
    if name not in STRATEGIES:
        raise AppError(f"strategy={name!r} is not one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def _at_least_one(number: float) -> int:
    return max(int(number), 1)


def _signature(name: str) -> dict[str, type]:
    """Return the scalar parameters of the constructor that the app does not decide itself, with their types."""
    from flwr.serverapp import strategy

    found = {}
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
        return truth[text.lower()] if kind is bool else kind(text)  # type: ignore[no-any-return]
    except (KeyError, ValueError):
        raise AppError(f"strategy_config: {name}={text!r} is not a valid {kind.__name__}") from None
