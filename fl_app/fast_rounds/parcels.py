"""A message and its objects in one request: what Flower's requests for messages carry besides.

A message of Flower's is a tree of objects (its record, arrays, pieces of arrays), and stock moves each with a request
of its own. Here small ones travel with the message, in fields of protobuf that stock does not know, and so leaves out.
A sender attaches objects only where the other side has said that it takes them; what is not attached goes the stock
way. Likewise a whole request or answer can be enclosed in another, and save a way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

LIMIT = 4 * 1024 * 1024  # bytes of objects that one message may bring; who takes it holds it in memory
# Numbers of fields, none of flwr's: an object, as a PushObjectRequest; how many bytes of objects the sender takes; the
# id of a message that is confirmed to be received, for all its objects came along; a request or answer within another.
OBJECT, TAKES, CONFIRMED, ENCLOSED = 20101, 20102, 20103, 20104
_VARINT, _BYTES = 0, 2  # wire types


@dataclass
class Parcel:
    """What came with a message: objects by their ids, and how many bytes of objects its sender takes (0: none).

    `confirmed`: ids of messages that need not be confirmed any more; `enclosed`: a request or an answer (empty: none).
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    takes: int = 0
    confirmed: set[str] = field(default_factory=set)
    enclosed: bytes = b""


def attach(
    message: Message,
    objects: Iterable[tuple[str, bytes]] = (),
    takes: int = 0,
    confirmed: Iterable[str] = (),
    enclosed: Message | None = None,
) -> None:
    """Add to a message what a `Parcel` has."""
    parts = []
    for object_id, content in objects:
        packed = PushObjectRequest(object_id=object_id, object_content=content).SerializeToString()
        parts += _bytes(OBJECT, packed)
    for message_id in confirmed:
        parts += _bytes(CONFIRMED, message_id.encode())
    if takes:
        parts += [_varint(TAKES << 3 | _VARINT), _varint(takes)]
    if enclosed is not None:
        parts += _bytes(ENCLOSED, enclosed.SerializeToString())
    message.MergeFromString(b"".join(parts))


def detach(message: Message) -> Parcel:
    """Take what was attached to a message off it; what cannot be read is left out, and so goes the stock way."""
    parcel = Parcel()
    for unknown in UnknownFieldSet(message):
        if unknown.field_number == TAKES and unknown.wire_type == _VARINT:
            parcel.takes = min(unknown.data, LIMIT)
        elif unknown.field_number == OBJECT and unknown.wire_type == _BYTES:
            try:
                packed = PushObjectRequest.FromString(unknown.data)
            except DecodeError:
                continue
            parcel.objects[packed.object_id] = packed.object_content
        elif unknown.field_number == CONFIRMED and unknown.wire_type == _BYTES:
            parcel.confirmed.add(unknown.data.decode(errors="replace"))
        elif unknown.field_number == ENCLOSED and unknown.wire_type == _BYTES:
            parcel.enclosed = unknown.data
    message.DiscardUnknownFields()
    return parcel


def ids_of(trees: Iterable[ObjectTree]) -> list[str]:
    """Return the ids of all objects in some trees, each once."""
    return list(dict.fromkeys(node.object_id for tree in trees for node in iterate_object_tree(tree)))


def _bytes(number: int, content: bytes) -> list[bytes]:
    return [_varint(number << 3 | _BYTES), _varint(len(content)), content]


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
