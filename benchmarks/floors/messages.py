"""The floor's message, about 100 bytes on the wire, built at import so that no contract of ours is needed."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_FIELDS: Final = (
    ("id", _FIELD.TYPE_STRING),
    ("strategy", _FIELD.TYPE_STRING),
    ("instrument", _FIELD.TYPE_UINT32),
    ("side", _FIELD.TYPE_UINT32),
    ("price", _FIELD.TYPE_SINT64),
    ("qty", _FIELD.TYPE_SINT64),
    ("sent_ns", _FIELD.TYPE_FIXED64),
    ("engine_ns", _FIELD.TYPE_FIXED64),
    ("ask_ns", _FIELD.TYPE_FIXED64),
    ("sequence", _FIELD.TYPE_UINT64),
)


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="floor.proto", package="floor", syntax="proto3")
    message = file.message_type.add(name="Order")
    for number, (name, kind) in enumerate(_FIELDS, start=1):
        message.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("floor.Order"))


FloorOrder: Final = _build()


def make_order(sequence: int, sent_ns: int) -> Any:
    """Return one filled message."""
    return FloorOrder(
        id=f"0190c5a2-7b1e-7c3d-9f00-{sequence:012d}",
        strategy="mm-btc-1",
        instrument=17,
        side=1,
        price=6712345000000,
        qty=15000000,
        sent_ns=sent_ns,
        engine_ns=1,
        ask_ns=1,
        sequence=sequence,
    )
