"""Runs of Flower apps on a SuperLink."""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from datetime import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.flower_command import Flower, FlowerError

DOCUMENTATION = """
module: flwr_run
short_description: Submit a Flower app as a run, or stop the runs that are active
description:
  - Runs on the server, with the connection named fleet in O(home)/flwr/config.toml.
  - V(submitted) starts a run and a follower beside it, which keeps the ServerApp's log and the run's final status in
    the run's folder, also when the controller goes away. With O(devices) it does so only where all of them are online.
  - V(followed) starts that follower anew where it is gone, for the host went down.
  - V(stopped) stops active runs, or only O(run_id).
  - With O(abandoned_after), V(submitted) first stops the runs that no playbook follows any more, and fails where one
    does.
  - The SuperLink takes a device that lost its power for online for up to a minute, and refuses its new SuperNode as
    long. A device that came online before its SuperNode was O(started) is therefore missing still.
options:
  state: {description: What is to be., choices: [submitted, followed, stopped], type: str, required: true}
  run_id: {description: 'The run, where one is meant.', type: str}
  venv: {description: The server's virtual environment., type: path, required: true}
  home: {description: The SuperLink's folder., type: path, required: true}
  fab: {description: 'The app on the server, as a Flower App Bundle.', type: path}
  config: {description: The run configuration., type: dict, default: {}}
  abandoned_after: {description: Seconds without a follower after which a run is left behind., type: int}
  devices: {description: Names of the devices that are to be online., type: list, elements: str, default: []}
  started:
    description: When each device's SuperNode started (seconds since the epoch, by the device's clock), where known.
    type: dict
    default: {}
  secure:
    description: Whether nodes are registered. Without registration they have no names and are only counted.
    type: bool
    default: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Submit
  flwr_run:
    state: submitted
    venv: /opt/flowerbed/venv
    home: /var/lib/flowerbed
    fab: /var/lib/flowerbed/apps/me.app.1-0-0.1234abcd.fab
    config: {rounds: 3}
- name: Have a run followed again
  flwr_run: {state: followed, run_id: "1234", venv: /opt/flowerbed/venv, home: /var/lib/flowerbed}
- name: Stop all
  flwr_run: {state: stopped, venv: /opt/flowerbed/venv, home: /var/lib/flowerbed}
"""
RETURN = """
run_id: {description: 'Id of the new run, empty where there is none.', type: str, returned: when submitted}
missing: {description: Devices that are not online., type: list, elements: str, returned: when submitted}
reason: {description: Why Flower did not tell which are., type: str, returned: when submitted}
stopped: {description: Ids of the runs that were stopped., type: list, elements: str, returned: success}
"""

SUBMITTING = ".submitting"  # beside the runs' folders, while Flower is given one

# Seconds by which a device's clock may be ahead of the SuperLink's before that refuses it (flwr 1.41).
CLOCK_AHEAD = 10.0
NEVER = float("-inf")


