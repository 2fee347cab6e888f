"""Check every setting and the inventory, first, and give each device its cid."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from ansible.errors import AnsibleTemplateError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible.utils.vars import load_extra_vars

from fleet import app, attach, benchmark, cids, resume, role_variables
from fleet.inventory import Fleet, playbook_variables, read_group_vars
from fleet.settings import FLEET, Setting, SettingError, Value, check_all, unknown

DOCUMENTATION = """
module: check_settings
short_description: Check every setting and the inventory before any host is touched
description:
  - Reads what the user gave as extra vars, in C(group_vars/all.yml) and in the inventory, checks it against the tables
    of settings (the playbooks' own and the app's), and names every mistake in one line each.
  - A playbook with a table of its own (O(own)) takes the settings of that table as extra vars alone, and none of the
    app's among those; what C(group_vars/all.yml) says for runs is left to them.
  - Gives each device its cid and remembers it in O(state).
options:
  project: {description: Folder of the project, to which relative paths refer., type: path, required: true}
  state: {description: Folder of the controller's state., type: path, required: true}
  own: {description: 'The playbook''s own table.', type: str, choices: [benchmark]}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Check the settings
  check_settings:
    project: "{{ fleet_project }}"
    state: "{{ fleet_state }}"
  register: settings
"""
RETURN = """
settings: {description: Every setting with its value., type: dict, returned: success}
own: {description: The settings of the playbook's own table., type: dict, returned: success}
run_config: {description: The app's run configuration., type: dict, returned: success}
app:
  description: >-
    The app: folder, name, version, dependencies and unwanted packages (both by its framework, where it has a choice),
    hooks, and whether it continues after an outage.
  type: dict
  returned: success
cids: {description: The cid of each device., type: dict, returned: success, sample: {device1: 0, device2: 1}}
hosts:
  description: The settings of each host that a host may have of its own.
  type: dict
  returned: success
  sample: {pi4: {swap: auto}}
resume:
  description: Folder and files of the run to go on from; empty without one.
  type: dict
  returned: success
attached:
  description: What is known of the run to attach to; empty without one.
  type: dict
  returned: success
server: {description: Inventory name of the server., type: str, returned: success}
user_errors: {description: A line for each mistake., type: list, elements: str, returned: failure}
"""

OWN = {"benchmark": benchmark.SETTINGS}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller alone; no host is connected to."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            {
                "project": {"type": "path", "required": True},
                "state": {"type": "path", "required": True},
                "own": {"type": "str", "choices": list(OWN)},
            }
        )
        own = OWN.get(arguments["own"])
        try:
            return self._check(Path(arguments["project"]), Path(arguments["state"]), variables, own)
        except SettingError as error:
            return {"failed": True, "msg": str(error), "user_errors": str(error).splitlines()}

    def _check(
        self, project: Path, state: Path, variables: dict[str, Any], own: tuple[Setting, ...] | None
    ) -> dict[str, Any]:
        fleet = Fleet.from_task_vars(variables)
        of_roles = role_variables.types(project)
        given = self._given(variables, of_roles.keys() | playbook_variables(project))
        own_values, own_errors, given = _own(own, given)
        given = {**_inline(FLEET, fleet), **given}
        values, errors = check_all(FLEET, given)
        attached = self._attached(state, values, given)
        if attached:
            origin = f"run {attached['ids'][0]}"
            given = {name: (value, origin) for name, value in attached["settings"].items()}
            values, errors = check_all(FLEET, given)
        errors += own_errors
        where, origin = values["app"], given.get("app", ("", "default"))[1]
        flower_app = app.load((project / Path(str(where)).expanduser()).resolve(), origin)
        app_settings = flower_app.settings
        # Ansible shows extra vars as variables of all hosts: the playbook's own are none of the app's.
        given = {**_inline([setting for setting in app_settings if setting.name not in own_values], fleet), **given}
        # What an attached run was resumed from is behind it.
        earlier = None if attached else self._earlier(project, values, given, flower_app)
        if earlier:  # goes on with that run's settings, but for those that are given anew
            mine = {setting.name for setting in app_settings}
            origin = f"run.json of {earlier.folder.name}"
            given = {
                **{name: (value, origin) for name, value in earlier.settings.items() if name in mine},
                **given,
            }
        app_values, app_errors = check_all(app_settings, given)
        errors += app_errors + self._unknown(project, given, app_settings, own)
        config = {name.replace("_", "-"): value for name, value in app_values.items()}
        errors += _app_config(*given.get("app_config", ("", "")), flower_app, config)
        errors += fleet.errors()
        errors += role_variables.errors(fleet, of_roles, load_extra_vars(self._loader))
        errors += _unwritable(project / str(values["results_folder"]), given.get("results_folder", ("", "default"))[1])
        of_hosts, host_errors = _of_hosts(FLEET, values, given, fleet)
        errors += host_errors
        errors += _without_root(of_hosts, fleet)
        remembered = _remembered(state)
        try:
            numbers = cids.assign(fleet.devices, fleet.cids, remembered)
        except SettingError as error:
            numbers, errors = {}, [*errors, str(error)]
        if fleet.devices and "min_devices" in app_values and int(app_values["min_devices"]) > len(fleet.devices):
            _, origin = given.get("min_devices", (0, "default"))
            errors.append(
                f"min_devices={app_values['min_devices']} ({origin}) is not allowed; "
                f"allowed: up to {len(fleet.devices)}, the devices in the inventory"
            )
        if earlier and int(app_values.get("rounds", earlier.last_round + 1)) <= earlier.last_round:
            errors.append(
                f"rounds={app_values['rounds']} ({given.get('rounds', (0, 'default'))[1]}) is not allowed with "
                f"resume={values['resume']}, which has {earlier.last_round} rounds behind it; allowed: above that"
            )
        if errors:
            raise SettingError("\n".join(errors))
        framework = str(app_values.get("framework", ""))
        changed = {**remembered, **numbers} != remembered
        if changed and not self._task.check_mode:
            try:
                state.mkdir(mode=0o700, parents=True, exist_ok=True)
                (state / "cids.json").write_text(json.dumps({**remembered, **numbers}, indent=1) + "\n")
            except OSError as error:
                raise SettingError(f"fleet_state={state} cannot be written: {error.strerror}") from None
        return {
            "changed": changed,
            "settings": {**values, **app_values},
            "own": own_values,
            "run_config": config,
            "app": {
                "folder": str(flower_app.folder),
                "name": flower_app.name,
                "version": flower_app.version,
                "dependencies": list(flower_app.requirements(framework)),
                "unwanted": list(flower_app.unwanted(framework)),
                "hooks": flower_app.hooks,
                "continues": "continue-from" in flower_app.config,
            },
            "cids": numbers,
            "hosts": of_hosts,
            "attached": attached,
            "server": fleet.server,
            "resume": {"folder": str(earlier.folder), "files": earlier.files} if earlier else {},
        }

    def _attached(self, state: Path, values: dict[str, Value], given: dict[str, tuple[object, str]]) -> dict[str, Any]:
        """The run to attach to, where one is asked for; it keeps the settings that it began with."""
        if not values["attach"]:
            return {}
        found = attach.find(str(values["attach"]), given["attach"][1], state / "runs")
        for name, (value, origin) in given.items():
            kept = found["settings"].get(name, "nothing")
            if origin == "extra var" and name != "attach" and str(value) != str(kept):
                why = "is not allowed with attach, for a run keeps its settings"
                raise SettingError(f"{name}={value} ({origin}) {why}; allowed: {kept}")
        return found

    def _earlier(
        self,
        project: Path,
        values: dict[str, Value],
        given: dict[str, tuple[object, str]],
        flower_app: app.App,
    ) -> resume.Earlier | None:
        """The run to go on from, where one is asked for."""
        if not values["resume"]:
            return None
        origin = given["resume"][1]
        if "resume-from" not in flower_app.config:
            raise SettingError(
                f"resume={values['resume']} ({origin}): the app {flower_app.name} cannot resume; "
                "allowed: an app with resume-from in its run configuration"
            )
        return resume.find(str(values["resume"]), origin, project / str(values["results_folder"]))

    def _given(self, variables: dict[str, Any], of_roles: set[str]) -> dict[str, tuple[object, str]]:
        """What the user gave as settings, with where it came from; extra vars win.

        Variables of roles and Ansible's own are no settings: they mean something on their hosts alone.
        """
        given: dict[str, tuple[object, str]] = {}
        for source in variables.get("ansible_inventory_sources") or []:
            for path, content in read_group_vars(Path(source)):
                # The user's own file: its values may be templates, as everywhere in Ansible.
                given.update({name: (_trusted(value), path) for name, value in content.items()})
        for name, value in load_extra_vars(self._loader).items():
            if name == "_raw_params":
                raise SettingError(f"-e {value} is no setting; allowed: -e name=value, -e @FILE")
            given[name] = (value, "extra var")
        return {
            name: (self._value(name, value, origin), origin)
            for name, (value, origin) in given.items()
            if name not in of_roles and not name.startswith("ansible_")
        }

    def _value(self, name: str, value: object, origin: str) -> object:
        try:
            return self._templar.template(value)
        except AnsibleTemplateError as error:
            raise SettingError(f"{name}={value} ({origin}) cannot be worked out: {error.message}") from None

    def _unknown(
        self,
        project: Path,
        given: dict[str, tuple[object, str]],
        app_settings: tuple[Setting, ...],
        own: tuple[Setting, ...] | None,
    ) -> list[str]:
        """A line for each given name that is no setting and no variable of a role."""
        settings = {setting.name for setting in (*FLEET, *app_settings)}
        shipped = {setting.name for setting in app.load(project / "fl_app", "default").settings}
        extra = {name for name, (_, origin) in given.items() if origin == "extra var"}
        # A playbook with its own table takes no settings of the app's: what it does has nothing to do with them.
        allowed = settings if own is None else {setting.name for setting in (*FLEET, *own)}
        return [
            unknown(name, origin, allowed)
            for name, (_, origin) in given.items()
            if name not in (allowed if name in extra else settings)
            # group_vars/all.yml may hold settings of the app that ships while another one runs
            and (name in extra or name not in shipped)
        ]


def _own(
    own: tuple[Setting, ...] | None, given: dict[str, tuple[object, str]]
) -> tuple[dict[str, Value], list[str], dict[str, tuple[object, str]]]:
    """Check the playbook's own settings; return them, a line for each mistake, and what was given beside them."""
    names = {setting.name for setting in own or ()}
    mine = {name: found for name, found in given.items() if name in names and found[1] == "extra var"}
    values, errors = check_all(own or (), mine)
    return values, errors, {name: found for name, found in given.items() if name not in mine}


def _inline(settings: Iterable[Setting], fleet: Fleet) -> dict[str, tuple[object, str]]:
    """Settings that stand in the inventory itself, as variables of all hosts."""
    names = {setting.name for setting in settings if not setting.per_host} & fleet.variables.keys()
    return {name: (fleet.variables[name], "inventory") for name in names}


def _of_hosts(
    settings: Iterable[Setting], values: dict[str, Value], given: dict[str, tuple[object, str]], fleet: Fleet
) -> tuple[dict[str, dict[str, Value]], list[str]]:
    """Return each host's own settings, and a line for each mistake in the inventory.

    Ansible has put together what a host's variable says; what it says for all hosts alike is checked already.
    """
    found: dict[str, dict[str, Value]] = {host: {} for host in fleet.host_variables}
    errors: list[str] = []
    for setting in settings:
        for host, variables in fleet.host_variables.items() if setting.per_host else ():
            found[host][setting.name] = values[setting.name]
            value = variables.get(setting.name)
            if value is None or (setting.name in given and value == given[setting.name][0]):
                continue
            try:
                found[host][setting.name] = setting.check(value, f"inventory, host {host}")
            except SettingError as error:
                errors.append(str(error))
    return found, errors


def _without_root(of_hosts: dict[str, dict[str, Value]], fleet: Fleet) -> list[str]:
    """Return a line where the apps of devices are to have a user of their own, which takes root there."""
    here = [host for host in fleet.devices if host not in fleet.remote]
    if wanted := [host for host in here if of_hosts[host]["isolation"] == "process"]:
        return [
            f"isolation=process is not allowed on {', '.join(wanted)}: what runs on this machine has no root; "
            "allowed there: auto, subprocess"
        ]
    return []


def _unwritable(folder: Path, origin: str) -> list[str]:
    """Return a line where a run's results could not be written in the end."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    why = "cannot be written to" if there.is_dir() else "is no folder"
    return [
        f"results_folder={folder} ({origin}) is not allowed: {there} {why}; allowed: a folder that you can write to"
    ]


def _trusted(value: object) -> object:
    return trust_as_template(value) if isinstance(value, str) else value


def _app_config(text: object, origin: str, flower_app: app.App, config: dict[str, Value]) -> list[str]:
    """Put `key=value …` into the run configuration; return a line for each mistake."""
    if not text:
        return []
    from flwr.common.config import parse_config_args  # late: its import takes half a second

    try:
        pairs = parse_config_args([str(text)])
    except (click.ClickException, OSError, ValueError):
        pairs = {}
    if not pairs:
        return [f"app_config={text} ({origin}) cannot be read; allowed: key=value pairs, texts in quotes"]
    errors = [unknown(f"app_config: {key}", origin, flower_app.config) for key in pairs if key not in flower_app.config]
    config.update({key: value for key, value in pairs.items() if key in flower_app.config})
    return errors


def _remembered(state: Path) -> dict[str, int]:
    path = state / "cids.json"
    if not path.is_file():
        return {}
    try:
        return {str(host): int(cid) for host, cid in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingError(
            f"{path} cannot be read ({error}); put it back, or delete it to number the devices anew"
        ) from None
