"""Our prepared HMAC against the standard library's."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.mac import HmacSha256, hmac_sha256


@given(st.binary(max_size=200), st.binary(max_size=600))
def test_it_equals_the_standard_hmac_for_every_key_length(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_one_prepared_key_serves_many_messages() -> None:
    mac = HmacSha256(b"key")

    assert mac.digest(b"a") == mac.digest(b"a") == hmac.digest(b"key", b"a", "sha256")
    assert mac.digest(b"b") != mac.digest(b"a")
