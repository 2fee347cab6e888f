"""Flower's command on the server, in one Python for several calls: it takes seconds to start on a small board."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from typing import Any

FOLLOWER = "flower-follower-"  # begins the name that `ps` shows of such a Python
# Runs flwr's script for each list of words that it reads, and says on a line what that printed. For a dictionary it
# stays behind as the follower of a run: it keeps the ServerApp's log, and at the run's end its status, in the run's
# folder. A SuperLink that is started again breaks the log's stream: it is then taken up again. An app may hold a lock
# on `alive` in that folder until it ends: where nobody does, the run was cut off. The word of that finds room on a full
# disk, too, where the reserve was.
PROGRAM = '''
import contextlib, fcntl, json, os, runpy, sys, tempfile, time, traceback

script, _ = sys.argv[1:]
answers = os.fdopen(os.dup(1), "w")


def flwr(words, out, err):
    """Run flwr's script as its command would, with files for what it prints."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.argv = [script, *words]
    with contextlib.suppress(OSError):  # to print on a full disk fails, too
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit:
            pass
        except Exception:
            traceback.print_exc()


def asked(words):
    texts = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        flwr(words, out, err)
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return texts


def status_of(run_id, nothing):
    """Return what Flower says of a run's end, '' while it has none; leaves its whole answer in status.new."""
    with open("status.new", "w+b") as new:
        flwr(["ls", "--run-id", run_id, "fleet", "--format", "json"], new, nothing)
        new.seek(0)
        told = json.load(new)
    if not told.get("success"):
        raise ValueError
    status = told["runs"][0]["status"]
    return status if status.startswith("finished:") else ""


def app_is_gone():
    try:
        with open("alive") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # an app that is there holds it; one that says nothing of itself has no such file
        return False
    return True


def note(status=None, details=None):
    """Leave the last word of the run: Flower's, or where that is wrong, this one."""
    with contextlib.suppress(OSError):
        os.remove("reserve")
    if status:
        with open("status.new", "w") as new:
            json.dump({"runs": [{"status": status, "status-details": details}]}, new)
    os.replace("status.new", "status.json")


def follow(folder, run_id):
    os.chdir(folder)
    with contextlib.suppress(OSError), open("reserve", "wb") as reserve:
        reserve.write(bytes(65536))
    tries, gone = 0, False
    while tries < 120:
        with contextlib.suppress(OSError), open("serverapp.log", "wb") as log:
            flwr(["log", run_id, "fleet", "--stream"], log, log)
        status = ""
        try:
            with open(os.devnull, "wb") as nothing:
                status = status_of(run_id, nothing)
            tries = 0
        except (OSError, ValueError, KeyError, IndexError):
            tries += 1
        # Failed is Flower's word for a ServerApp that it has not heard of for a while, too.
        if (not status or "failed" in status) and app_is_gone():
            # Asked twice: it may have been stopped after Flower said that it runs.
            if gone:
                note("cut off", "the ServerApp was cut off: the server was away or its disk full, or it was killed")
                return
            gone = True
        elif status:
            note()
            return
        time.sleep(1)
    note("lost", "the SuperLink did not answer for two minutes")


for line in sys.stdin:
    given = json.loads(line)
    if isinstance(given, list):
        print(json.dumps(asked(given)), file=answers, flush=True)
        continue
    with open(os.devnull, "r+b") as nothing:
        for number in range(3):
            os.dup2(nothing.fileno(), number)
    answers.close()
    follow(**given)
    break
'''


class FlowerError(Exception):
    """Flower's command did not do what it was asked to: the last line of what it said."""


class Flower:
    """Flower's command, with the connection named fleet of `flwr_home`; started when it is first called."""

    def __init__(self, flwr: str, flwr_home: str, folder: str) -> None:
        """`flwr` is the command's path, and `folder` one for what Python says where it falls."""
        self._flwr, self._log = flwr, os.path.join(folder, "flwr.log")
        self._environment = {
            **os.environ,
            "FLWR_HOME": flwr_home,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }
        self._name = FOLLOWER + secrets.token_hex(8)
        self._process: subprocess.Popen[str] | None = None

    def call(self, *words: str) -> dict[str, Any]:
        """Run `flwr WORDS… --format json` and return its JSON.

        Raises FlowerError where Flower reports a fault, which it does with exit status 0 and in its JSON.
        """
        out, err = self._ask([*words, "--format", "json"])
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            answer = {"error-message": err.strip() or out.strip()}
        if not answer.get("success"):
            raise FlowerError((str(answer.get("error-message", "")).strip().splitlines() or ["no reason given"])[-1])
        return answer

    def follow(self, run_id: str, folder: str) -> str:
        """Have this Python stay as the follower of a run; return its number and its name, which `ps` shows."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"run_id": run_id, "folder": folder}) + "\n")
            process.stdin.close()
        except BrokenPipeError:
            raise FlowerError(self._left()) from None
        self._process = None
        return f"{process.pid} {self._name}"

    def end(self) -> None:
        """End it, unless it follows."""
        if self._process is not None:
            self._process.communicate()  # which ends its input, and so it
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            python = os.path.join(os.path.dirname(self._flwr), "python")
            try:
                with open(self._log, "w", encoding="utf-8") as log:
                    self._process = subprocess.Popen(
                        [python, "-u", "-c", PROGRAM, self._flwr, self._name],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                        env=self._environment,
                        start_new_session=True,  # one that follows outlives this module and the controller's connection
                    )
            except OSError as error:
                raise FlowerError(f"{python} cannot be started: {error.strerror}") from error
        return self._process

    def _ask(self, words: list[str]) -> tuple[str, str]:
        """Return what flwr printed, and its errors; nothing, and what it left, where it ended."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(words) + "\n")
            process.stdin.flush()
            out, err = json.loads(process.stdout.readline())
        except (BrokenPipeError, ValueError):
            return "", self._left()
        return out, err

    def _left(self) -> str:
        """Return the last that a Python said which has ended."""
        assert self._process is not None
        self._process.wait()
        self._process = None
        with open(self._log, encoding="utf-8") as log:
            return log.read()
