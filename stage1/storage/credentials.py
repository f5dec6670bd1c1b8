"""Who we are to an S3 service: looked for in this order, asked again before they expire.

1. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN
2. MINIO_ACCESS_KEY and MINIO_SECRET_KEY
3. the profile AWS_PROFILE in ~/.aws/credentials, or in the file AWS_SHARED_CREDENTIALS_FILE
4. a web identity token (IRSA): AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN; AWS_ENDPOINT_URL_STS
5. a container's credentials (ECS, EKS Pod Identity): AWS_CONTAINER_CREDENTIALS_...
6. the role of the machine, on AWS only and unless AWS_EC2_METADATA_DISABLED says true

The providers are minio's. What they raise may quote a token, so nothing of it is passed on.
"""

import configparser
import os
from typing import Any

import urllib3
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    EnvMinioProvider,
    IamAwsProvider,
    Provider,
)

from stage1.errors import StorageError
from stage1.storage.service import Service

_WHERE = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile in ~/.aws/credentials, or a web identity token; "
    "docs/storage.md lists every place."
)


class Identity:
    """Credentials for one service, found once and renewed when they are about to expire."""

    def __init__(self, service: Service) -> None:
        self._provider = ChainedProvider([_Quiet(provider) for provider in _providers(service)])

    def credentials(self) -> Credentials:
        """Return credentials that are valid now.

        Raises:
            StorageError: None of the places has any.
        """
        try:
            return self._provider.retrieve()
        except ValueError:
            pass
        raise StorageError(f"No credentials for object storage were found, or they could not be renewed. {_WHERE}")


class _Quiet(Provider):
    """A provider whose every failure is the ValueError that the chain goes on after, without its text."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    def retrieve(self) -> Credentials:
        try:
            return self._inner.retrieve()
        except (ValueError, KeyError, OSError, SyntaxError, configparser.Error, urllib3.exceptions.HTTPError):
            pass
        raise ValueError("no credentials here")


class _FormPost(urllib3.PoolManager):
    """Sends the parameters of a POST as its body: a token in a URL ends in the logs of every proxy on the way."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]
        if method == "POST" and "?" in url:
            url, _, form = url.partition("?")
            headers = {**(options.pop("headers", None) or {}), "Content-Type": "application/x-www-form-urlencoded"}
            options |= {"body": form, "headers": headers}
        return super().urlopen(method, url, redirect=redirect, **options)


def _providers(service: Service) -> list[Provider]:
    providers: list[Provider] = [EnvAWSProvider(), EnvMinioProvider(), AWSConfigProvider()]
    by_token = bool(os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
    by_container = any(os.environ.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL"))
    by_machine = service.is_aws and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"
    if by_token or by_container or by_machine:
        client = _FormPost(
            timeout=urllib3.Timeout(connect=5, read=10),
            retries=urllib3.Retry(  # a server may ask for a minute's wait, and a caller's deadline is not known here
                total=2,
                backoff_factor=0.2,
                status_forcelist=[500, 502, 503, 504],
                respect_retry_after_header=False,
            ),
            ssl_context=service.trust(),
        )
        endpoint = os.environ.get("AWS_ENDPOINT_URL_STS") if by_token else None
        providers.append(IamAwsProvider(custom_endpoint=endpoint, http_client=client, region=service.region))
    return providers
