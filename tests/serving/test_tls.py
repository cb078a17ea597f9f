"""Servers with a certificate of one's own authority, named by `SSL_CERT_FILE`."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest

from pytest_llmcompare.serving.answer import BadAnswerError

from .servers import Faulty, completion
from .test_faults import FIELDS, client


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    built = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def test_an_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted for servers of this machine, too; without the variable the message names the certificate."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Faulty(lambda *_: completion()) as faulty:
        faulty.server.socket = context.wrap_socket(faulty.server.socket, server_side=True)
        url = faulty.url.replace("http:", "https:")
        with pytest.raises(BadAnswerError, match="CERTIFICATE_VERIFY_FAILED"):
            client(url).send(FIELDS, {})
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert client(url).send(FIELDS, {})[0] == completion()
