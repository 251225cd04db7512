"""Approval keys are bound to an environment and rotate; certificates carry exactly one role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tradebot.core.errors import ConfigError
from tradebot.runtime.certs import make_ca_and_certs
from tradebot.runtime.config import Mode
from tradebot.runtime.identity import Role, role_of_certificate
from tradebot.runtime.keys import create_key_file, load_keyring, rotate_key_file


def test_a_key_file_is_private_and_gives_back_what_was_created(tmp_path: Path) -> None:
    path = tmp_path / "approval.json"
    created = create_key_file(path, Mode.DEMO)
    loaded = load_keyring(path, Mode.DEMO)

    assert path.stat().st_mode & 0o777 == 0o600
    assert loaded == created
    assert len(loaded.current.secret) == 32
    assert loaded.find(loaded.current.key_id) == loaded.current
    assert loaded.find("00000000") is None


def test_two_key_files_differ(tmp_path: Path) -> None:
    keys = {create_key_file(tmp_path / name, Mode.DEMO).current.secret for name in "ab"}

    assert len(keys) == 2


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", Mode.DEMO)

    with pytest.raises(ConfigError, match="exists"):
        create_key_file(tmp_path / "k", Mode.DEMO)


def test_a_rotation_signs_with_the_new_key_and_still_knows_the_last_one_only(tmp_path: Path) -> None:
    path = tmp_path / "k"
    first = create_key_file(path, Mode.DEMO).current
    second = rotate_key_file(path, Mode.DEMO).current
    keyring = rotate_key_file(path, Mode.DEMO)

    assert keyring.current not in (first, second)
    assert keyring.find(second.key_id) == second
    assert keyring.find(first.key_id) is None


def test_a_key_of_another_environment_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", Mode.DEMO)

    with pytest.raises(ConfigError, match="was made for demo, this is real"):
        load_keyring(tmp_path / "k", Mode.REAL)


def test_a_readable_or_missing_key_file_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", Mode.DEMO)
    (tmp_path / "k").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keyring(tmp_path / "k", Mode.DEMO)
    with pytest.raises(ConfigError, match="create it"):
        load_keyring(tmp_path / "none", Mode.DEMO)


@pytest.mark.parametrize("change", [{"secret_hex": "z" * 64}, {"secret_hex": "ab"}, {"key_id": "??"}, {"more": 1}])
def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path: Path, change: dict[str, str]) -> None:
    path = tmp_path / "k"
    create_key_file(path, Mode.DEMO)
    content = json.loads(path.read_text())
    content["keys"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="is damaged") as caught:
        load_keyring(path, Mode.DEMO)

    assert content["keys"][0]["secret_hex"] not in str(caught.value)


def test_a_key_never_shows_in_its_repr(tmp_path: Path) -> None:
    keyring = create_key_file(tmp_path / "k", Mode.DEMO)

    assert keyring.current.secret.hex() not in repr(keyring)


def certificate_of(directory: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_every_role_gets_a_certificate_of_our_ca_with_its_role_and_private_files(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path)
    ca = certificate_of(tmp_path, "ca")
    for role in Role:
        certificate = certificate_of(tmp_path, role)
        certificate.verify_directly_issued_by(ca)
        uris = names_of(certificate).get_values_for_type(x509.UniformResourceIdentifier)

        assert uris == [f"tradebot://role/{role}"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_only_a_daemon_certificate_may_serve_and_only_under_its_own_name(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, (Role.RISKD, Role.TRADER), hosts=("10.0.0.2", "risk.example"))
    daemon, operator = certificate_of(tmp_path, "riskd"), certificate_of(tmp_path, "trader")
    usages = [c.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value for c in (daemon, operator)]

    assert names_of(daemon).get_values_for_type(x509.DNSName) == ["riskd.tradebot", "risk.example"]
    assert names_of(operator).get_values_for_type(x509.DNSName) == []
    assert [ExtendedKeyUsageOID.SERVER_AUTH in usage for usage in usages] == [True, False]


def test_running_it_again_renews_with_the_same_ca(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, (Role.RISKD,))
    ca, first = certificate_of(tmp_path, "ca"), certificate_of(tmp_path, "riskd")
    make_ca_and_certs(tmp_path, (Role.RISKD,))
    second = certificate_of(tmp_path, "riskd")
    second.verify_directly_issued_by(ca)

    assert first.serial_number != second.serial_number


def test_a_broken_ca_is_not_replaced(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, ())
    (tmp_path / "ca.pem").write_text("damaged")

    with pytest.raises(ConfigError, match="cannot be read"):
        make_ca_and_certs(tmp_path, (Role.RISKD,))


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ([b"tradebot://role/riskd"], Role.RISKD),
        ([b"riskd.tradebot", b"tradebot://role/execd", b"10.0.0.1"], Role.EXECD),
        ([], None),
        ([b"riskd.tradebot"], None),
        ([b"tradebot://role/"], None),
        ([b"tradebot://role/root"], None),
        ([b"tradebot://role/riskd", b"tradebot://role/trader"], None),
        ([b"TRADEBOT://role/riskd"], None),
        ([b"tradebot://role/riskd/extra"], None),
        ([b"tradebot://role/\xff"], None),
    ],
)
def test_a_certificate_names_one_known_role_or_none(names: list[bytes], role: Role | None) -> None:
    assert role_of_certificate(names) == role
