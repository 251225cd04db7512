"""Errors, named by what the caller must do.

TradebotError
├─ ConfigError            fix the file; the process does not start
├─ InvariantError         our bug or corrupt state: stop this daemon, never carry on
├─ VenueProtocolError     the venue broke its own documentation: drop the stream, resync
│  └─ SequenceGapError
├─ RejectedError          a well-formed no, with a reason: do not send the same again
├─ UnknownOutcomeError    it may or may not have happened: query, never resend
└─ TransientError         try later; carries retry_after_ns
   ├─ RateLimitedError
   └─ DisconnectedError

Expected outcomes are return values; these are for what stops the current job.
"""

from __future__ import annotations


class TradebotError(Exception):
    """Base of every error we raise on purpose. The text is one line that an operator can act on."""


class ConfigError(TradebotError):
    """Configuration, flags or files are unusable; the text names the file, the field and the fix."""


class InvariantError(TradebotError):
    """Our own bug or corrupt state. The daemon stops; it never carries on."""


class VenueProtocolError(TradebotError):
    """The venue sent something its documentation excludes. Drop the stream and resync."""


class SequenceGapError(VenueProtocolError):
    """A sequence number is missing; what was built from the stream is void until a new snapshot."""


class RejectedError(TradebotError):
    """A well-formed no. `reason` is a stable code; sending the same again gives the same answer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


class UnknownOutcomeError(TradebotError):
    """The request may or may not have taken effect. Query; never resend."""


class TransientError(TradebotError):
    """Try later, not before `retry_after_ns` (a duration, 0 = at will)."""

    def __init__(self, text: str, retry_after_ns: int = 0) -> None:
        super().__init__(text)
        self.retry_after_ns = retry_after_ns


class RateLimitedError(TransientError):
    """The venue told us to slow down."""


class DisconnectedError(TransientError):
    """The connection is gone; nothing was sent after it."""
