"""Certificates for links between hosts: a private CA used for nothing else, and one certificate per role.

EC P-256, the role in the URI SAN `tradebot://role/<role>`. Only a daemon's certificate may serve, and it alone carries
the DNS name `<daemon>.tradebot` that clients check: an operator's or another daemon's key cannot pose as riskd.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tradebot.core.errors import ConfigError
from tradebot.runtime.credentials import require_private, write_private
from tradebot.runtime.identity import DAEMON_ROLES, ROLE_URI_PREFIX, Role, server_name
from tradebot.runtime.tls import CA_FILE

CA_KEY_FILE = "ca.key"
CA_VALID_DAYS = 3_650
LEAF_VALID_DAYS = 90
_BACKDATE = dt.timedelta(minutes=5)
"""So that a host whose clock is a little behind accepts a new certificate."""

_Key = ec.EllipticCurvePrivateKey


def make_ca_and_certs(
    directory: Path, roles: Iterable[Role] = tuple(Role), hosts: Iterable[str] = (), valid_days: int = LEAF_VALID_DAYS
) -> list[Path]:
    """Write `ca.pem`, `ca.key` and `<role>.pem`, `<role>.key` for each role; return the paths written.

    An existing CA is kept and used, so running this again renews the certificates. Copy to each host only what it
    needs: `ca.pem` and the pair of its role; `ca.key` stays where it is.

    Args:
        directory: Folder; every file gets mode 0600.
        roles: Whom to certify.
        hosts: Further DNS names or IP addresses of the daemons, for tools that check the name they dialled.
        valid_days: Life of the role certificates.

    Raises:
        ConfigError: If the folder cannot be written or its CA cannot be read.
    """
    ca_certificate, ca_key, written = _load_or_make_ca(directory)
    for role in roles:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _leaf(role, key, ca_certificate, ca_key, tuple(hosts), valid_days)
        written += _write_pair(directory, str(role), certificate, key)
    return written


def _load_or_make_ca(directory: Path) -> tuple[x509.Certificate, _Key, list[Path]]:
    certificate_path, key_path = directory / CA_FILE, directory / CA_KEY_FILE
    if certificate_path.exists() or key_path.exists():
        try:
            require_private(key_path)
            key = load_pem_private_key(key_path.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        except (OSError, ValueError) as exc:
            raise ConfigError(f"the CA in {directory} cannot be read ({exc}): restore it or use an empty one") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise ConfigError(f"{CA_FILE} and {CA_KEY_FILE} in {directory} do not belong together: use an empty folder")
        return certificate, key, []
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tradebot CA")])
    certificate = (
        _builder(name, name, key.public_key(), CA_VALID_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key, _write_pair(directory, "ca", certificate, key)


def _leaf(
    role: Role, key: _Key, ca_certificate: x509.Certificate, ca_key: _Key, hosts: tuple[str, ...], valid_days: int
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{ROLE_URI_PREFIX}{role}")]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role in DAEMON_ROLES:
        names += [x509.DNSName(server_name(role)), *(_host_name(host) for host in hosts)]
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tradebot {role}")])
    return (
        _builder(subject, ca_certificate.subject, key.public_key(), valid_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, valid_days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + dt.timedelta(days=valid_days))
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_pair(directory: Path, name: str, certificate: x509.Certificate, key: _Key) -> list[Path]:
    key_path, certificate_path = directory / f"{name}.key", directory / f"{name}.pem"
    write_private(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_private(certificate_path, certificate.public_bytes(Encoding.PEM))
    return [certificate_path, key_path]
