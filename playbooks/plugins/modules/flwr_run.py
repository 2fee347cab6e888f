"""Runs of Flower apps on a SuperLink."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import zipfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: flwr_run
short_description: Submit a Flower app as a run, or stop the runs that are active
description:
  - Runs on the server, with the connection named fleet in O(home)/flwr/config.toml.
  - V(submitted) starts a run and a follower beside it, which keeps the ServerApp's log and the run's final status in
    the run's folder, also when the controller goes away.
  - V(followed) starts that follower anew where it is gone, for the host went down.
  - V(stopped) stops active runs, or only O(run_id); with O(abandoned_after) only those that no playbook follows any
    more, and fails where one does.
options:
  state: {description: What is to be., choices: [submitted, followed, stopped], type: str, required: true}
  run_id: {description: 'The run, where one is meant.', type: str}
  venv: {description: The server's virtual environment., type: path, required: true}
  home: {description: The SuperLink's folder., type: path, required: true}
  fab: {description: 'The app on the server, as a Flower App Bundle.', type: path}
  config: {description: The run configuration., type: dict, default: {}}
  abandoned_after: {description: Seconds without a follower after which a run is left behind., type: int}
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
run_id: {description: Id of the new run., type: str, returned: when submitted}
stopped: {description: Ids of the runs that were stopped., type: list, elements: str, returned: when stopped}
"""

SUBMITTING = ".submitting"  # beside the runs' folders, while Flower is given one

# Ends when the run ends. A SuperLink that is started again breaks the log's stream: it is then taken up again. An app
# may hold a lock on `alive` in the run's folder until it ends: where nobody does, the run was cut off. The word of
# that finds room on a full disk, too, where the reserve was.
FOLLOW = """
cd "$1" || exit 1
end() {
  rm -f reserve
  echo '{"runs": [{"status": "'"$1"'", "status-details": "'"$2"'"}]}' >status.new && mv status.new status.json && exit 0
}
head -c 65536 /dev/zero >reserve
tries=0
gone=
while [ $tries -lt 120 ]; do
  "$2/flwr" log "$3" fleet --stream >serverapp.log 2>&1
  status=
  if "$2/flwr" ls --run-id "$3" fleet --format json >status.new 2>/dev/null &&
    grep -q '"success": true' status.new && "$2/python" -m json.tool status.new >/dev/null; then
    status=$(grep -o '"finished:[a-z]*"' status.new)
    tries=0
  else
    tries=$((tries + 1))
  fi
  case $status in
  '' | *failed*) # Flower's word for a ServerApp that it has not heard of for a while, too
    if "$2/python" -c 'import fcntl; fcntl.flock(open("alive"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then
      # Asked twice: it may have been stopped after Flower said that it runs.
      [ "$gone" ] && end "cut off" "the ServerApp was cut off: the server was away or its disk full, or it was killed"
      gone=yes
      sleep 1
      continue
    fi
    ;;
  esac
  [ -n "$status" ] && rm -f reserve && mv status.new status.json && exit 0
  sleep 1
done
end lost "the SuperLink did not answer for two minutes"
"""


class RefusedError(Exception):
    """flwr reported a fault: the last line of it."""


class Flower:
    """Flower's command on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.home = module.params["home"]
        self.programs = f"{module.params['venv']}/bin"
        module.run_command_environ_update = {
            "FLWR_HOME": f"{self.home}/flwr",
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Run flwr; raises RefusedError when it reports a fault (with exit status 0, in its JSON)."""
        _, out, err = self.module.run_command([f"{self.programs}/flwr", *arguments, "--format", "json"])
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            answer = {"error-message": (err or out).strip()}
        if not answer.get("success"):
            raise RefusedError((str(answer.get("error-message", "")).strip().splitlines() or ["no reason given"])[-1])
        return answer

    def call(self, *arguments: str) -> dict[str, Any]:
        """Run flwr; ends the module when it reports a fault."""
        try:
            return self.ask(*arguments)
        except RefusedError as refused:
            self.fail(arguments[0], refused)
            raise

    def fail(self, verb: str, refused: RefusedError) -> None:
        """End the module with what flwr said."""
        self.module.fail_json(msg=f"flwr {verb} failed: {refused}", user_errors=[f"flwr: {refused}"])

    def stop(self, run_id: str) -> None:
        """Stop a run, or find that it has ended by itself meanwhile: Flower ends one that was silent for a minute."""
        try:
            self.ask("stop", run_id, "fleet")
        except RefusedError as refused:
            if run_id in self.active():
                self.fail("stop", refused)

    def active(self) -> list[str]:
        """Return the ids of the runs that have not finished."""
        runs = self.call("ls", "fleet")["runs"]
        return [str(run["run-id"]) for run in runs if not run["status"].startswith("finished")]

    def followed(self, run_id: str) -> float:
        """Return how many seconds ago a playbook last looked at a run."""
        path = f"{self.home}/runs/{run_id}/followed"
        return time.time() - os.path.getmtime(path) if os.path.exists(path) else float("inf")

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
        follower = subprocess.Popen(  # outlives this module and the controller's connection
            ["sh", "-c", FOLLOW, "follow", folder, self.programs, run_id],
            env={**os.environ, **self.module.run_command_environ_update},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with open(f"{folder}/follower", "w", encoding="utf-8") as file:
            file.write(str(follower.pid))
        return True

    def has_follower(self, run_id: str) -> bool:
        """Return whether the follower of a run is at work; after a reboot its number may be another process's."""
        path = f"{self.home}/runs/{run_id}/follower"
        if not os.path.exists(path):
            return False
        with open(path, encoding="utf-8") as file:
            _, out, _ = self.module.run_command(["ps", "-ww", "-p", file.read(), "-o", "args="])
        return run_id in out

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
        },
        required_if=[("state", "submitted", ["fab"]), ("state", "followed", ["run_id"])],
        supports_check_mode=True,
    )
    flower, limit = Flower(module), module.params["abandoned_after"]
    if module.params["state"] == "submitted":
        if module.check_mode:
            module.exit_json(changed=True, run_id="")
        module.exit_json(changed=True, run_id=flower.submit())
    if module.params["state"] == "followed":
        module.exit_json(changed=flower.follow(module.params["run_id"]))
    if limit is not None and not flower.may_have_left():
        module.exit_json(changed=False, stopped=[])
    only = module.params["run_id"]
    active = [run_id for run_id in flower.active() if only in (None, run_id)]
    held = [run_id for run_id in active if limit is not None and flower.followed(run_id) < limit]
    if held:
        line = f"run {held[0]} is followed by another playbook; wait for its end, or stop it with playbooks/stop.yml"
        module.fail_json(msg=line, user_errors=[line])
    if not module.check_mode:
        if limit is not None and os.path.exists(f"{flower.home}/runs/{SUBMITTING}"):
            os.remove(f"{flower.home}/runs/{SUBMITTING}")
        for run_id in active:
            flower.stop(run_id)
    module.exit_json(changed=bool(active), stopped=active)


if __name__ == "__main__":
    main()
