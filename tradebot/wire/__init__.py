"""Core types <-> protobuf messages: the only place that knows both.

Every `*_from_wire` refuses what the contracts exclude (unspecified enums, malformed decimals, missing messages) with a
RejectedError that names the field; nothing half-read leaves here.
"""
