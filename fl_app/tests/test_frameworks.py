"""What can be said of the frameworks where TensorFlow is not installed; tests/with_tensorflow has the rest."""

import subprocess
import sys
from typing import Any

import pytest

from fl_app import frameworks, host, keras_models, memory
from fl_app.datasets import DATASETS
from fl_app.errors import AppError
from fl_app.models import MODELS
from fl_app.optimizers import KERAS_OPTIMIZERS, OPTIMIZERS
from fl_app.settings import PYPROJECT, Config

TENSORFLOW = {"framework": "tensorflow"}


def test_what_keras_has_is_what_torch_has() -> None:
    assert keras_models.MODELS.keys() <= MODELS.keys()
    assert KERAS_OPTIMIZERS.keys() == OPTIMIZERS.keys()


def test_the_defaults_are_allowed_with_every_framework() -> None:
    for name in frameworks.FRAMEWORKS:
        assert Config.of({"framework": name}).framework == name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"framework": "jax"}, ["framework='jax'", "one of torch, tensorflow"]),
        ({**TENSORFLOW, "model": "resnet18"}, ["model=resnet18", "tensorflow", "one of net, mnist_cnn, mobilenet_v2"]),
        ({**TENSORFLOW, "model": "timm/vit_tiny_patch16_224"}, ["model=timm/vit_tiny_patch16_224", "mobilenet_v2"]),
        ({**TENSORFLOW, "algorithm": "FedNTD"}, ["algorithm=FedNTD", "one of plain"]),
        ({**TENSORFLOW, "finetune": "head"}, ["finetune=head", "framework=tensorflow", "one of whole"]),
        ({**TENSORFLOW, "weights": "imagenet"}, ["weights=imagenet", "framework=tensorflow", "leave it out"]),
    ],
)
def test_what_a_framework_does_not_know_is_named_with_what_it_does(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AppError) as error:
        Config.of(given)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_framework_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "fl_app.keras_learner", raising=False)
    with pytest.raises(AppError, match=r"framework=tensorflow cannot be imported on this host: .*keras"):
        frameworks.learner(Config.of(TENSORFLOW), DATASETS["mnist5k"], None, whole=True)


def test_memory_is_not_measured_where_the_framework_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(host, "versions", lambda: {"torch": "2.10.0"})
    assert memory.needed_mb(Config.of(TENSORFLOW), tmp_path) is None


def test_what_all_frameworks_share_imports_none() -> None:
    code = (
        "import sys, fl_app.client_app, fl_app.server_app, fl_app.work, fl_app.federation, fl_app.memory;"
        "sys.exit(bool({'torch', 'tensorflow', 'keras'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PYPROJECT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
