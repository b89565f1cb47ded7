"""A service that is reached over TLS, as from a laptop."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.server_extensions.odd_service import OddService

REST = "sciserver/casjobs/rest/"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd service")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    unlocked = serialization.NoEncryption()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path


@pytest.fixture
def odd(jp_asyncio_loop: asyncio.AbstractEventLoop, certificate: Path) -> Iterator[OddService]:
    """The service behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    service = OddService()
    jp_asyncio_loop.run_until_complete(service.start(context))
    yield service
    jp_asyncio_loop.run_until_complete(service.stop())


@pytest.fixture
def upstream(odd: OddService) -> str:
    return odd.url.replace("http:", "https:")


async def test_a_certificate_that_is_trusted(call, odd: OddService, certificate: Path, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert (await call("GET", f"{REST}contexts")).code == 200
    assert odd.calls[0].header("X-Auth-Token")


async def test_another_one_gets_no_token(call, odd: OddService) -> None:
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert (answer.code, value["reason"]) == (503, "unreachable")
    assert "certificate" in value["message"]
    assert not odd.calls
