"""Says who it is."""

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Answer with the node's partition."""
    who = f"cid {context.node_config['partition-id']} of {context.node_config['num-partitions']}"
    return Message(RecordDict({"me": ConfigRecord({"who": who})}), reply_to=message)
