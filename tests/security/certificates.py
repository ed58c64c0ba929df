"""Certificates for a test: authorities of our own, servers and clients, good and bad ones."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Signed:
    """The files of a certificate and its key, in PEM."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; ``cert`` is its own, which others are to believe."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        builder = self._begin(self._name, self._key.public_key(), now - DAY, now + DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        signed = builder.sign(self._key, hashes.SHA256())
        self.cert = folder / "ca.pem"
        self.cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def sign(
        self, name: str, *hosts: str, ends: dt.timedelta = DAY, folder: Path | None = None
    ) -> Signed:
        """A certificate for hosts (names or addresses), or of a client; ``ends`` may be over."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._begin(subject, key.public_key(), now - 2 * DAY, now + ends)
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, False)
        found = Signed(*((folder or self._folder) / f"{name}.{kind}" for kind in ("pem", "key")))
        cert = builder.sign(self._key, hashes.SHA256())
        found.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return found

    def _begin(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begins: dt.datetime,
        ends: dt.datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
