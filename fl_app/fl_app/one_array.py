"""A model on its way, as one array: Flower moves each array of a message on its own.

To the SuperLink an array is two objects, each of them a request of the sender, one of every receiver, and entries in
its database; a ResNet-18 of 122 arrays takes some thousand requests a round. So the arrays of a record travel as one,
in the safetensors format (https://github.com/huggingface/safetensors). Strategies, modifiers and learners see them as
they were.
"""

from collections.abc import Callable, Iterable, Mapping

from flwr.app import Array, ArrayRecord, Context, Error, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode  # exported nowhere else
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fl_app.passing import Passing

NAME = "model"
FORMAT = "safetensors"  # in the place of Flower's "numpy.ndarray"


def pack(arrays: ArrayRecord) -> ArrayRecord:
    """Return ``arrays`` as a record of one array."""
    # The format sorts by name; some strategies and modifiers go by position.
    data = save({f"{number:06}.{name}": array.numpy() for number, (name, array) in enumerate(arrays.items())})
    return ArrayRecord({NAME: Array(dtype="uint8", shape=(len(data),), stype=FORMAT, data=data)})


def unpack(arrays: ArrayRecord) -> ArrayRecord:
    """Return what `pack` was given; other records come back as they are.

    Raises `SafetensorError`, `KeyError` or `ValueError` where the data is damaged.
    """
    if not is_packed(arrays):
        return arrays
    return ArrayRecord(
        {name.partition(".")[2]: Array(array) for name, array in sorted(load(arrays[NAME].data).items())}
    )


def is_packed(arrays: ArrayRecord) -> bool:
    """Return whether `pack` made this record."""
    return list(arrays) == [NAME] and arrays[NAME].stype == FORMAT


def on_device(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Hand the ClientApp its arrays as they were, and its answer's on as one: a modifier for Flower's ClientApp."""
    message.content = _each(unpack, message.content)
    reply = call_next(message, context)
    if reply.has_content():
        reply.content = _each(pack, reply.content)
    return reply


class OneArray(Passing):
    """Sends the arrays of each message as one, and hands those of its replies on as they were."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies; one whose arrays cannot be read is an error."""
        sent = list(messages)
        made: dict[int, tuple[ArrayRecord, ArrayRecord]] = {}  # devices are mostly sent the same one

        def once(record: ArrayRecord) -> ArrayRecord:
            if id(record) not in made:
                made[id(record)] = record, pack(record)
            return made[id(record)][1]

        for message in sent:
            message.content = _each(once, message.content)
        replies = list(self.grid.send_and_receive(sent, timeout=timeout))
        asked = {message.metadata.message_id: message for message in sent}  # the Grid gives the ids as it sends
        return [_readable(reply, asked) for reply in replies]


def _each(change: Callable[[ArrayRecord], ArrayRecord], content: RecordDict) -> RecordDict:
    return RecordDict({name: change(r) if isinstance(r, ArrayRecord) else r for name, r in content.items()})


def _readable(reply: Message, asked: Mapping[str, Message]) -> Message:
    if not reply.has_content():
        return reply
    try:
        reply.content = _each(unpack, reply.content)
    except (SafetensorError, KeyError, ValueError) as error:  # the latter: a type that numpy does not know
        reason = f"its arrays cannot be read: {type(error).__name__}: {error}"
        said = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason)
        return Message(said, reply_to=asked[reply.metadata.reply_to_message_id])
    return reply
