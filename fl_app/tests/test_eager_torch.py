"""Training leaves torch's compiler out; who asks for it gets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from fl_app.optimizers import OPTIMIZERS

APP = Path(__file__).resolve().parents[1]
TRAINED = """
import sys
import torch
import eager_torch
eager_torch.without_compiler()
from fl_app.optimizers import OPTIMIZERS
def trained(name):
    torch.manual_seed(1)
    layer = torch.nn.Linear(3, 2)
    optimizer = OPTIMIZERS[name](layer.parameters(), 0.1, 0.9)
    for _ in range(2):
        layer(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    return layer
def real():
    return "torch._dynamo.eval_frame" in sys.modules
layer = trained("sgd")
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", TRAINED + code], cwd=APP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_optimizer_brings_the_compiler() -> None:
    code = f"""
for name in {list(OPTIMIZERS)}:
    trained(name)
    print(name, real())
"""
    assert python(code).splitlines() == [f"{name} False" for name in OPTIMIZERS]


def test_the_steps_are_the_same() -> None:
    weights = TRAINED + f"print([trained(name).weight.tolist() for name in {list(OPTIMIZERS)}])"
    said = [
        subprocess.run([sys.executable, "-c", code], cwd=APP, capture_output=True, text=True, check=True).stdout
        for code in (weights, weights.replace("import eager_torch", "import torch._dynamo, eager_torch"))
    ]
    assert said[0] == said[1]


def test_who_compiles_compiles() -> None:
    code = """
layer = torch.nn.Linear(3, 2)
compiled = torch.compile(layer, backend="eager")
assert real()
x = torch.ones(4, 3)
assert torch.equal(compiled(x), layer(x))
assert torch._dynamo.explain(layer)(x).graph_count == 1
optimizer = torch.optim.SGD(compiled.parameters(), lr=0.1)
compiled(x).sum().backward()
optimizer.step()
print(sys.modules["torch._dynamo"] is torch._dynamo)
"""
    assert python(code) == "True"


def test_who_asks_for_more_gets_the_real_one() -> None:
    uses = [
        "from torch._dynamo import config",
        "import torch._dynamo.config",
        "torch._dynamo.config.suppress_errors = True",
        "torch._dynamo.disable(torch.nn.Linear(1, 1))",
        "from torch._dynamo.utils import is_compile_supported; is_compile_supported('cpu')",
        "from torch._dynamo.utils import counters",
    ]
    # Each in a fork of one that has loaded torch, which takes longer than all the rest.
    code = f"""
import os
for use in {uses}:
    child = os.fork()
    if child == 0:
        exec(use)
        print(use, real(), type(torch._dynamo).__name__, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    assert python(code).splitlines() == [f"{use} True module" for use in uses]


@pytest.mark.parametrize("mark", ["torch._dynamo.disable", "torch.compiler.disable(recursive=False)"])
def test_a_function_that_was_marked_before_is_left_alone_by_a_compiler(mark: str) -> None:
    code = f"""
def compiling(x):
    return x + torch.compiler.is_compiling()
marked = ({mark})(compiling)
x = torch.zeros(1)
marked(x)
assert not real()
print([torch.compile(lambda x: 2 * f(x), backend="eager")(x).item() for f in (compiling, marked)])
"""
    assert python(code) == "[2.0, 0.0]"


def test_models_of_timm_do_without() -> None:
    code = """
from fl_app import initial
from fl_app.datasets import DATASETS
from fl_app.settings import Config
config = Config.of({"model": "mobilenet_v3_small", "dataset": "cifar10"})
model = initial.build(config, DATASETS["cifar10"], None, whole=True)
model(torch.ones(2, 3, 32, 32)).sum().backward()
print(real())
"""
    assert python(code) == "False"


def test_one_that_is_there_stays() -> None:
    said = python(
        "import torch._dynamo.config as there\neager_torch.without_compiler()\nprint(torch._dynamo.config is there)"
    )
    assert said == "True"
