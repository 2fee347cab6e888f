"""Asks every node who it is."""

import os
import time
from pathlib import Path

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Send one query to each node and print the answers."""
    if context.run_config["fail"]:
        raise RuntimeError("this app was asked to fail")
    while len(nodes := list(grid.get_node_ids())) < int(context.run_config["nodes"]):
        time.sleep(0.2)
    nothing = RecordDict({"nothing": MetricRecord({"x": 0})})
    queries = [Message(nothing, dst_node_id=node, message_type="query") for node in nodes]
    answers = sorted(str(reply.content["me"]["who"]) for reply in grid.send_and_receive(queries))
    print(f"{context.run_config['greeting']} from {', '.join(answers)}")
    folder = Path(os.environ["FL_RUNS_DIR"]) / str(context.run_id)
    (folder / "greetings.txt").write_text(f"{len(answers)}\n")
