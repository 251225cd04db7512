"""riskd's journal held against its signatures, read from the files: no daemon is asked about itself."""

from __future__ import annotations

from cli.views import ChainView
from riskd.checkpoint_shell import verify
from tradebot.runtime.config import CommonConfig


def read_chain(common: CommonConfig) -> ChainView:
    """Return what the journal proves about itself.

    Raises:
        StateError: If there is no journal or no public key.
    """
    verdict, key = verify(common)
    return ChainView(
        verdict.records,
        verdict.checkpoints,
        verdict.signed_seq,
        verdict.signed_ns,
        verdict.unsigned,
        key,
        tuple(verdict.problems),
    )
