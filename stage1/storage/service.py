"""Where an S3 service is and how to be known there, from the places where every S3 program looks.

Endpoint      AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, MINIO_ENDPOINT, endpoint_url in ~/.aws/config; else AWS
Region        AWS_REGION, AWS_DEFAULT_REGION, MINIO_REGION, region in ~/.aws/config; else us-east-1
Credentials   see stage1.storage.credentials
Trust         AWS_CA_BUNDLE, else the system's certificates, which SSL_CERT_FILE and SSL_CERT_DIR replace
"""

import configparser
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from minio.helpers import BaseURL

from stage1.errors import BadConfig

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.IGNORECASE)
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True)
class Service:
    """An S3 service.

    Attributes:
        endpoint: https://host or https://host:port; http:// only where somebody wrote http://.
        region: Part of every signature.
        ca_bundle: PEM file of the authorities to trust instead of the system's; "" trusts the system's.
    """

    endpoint: str
    region: str
    ca_bundle: str = ""

    def __post_init__(self) -> None:
        if not _REGION.fullmatch(self.region):
            raise BadConfig(f"Need an S3 region such as eu-central-1, got {self.region!r}. Set AWS_REGION.")
        try:
            parts = urlsplit(self.endpoint)
            plain = parts.username is None and parts.password is None and parts.port != 0
            BaseURL(self.endpoint, self.region)
        except ValueError:
            plain = False
        if not plain or not self.endpoint.startswith(_SCHEMES) or not parts.hostname:
            raise BadConfig(
                "Need an S3 endpoint such as https://minio.example.org:9000, without a path, a user or a password; "
                "got something else. Set AWS_ENDPOINT_URL."
            )

    @property
    def is_aws(self) -> bool:
        """Whether this is Amazon's own service, where the machine itself may have a role."""
        return BaseURL(self.endpoint, self.region).is_aws_host

    def trust(self) -> ssl.SSLContext:
        """Return what TLS connections are verified against.

        Raises:
            BadConfig: The file with the authorities cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_bundle or None)
            if not self.ca_bundle and not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
                context.load_verify_locations(certifi.where())
        except OSError as error:
            raise BadConfig(
                f"Cannot use the certificate authorities in {self.ca_bundle or 'SSL_CERT_FILE'}: "
                f"{error.strerror or error}. Name a PEM file in AWS_CA_BUNDLE."
            ) from error
        return context


def service_from(environment: Mapping[str, str]) -> Service:
    """Return the service that these environment variables, and the files that they name, describe.

    Raises:
        BadConfig: One of them cannot be used.
    """
    profile = _profile(environment)
    endpoint = _first(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MINIO_ENDPOINT")
    endpoint = (endpoint or profile.get("endpoint_url", "")).rstrip("/")
    region = _first(environment, "AWS_REGION", "AWS_DEFAULT_REGION", "MINIO_REGION")
    region = region or profile.get("region", "us-east-1")
    if not endpoint:
        endpoint = f"https://s3.{region}.amazonaws.com"
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    return Service(endpoint, region, environment.get("AWS_CA_BUNDLE", ""))


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _profile(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings of the chosen profile in ~/.aws/config; nothing where there is no such file."""
    name = environment.get("AWS_PROFILE") or "default"
    path = Path(environment.get("AWS_CONFIG_FILE") or Path(environment.get("HOME") or "~").expanduser() / ".aws/config")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path)
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"Cannot read the AWS settings in {path}: {type(error).__name__}. Mend the file.") from None
    section = name if name == "default" else f"profile {name}"
    return dict(parser[section]) if parser.has_section(section) else {}
