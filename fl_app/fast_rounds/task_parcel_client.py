"""A ClientApp gets its message with the rest of its task, and its reply goes with the task's end.

That is two requests where stock has five, and more for a message's objects. Where its SuperNode is stock, or the reply
is too large to go along, everything goes the stock way.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import httpx
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PushAppMessagesRequest, PushAppMessagesResponse

from fast_rounds import parcels


def install(client: type) -> None:
    """Let a client of the Runtime API do so; `parcel_client` is installed over it."""
    names = ("PullTaskInput", "PullMessages", "PushMessages", "PushTaskOutput")
    stock: dict[str, Any] = {name: getattr(client, name) for name in names}

    @wraps(stock["PullTaskInput"])
    def pull_task_input(self: Any, request: Any) -> Any:
        asked = type(request).FromString(request.SerializeToString())
        parcels.attach(asked, takes=parcels.LIMIT)
        response = stock["PullTaskInput"](self, asked)
        enclosed = parcels.detach(response).enclosed
        vars(self).update(_message=enclosed, _encloses=bool(enclosed))
        return response

    @wraps(stock["PullMessages"])
    def pull_messages(self: Any, request: Any) -> Any:
        message = vars(self).pop("_message", b"")
        return PullAppMessagesResponse.FromString(message) if message else stock["PullMessages"](self, request)

    @wraps(stock["PushMessages"])
    def push_messages(self: Any, request: PushAppMessagesRequest) -> Any:
        if not vars(self).get("_encloses") or not _is_whole(request):
            return stock["PushMessages"](self, request)
        vars(self)["_reply"] = request
        return PushAppMessagesResponse(message_ids=[one.metadata.message_id for one in request.messages_list])

    @wraps(stock["PushTaskOutput"])
    def push_task_output(self: Any, request: Any) -> Any:
        reply = vars(self).pop("_reply", None)
        if reply is None:
            return stock["PushTaskOutput"](self, request)
        given = type(request).FromString(request.SerializeToString())
        parcels.attach(given, enclosed=reply)
        try:
            return stock["PushTaskOutput"](self, given)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            # The connection has idled for as long as the app took, and may be closed just now. Flwr sends a task's end
            # once, for it has just sent the reply; where both had come, the task is over, and this is refused.
            return stock["PushTaskOutput"](self, given)

    functions = (pull_task_input, pull_messages, push_messages, push_task_output)
    for name, function in zip(names, functions, strict=True):
        setattr(client, name, function)


def _is_whole(request: PushAppMessagesRequest) -> bool:
    """Return whether all objects of a reply are with it."""
    looked_at = PushAppMessagesRequest.FromString(request.SerializeToString())
    return parcels.detach(looked_at).objects.keys() >= set(parcels.ids_of(looked_at.message_object_trees))