class Runs:
    """The runs of the SuperLink on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.home = module.params["home"]
        self.flower = Flower(f"{module.params['venv']}/bin/flwr", f"{self.home}/flwr", module.tmpdir)

    def call(self, *words: str) -> dict[str, Any]:
        """Run flwr; ends the module when it reports a fault."""
        try:
            answer: dict[str, Any] = self.flower.call(*words)
            return answer
        except FlowerError as refused:
            self.fail(words[0], refused)
            raise

    def fail(self, verb: str, refused: FlowerError) -> None:
        """End the module with what flwr said."""
        self.flower.end()
        self.module.fail_json(msg=f"flwr {verb} failed: {refused}", user_errors=[f"flwr: {refused}"])

    def stop(self, run_id: str) -> None:
        """Stop a run, or find that it has ended by itself meanwhile: Flower ends one that was silent for a minute."""
        try:
            self.flower.call("stop", run_id, "fleet")
        except FlowerError as refused:
            if run_id in self.active():
                self.fail("stop", refused)

    def active(self) -> list[str]:
        """Return the ids of the runs that have not finished."""
        runs = self.call("ls", "fleet")["runs"]
        return [str(run["run-id"]) for run in runs if not run["status"].startswith("finished")]

    def stop_all(self, runs: list[str]) -> None:
        """Stop runs, unless it is only looked what would be."""
        if not self.module.check_mode:
            for run_id in runs:
                self.stop(run_id)

    def stop_left_behind(self, limit: int) -> list[str]:
        """Stop the runs that no playbook has looked at for `limit` seconds; return their ids."""
        if not self.may_have_left():
            return []
        active = self.active()
        if held := [run_id for run_id in active if self.followed(run_id) < limit]:
            line = (
                f"run {held[0]} is followed by another playbook; wait for its end, or stop it with playbooks/stop.yml"
            )
            self.flower.end()
            self.module.fail_json(msg=line, user_errors=[line])
        if not self.module.check_mode and os.path.exists(f"{self.home}/runs/{SUBMITTING}"):
            os.remove(f"{self.home}/runs/{SUBMITTING}")
        self.stop_all(active)
        return active

    def missing(self) -> tuple[list[str], str]:
        """Return the devices that are not online, and why Flower did not tell, where it did not."""
        devices, started = self.module.params["devices"], self.module.params["started"]
        if not devices:
            return [], ""
        try:
            nodes = self.flower.call("supernode", "list", "fleet")["nodes"]
        except FlowerError as fault:
            return devices, str(fault)
        online = {
            str(node["node-id"]): datetime.fromisoformat(node["online-at"].replace("Z", "+00:00")).timestamp()
            for node in nodes
            if node["status"] == "online"
        }
        if not self.module.params["secure"]:
            return devices[len(online) :], ""
        record: dict[str, dict[str, Any]] = {}
        if os.path.exists(f"{self.home}/nodes.json"):
            with open(f"{self.home}/nodes.json", encoding="utf-8") as file:
                record = json.load(file)
        came = {name: online.get(record.get(name, {}).get("node_id", ""), NEVER) for name in devices}
        return [name for name in devices if came[name] <= float(started.get(name, 0)) - CLOCK_AHEAD], ""

    def submit(self) -> str:
        """Start a run and its follower; return the run's id."""
        app = self.unpack(self.module.params["fab"])
        # A file, because flwr cuts `key="value"` at a quote inside. JSON's scalars, so written, are TOML's.
        config = os.path.join(self.module.tmpdir, "run.toml")
        with open(config, "w", encoding="utf-8") as file:
            for key, value in self.module.params["config"].items():
                file.write(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
        os.makedirs(f"{self.home}/runs", mode=0o700, exist_ok=True)
        with open(f"{self.home}/runs/{SUBMITTING}", "w", encoding="utf-8"):
            pass
        run_id = str(self.call("run", app, "fleet", "--run-config", config)["run-id"])
        self.follow(run_id)
        os.remove(f"{self.home}/runs/{SUBMITTING}")
        return run_id

    def may_have_left(self) -> bool:
        """Return whether a playbook may have left a run behind: one that has not ended, or whose id nobody noted."""
        folder = f"{self.home}/runs"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return any(name == SUBMITTING or not os.path.exists(f"{folder}/{name}/status.json") for name in names)

    def follow(self, run_id: str) -> bool:
        """Start the follower of a run, where it is neither at work nor done; return whether it was started."""
        folder = f"{self.home}/runs/{run_id}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(f"{folder}/followed", "w", encoding="utf-8"):
            pass
        if os.path.exists(f"{folder}/status.json") or self.has_follower(run_id):
            return False
        if self.module.check_mode:
            return True
        try:
            follower = self.flower.follow(run_id, folder)
        except FlowerError as fault:
            self.fail("log", fault)
            raise
        with open(f"{folder}/follower", "w", encoding="utf-8") as file:
            file.write(follower)
        return True

    def has_follower(self, run_id: str) -> bool:
        """Return whether the follower of a run is at work; after a reboot its number may be another process's."""
        path = f"{self.home}/runs/{run_id}/follower"
        if not os.path.exists(path):
            return False
        with open(path, encoding="utf-8") as file:
            number, _, name = file.read().partition(" ")
        _, out, _ = self.module.run_command(["ps", "-ww", "-p", number, "-o", "args="])
        return bool(name) and name in out

    def followed(self, run_id: str) -> float:
        """Return how many seconds ago a playbook last looked at a run."""
        path = f"{self.home}/runs/{run_id}/followed"
        return time.time() - os.path.getmtime(path) if os.path.exists(path) else float("inf")

    def unpack(self, fab: str) -> str:
        """Unpack a Flower App Bundle (a zip) beside the others and return its folder."""
        folder = f"{self.home}/apps/{os.path.basename(fab).removesuffix('.fab')}"
        if not os.path.isdir(folder):
            os.makedirs(f"{self.home}/apps", mode=0o700, exist_ok=True)
            with (
                tempfile.TemporaryDirectory(dir=f"{self.home}/apps") as beside,
                zipfile.ZipFile(fab) as bundle,
            ):
                bundle.extractall(f"{beside}/app")
                os.rename(f"{beside}/app", folder)
        return folder


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["submitted", "followed", "stopped"], "required": True},
            "run_id": {},
            "venv": {"type": "path", "required": True},
            "home": {"type": "path", "required": True},
            "fab": {"type": "path"},
            "config": {"type": "dict", "default": {}},
            "abandoned_after": {"type": "int"},
            "devices": {"type": "list", "elements": "str", "default": []},
            "started": {"type": "dict", "default": {}},
            "secure": {"type": "bool", "default": True},
        },
        required_if=[("state", "submitted", ["fab"]), ("state", "followed", ["run_id"])],
        supports_check_mode=True,
    )
    runs, limit = Runs(module), module.params["abandoned_after"]
    if module.params["state"] == "followed":
        module.exit_json(changed=runs.follow(module.params["run_id"]))
    if module.params["state"] == "submitted":
        stopped = [] if limit is None else runs.stop_left_behind(limit)
        missing, reason = ([], "") if module.check_mode else runs.missing()
        run_id = "" if module.check_mode or missing else runs.submit()
        runs.flower.end()
        done = not missing or bool(stopped)
        module.exit_json(changed=done, run_id=run_id, missing=missing, reason=reason, stopped=stopped)
    active = [run_id for run_id in runs.active() if module.params["run_id"] in (None, run_id)]
    runs.stop_all(active)
    runs.flower.end()
    module.exit_json(changed=bool(active), stopped=active)


if __name__ == "__main__":
    main()
