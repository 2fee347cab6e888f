"""What roles, modules and variable files say of themselves agrees with what they do."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
import yaml
from ansible.module_utils import basic

from fleet import app
from fleet.settings import FLEET
from unit.driving import ACTIONS, MODULE_UTILS, MODULES, ROOT

ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "meta" / "argument_specs.yml").is_file())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def options_of(role: Path) -> dict[str, dict[str, Any]]:
    """Every option of every entry point of a role."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read(role / "meta" / "argument_specs.yml")["argument_specs"].values():
        found.update(entry["options"])
    return found


def names(paths: list[Path]) -> list[str]:
    return [path.stem if path.suffix else path.name for path in paths]


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_a_roles_defaults_and_its_argument_specs_name_the_same_variables(role: Path) -> None:
    defaults = set(read(role / "defaults" / "main.yml") or {})
    options = options_of(role)
    required = {name for name, option in options.items() if option.get("required")}
    assert defaults - set(options) == set(), "defaults that no argument spec describes"
    assert set(options) - required - defaults == set(), "optional options without a default"
    assert required & defaults == set(), "required options with a default"


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_a_roles_variables_begin_with_its_name(role: Path) -> None:
    variables = {
        *options_of(role),
        *(read(role / "defaults" / "main.yml") or {}),
        *(read(role / "vars" / "main.yml") or {}),
    }
    assert [name for name in variables if not name.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_a_roles_entry_points_are_files_of_tasks(role: Path) -> None:
    entries = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    assert [name for name in entries if not (role / "tasks" / f"{name}.yml").is_file()] == []


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_a_roles_options_are_described(role: Path) -> None:
    for name, option in options_of(role).items():
        assert str(option["description"]).endswith("."), name
        assert option["type"] in {"str", "int", "float", "bool", "path", "list", "dict"}, name


def test_every_role_has_argument_specs() -> None:
    folders = {path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()}
    assert folders == set(ROLES)


def test_every_line_to_uncomment_in_the_variable_file_is_a_setting_that_may_have_that_value() -> None:
    settings = {setting.name: setting for setting in (*FLEET, *app.load(ROOT / "fl_app", "default").settings)}
    text = (ROOT / "inventory" / "group_vars" / "all.yml").read_text(encoding="utf-8")
    offered = re.findall(r"^# (\w+): *(.+)$", text, flags=re.MULTILINE)
    assert offered
    for name, value in offered:
        settings[name].check(yaml.safe_load(value), "inventory/group_vars/all.yml")


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what modules share be found where Ansible would put it."""
    monkeypatch.setattr(ansible.module_utils, "__path__", [*ansible.module_utils.__path__, str(MODULE_UTILS)])


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"plugin_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Spec(BaseException):
    """Carries a module's argument spec out of its main()."""

    def __init__(self, spec: dict[str, Any], check_mode: bool) -> None:
        super().__init__()
        self.spec, self.check_mode = spec, check_mode


def module_spec(path: Path, monkeypatch: pytest.MonkeyPatch) -> _Spec:
    module = load(path)

    def instead(*_: object, argument_spec: dict[str, Any], supports_check_mode: bool = False, **__: object) -> None:
        raise _Spec(argument_spec, supports_check_mode)

    monkeypatch.setattr(module, basic.AnsibleModule.__name__, instead)
    with pytest.raises(_Spec) as caught:
        module.main()
    return caught.value


def compare(documented: dict[str, Any], spec: dict[str, Any]) -> None:
    """Compare `options` of DOCUMENTATION with an argument spec, as Ansible's own sanity test does."""
    assert set(documented) == set(spec)
    for name, option in documented.items():
        given = spec[name]
        assert option["type"] == given.get("type", "str"), name
        for field in ("required", "default", "choices", "elements"):
            assert option.get(field, False) == given.get(field, False), f"{name}: {field}"


SHIPPED_MODULES = sorted(MODULES.glob("*.py"))
SHIPPED_ACTIONS = sorted(ACTIONS.glob("*.py"))


@pytest.mark.parametrize("path", SHIPPED_MODULES, ids=names(SHIPPED_MODULES))
def test_a_modules_documentation_is_what_it_takes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documentation = yaml.safe_load(load(path).DOCUMENTATION)
    found = module_spec(path, monkeypatch)
    compare(documentation["options"], found.spec)
    assert (documentation["attributes"]["check_mode"]["support"] == "full") == found.check_mode


@pytest.mark.parametrize("path", SHIPPED_ACTIONS, ids=names(SHIPPED_ACTIONS))
def test_an_actions_documentation_is_what_it_takes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = load(path)
    documentation = yaml.safe_load(plugin.DOCUMENTATION)

    def instead(_: object, argument_spec: dict[str, Any]) -> None:
        raise _Spec(argument_spec, True)

    monkeypatch.setattr(plugin.ActionModule, "validate_argument_spec", instead)
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_: {})
    with pytest.raises(_Spec) as caught:
        plugin.ActionModule.__new__(plugin.ActionModule).run(None, {})
    compare(documentation["options"], caught.value.spec)


@pytest.mark.parametrize("path", [*SHIPPED_MODULES, *SHIPPED_ACTIONS], ids=names([*SHIPPED_MODULES, *SHIPPED_ACTIONS]))
def test_a_plugins_examples_use_its_options(path: Path) -> None:
    plugin = load(path)
    documentation = yaml.safe_load(plugin.DOCUMENTATION)
    options = documentation["options"]
    required = {name for name, option in options.items() if option.get("required")}
    assert documentation["module"] == path.stem
    examples = [task[path.stem] for task in yaml.safe_load(plugin.EXAMPLES)]
    assert examples
    for example in examples:
        assert set(example) <= set(options)
        assert required <= set(example)
    for value in (yaml.safe_load(plugin.RETURN) or {}).values():
        assert {"description", "type", "returned"} <= set(value)
