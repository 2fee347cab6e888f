"""The table of bad input: what a user may get wrong, and the one line that is said of it.

`{folder}` stands for the folder that a case has to itself; its files are written there, the inventory's among them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from certificates import certificate


@dataclass(frozen=True)
class Case:
    """What is given, and what is said of it. A file without content is a folder; `hosts`: variables of devices."""

    given: tuple[str, ...]
    says: str
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    hosts: Mapping[str, dict[str, object]] = field(default_factory=dict)
    playbook: str = "run_fl"
    name: str = ""

    @property
    def id(self) -> str:
        return self.name or " ".join(self.given)


def case(*given: str, says: str, **rest: Any) -> Case:
    return Case(given, says, **rest)


HOSTS = "inventory/hosts.yml"
VARS = "inventory/group_vars/all.yml"
HERE = {"ansible_connection": "local"}
WHOLE = "allowed: a whole number from 1"
MINE = ("app={folder}/app",)


def groups(**found: list[str]) -> dict[str, str]:
    children = {name: {"hosts": {host: HERE for host in hosts}} for name, hosts in found.items()}
    return {HOSTS: yaml.safe_dump({"all": {"children": children}})}


def app(more: str = "", *, publisher: str = "publisher = 'me'", **modules: str) -> dict[str, str | bytes | None]:
    project = (
        f"[project]\nname = 'x'\nversion = '1'\n[tool.flwr.app]\n{publisher}\n[tool.flwr.app.components]\n"
        f"serverapp = 'x.server:app'\nclientapp = 'x.client:app'\n{more}"
    )
    code = {"__init__": "", "server": "app = 1\n", "client": "app = 1\n", **modules}
    return {"app/pyproject.toml": project, **{f"app/x/{name}.py": text for name, text in code.items()}}


SETTINGS = [
    case("rounds=0", says=f"rounds=0 (extra var) is not allowed; {WHOLE}"),
    case("rounds=abc", says=f"rounds=abc (extra var) is not allowed; {WHOLE}"),
    case("rounds=2.5", says=f"rounds=2.5 (extra var) is not allowed; {WHOLE}"),
    case("rounds=", says=f"rounds= (extra var) is not allowed; {WHOLE}"),
    case('{"rounds": [3]}', says=f"rounds=[3] (extra var) is not allowed; {WHOLE}"),
    case('{"rounds": null}', says=f"rounds=None (extra var) is not allowed; {WHOLE}"),
    case("rounds", says="-e rounds is no setting; allowed: -e name=value, -e @FILE"),
    case("roundz=3", says="roundz (extra var) is no setting (did you mean rounds?); allowed: "),
    case("model=nope", says="model=nope (extra var) is not allowed; allowed: net, lenet5, mnist_cnn"),
    case("dataset=mnist5", says="is not allowed (did you mean mnist5k?); allowed: mnist5k, "),
    case("min_devices=3", says="min_devices=3 (extra var) is not allowed; allowed: up to 2, the devices in the inv"),
    case("lr=nan", says="lr=nan (extra var) is not allowed; allowed: a number above 0"),
    case("lr=inf", says="lr=inf (extra var) is not allowed; allowed: a number above 0"),
    case("seed=99999999999", says="seed=99999999999 (extra var) is not allowed; allowed: a whole number from 0"),
    case("fraction_train=0", says="fraction_train=0 (extra var) is not allowed; allowed: a number above 0 up to 1"),
    case("fraction_evaluate=1.1", says="allowed: a number from 0 up to 1"),
    case("strategy=FedXgbBagging", says="strategy=FedXgbBagging (extra var) is not allowed; allowed: FedAvg, "),
    case("partitioner=random", says="allowed: iid, dirichlet, shard, pathological"),
    case("insecure=maybe", says="insecure=maybe (extra var) is not allowed; allowed: true, false"),
    case("superlink_port=99999", says="superlink_port=99999 (extra var) is not allowed; allowed: a whole"),
    case("services=perhaps", says="services=perhaps (extra var) is not allowed; allowed: true", playbook="stop"),
    case("rounds=0", says="rounds=0 (extra var) is not allowed", playbook="provision", name="provision.yml rounds=0"),
    case(
        "isolation=process",
        says="isolation=process is not allowed on device1, device2: what runs on this machine has no root",
        playbook="provision",
    ),
    case("steps=0", says="steps=0 (extra var) is not allowed; allowed: a whole number", playbook="benchmark"),
    case("device=nobody", says="device=nobody is not allowed; allowed: names of devices", playbook="remove_device"),
    case("device=device1,hub", says="allowed: names of devices, with commas", playbook="remove_device"),
    case("device=", says="device= is not allowed; allowed: names of devices", playbook="remove_device"),
]

INVENTORIES = [
    case(says="inventory {folder}/inventory/hosts.yml cannot be read: ", files={HOSTS: "all: [\n"}, name="no YAML"),
    case(says="inventory {folder}/inventory/hosts.yml holds nothing", files={HOSTS: ""}, name="an empty inventory"),
    case(says="inventory {folder}/inventory/hosts.yml holds a list", files={HOSTS: "- a\n"}, name="a list of hosts"),
    case(
        says="server (inventory) has 0 hosts (none); allowed: exactly one",
        files=groups(devices=["a"]),
        name="no server",
    ),
    case(
        says="server (inventory) has 2 hosts (a, b)", files=groups(server=["a", "b"], devices=["c"]), name="two servers"
    ),
    case(says="group devices (inventory) has no hosts", files=groups(server=["a"]), name="no devices"),
    case(
        says="a (inventory) is in group server and in group devices",
        files=groups(server=["a"], devices=["a"]),
        name="both",
    ),
    case(
        says="cid=1 is held by device1 (inventory) and device2 (inventory); allowed: a cid for each device",
        hosts={"device1": {"cid": 1}, "device2": {"cid": 1}},
        name="equal cids",
    ),
    case(says="cid=-1 (inventory, host device1) is not allowed", hosts={"device1": {"cid": -1}}, name="negative cid"),
    case(
        says="cid=one (inventory, host device1) is not allowed",
        hosts={"device1": {"cid": "one"}},
        name="cid of letters",
    ),
    case(
        says="superlink_address (inventory, host hub) is not set, and device1 is on another machine",
        hosts={"device1": {"ansible_connection": "ssh"}},
        name="no address",
    ),
    case(
        says="swap=1G (inventory, host device1) is not allowed; allowed: auto, or a whole number from 0",
        hosts={"device1": {"swap": "1G"}},
        name="a host's own setting",
    ),
    case(
        says="supernode_port=abc (inventory, host device1) is not allowed; allowed: a whole number from 1 up to 65535",
        hosts={"device1": {"supernode_port": "abc"}},
        playbook="provision",
        name="a port of letters",
    ),
    case(
        says="supernode_port=9500 is held by device1 and device2 (inventory); allowed: a port for each",
        hosts={"device1": {"supernode_port": 9500}, "device2": {"supernode_port": 9500}},
        playbook="provision",
        name="equal ports",
    ),
]

VARIABLE_FILES = [
    case(says=f"rounds=none ({{folder}}/{VARS}) is not allowed", files={VARS: "rounds: none\n"}, name="a wrong value"),
    case(
        says=f"modle ({{folder}}/{VARS}) is no setting (did you mean model?)",
        files={VARS: "modle: net\n"},
        name="a typo",
    ),
    case(says=f"{{folder}}/{VARS} cannot be read: ", files={VARS: "rounds: [\n"}, name="variables that are no YAML"),
    case(says=f"{{folder}}/{VARS} cannot be read: 'utf-8'", files={VARS: b"model: caf\xe9\n"}, name="not UTF-8"),
    case(
        says=f"{{folder}}/{VARS} holds a list; allowed: lines of",
        files={VARS: "- rounds\n"},
        name="a list of variables",
    ),
    case(
        says=f"rounds={{{{ nope }}}} ({{folder}}/{VARS}) cannot be worked out: 'nope' is undefined",
        files={VARS: "rounds: '{{ nope }}'\n"},
        name="a template of nothing",
    ),
    case(
        says="cannot be worked out: Syntax error in template",
        files={VARS: "rounds: '{{ 3 + }}'\n"},
        name="a template that is none",
    ),
]

FILES = [
    case("resume=nowhere", says="resume=nowhere (extra var): there is no folder"),
    case("resume=old", says="results/old has no model of a round; allowed: latest", files={"results/old": None}),
    case(
        "resume=old",
        says="resume=old (extra var): its run.json cannot be read",
        files={"results/old/run.json": "{", "results/old/model/round-1.safetensors": b""},
        name="resume with a broken run.json",
    ),
    case("attach=latest", says="attach=latest (extra var): no such run waits to be brought back; allowed: nothing"),
    case(
        "attach=latest",
        says="12.json cannot be read",
        files={"state/runs/12.json": "{"},
        name="attach to a broken file",
    ),
    case(
        "attach=12",
        "rounds=3",
        says="rounds=3 (extra var) is not allowed with attach, for a run keeps its settings; allowed: 7",
        files={
            "state/runs/12.json": json.dumps(
                {
                    "ids": ["12"],
                    "started": "",
                    "since": "",
                    "folder_name": "",
                    "settings": {"rounds": 7, "results_folder": "{folder}/results"},
                }
            )
        },
    ),
    case(says="state/cids.json cannot be read", files={"state/cids.json": "{"}, name="broken cids.json"),
    case(
        says="state/cids.json cannot be read", files={"state/cids.json": '{"a": null}'}, name="cids.json without cids"
    ),
    case("fleet_state={folder}/file", says="fleet_state={folder}/file cannot be written", files={"file": ""}),
    case(
        "results_folder={folder}/file/x",
        says="{folder}/file is no folder; allowed: ",
        files={"file": ""},
    ),
    case("app=/nowhere", says="app=/nowhere (extra var) has no pyproject.toml; allowed: a folder with a Flower app"),
    case(*MINE, says="pyproject.toml that cannot be read", files={"app/pyproject.toml": "[project"}, name="broken app"),
    case(
        *MINE,
        says="has no [tool.flwr.app.components]",
        files={"app/pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n"},
        name="no app",
    ),
    case(*MINE, says="publisher", files=app(publisher=""), name="an app without publisher"),
    case(*MINE, says="has a list as d in its run conf", files=app("[tool.flwr.app.config]\nd = [1]\n"), name="a list"),
    case(*MINE, "rounds=3", says="rounds (extra var) is no setting", files=app(), name="an app without rounds"),
    case(*MINE, "resume=latest", says="the app x cannot resume", files=app(), name="an app that cannot resume"),
    case("app_config=novalue", says="app_config=novalue (extra var) cannot be read; allowed: key=value pairs"),
    case("app_config='lr=[1'", says="app_config=lr=[1 (extra var) cannot be read; allowed: key=value pairs"),
    case("app_config='nokey=1'", says="app_config: nokey (extra var) is no setting"),
    case(
        *MINE,
        says="app={folder}/app: RuntimeError: no settings today",
        files=app("[tool.flowerbed]\nsettings = 'x.hook'\n", hook="raise RuntimeError('no settings today')\n"),
        name="a hook that raises",
    ),
    case(
        *MINE,
        says="app={folder}/app: x.hook prints no JSON list of settings",
        files=app("[tool.flowerbed]\nsettings = 'x.hook'\n", hook="print('hello')\n"),
        name="a hook that prints no settings",
    ),
    case(
        *MINE,
        says="app={folder}/app: x.hook prints no JSON object with key and folder",
        files=app("[tool.flowerbed]\nprepare = 'x.hook'\n", hook="print('{}')\n"),
        name="a hook that makes no parts",
    ),
]

RENEW = "run: ansible-playbook playbooks/renew_certificates.yml"
CERTIFICATES = [
    case(says=f"no device trusts it; {RENEW}", files={"state/ca/hub.crt": certificate(-2)}, name="an old certificate"),
    case(says=f"hub.crt is no certificate; {RENEW}", files={"state/ca/hub.crt": "hello"}, name="no certificate"),
    case(
        says="the CA's certificate ended on ",
        files={"state/ca/ca.crt": certificate(-2), "state/ca/hub.crt": certificate(200)},
        name="an old CA",
    ),
    case(says="has no certificates yet", playbook="renew_certificates", name="nothing to renew"),
    case("insecure=true", says="insecure=true: this fleet has no certificates", playbook="renew_certificates"),
    case(
        says="{folder}/state/ca/ca.key holds no private key in pkcs8 format",
        files={"state/ca/ca.key": "hello"},
        playbook="provision",
        name="a CA's key that is none",
    ),
]

# What the playbook says where the app's hook refuses: python -m fl_app.prepare, whose last line is the user's.
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(*content: bytes) -> dict[str, str | bytes | None]:
    return {f"data/{name}": text for name, text in zip(IDX, content, strict=True)}


def images(count: int, promised: int = 0) -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (promised or count, 1, 1)) + bytes(count)


def labels(*values: int) -> bytes:
    return b"\0\0\x08\x01" + len(values).to_bytes(4, "big") + bytes(values)


FOLDER = "data_folder={folder}/data"
DATA = [
    case("dataset=mnist", "data_folder=/nowhere", says="data_folder=/nowhere does not hold mnist"),
    case("dataset=mnist", FOLDER, says="train-images-idx3-ubyte: not an idx file", files=idx(b"x", b"", b"", b"")),
    case(
        "dataset=mnist",
        FOLDER,
        says="damaged: its header promises (9, 1, 1) bytes, it holds 2",
        files=idx(images(2, promised=9), labels(1, 2), images(1), labels(1)),
        name="images cut short",
    ),
    case(
        "dataset=mnist",
        FOLDER,
        says="shape (3, 1, 1) does not fit train-labels-idx1-ubyte of shape (2,)",
        files=idx(images(3), labels(1, 2), images(1), labels(1)),
        name="more images than labels",
    ),
    case(
        "dataset=mnist",
        FOLDER,
        says="damaged: a label 10 where the classes are 0 to 9",
        files=idx(images(2), labels(1, 10), images(1), labels(1)),
        name="a label that is no class",
    ),
    case(
        "dataset=mnist",
        FOLDER,
        says="train-images-idx3-ubyte.gz: cannot be read",
        files={f"data/{name}.gz": gzip.compress(images(9))[:-9] for name in IDX},
        name="a torn .gz",
    ),
    case(
        "dataset=cifar10",
        FOLDER,
        says="data_batch_1: not a readable CIFAR batch",
        files={f"data/{name}": "x" for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]},
        name="CIFAR that is none",
    ),
    case("dataset=imagefolder", says="dataset=imagefolder needs data_folder"),
    case("dataset=imagefolder", FOLDER, says="does not hold imagefolder", files={"data": None}, name="no images"),
    case(
        "dataset=imagefolder",
        FOLDER,
        says="data/a/x.png is no readable image",
        files={"data/a/x.png": "hello", "data/b/y.png": "hello"},
        name="a text that is called .png",
    ),
    case("batch_size=5000", says="batch_size=5000 is larger than the 1800 training images of cid 0"),
    case("strategy_config='mu=1'", says="'mu=1' is no parameter of FedAvg"),
    case("strategy=Bulyan", "strategy_config='num_malicious_nodes=1'", says="strategy=Bulyan needs at least 7 devices"),
    case("finetune=head", says="finetune=head trains the last layer alone: set weights for the others"),
    case("min_train_devices=2", says="min_train_devices=2 is more than min_devices=1, which a round waits for"),
    case("weights=/nowhere.pth", says="weights=/nowhere.pth cannot be read"),
    case("weights={folder}/w.safetensors", says="w.safetensors is damaged", files={"w.safetensors": "hello"}),
    case("weights=imagenet", says="model=net has none on timm's hub"),
    case("model=timm/nonsense", says="model=timm/nonsense: timm "),
]
# Of the data's; more would be the same.
THROUGH_THE_PLAYBOOK = {
    "dataset=mnist data_folder=/nowhere",
    "batch_size=5000",
}
