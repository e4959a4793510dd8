"""Ask a plug in the local network over HTTP: one connection, kept open, every wait and every answer bounded."""

from __future__ import annotations

from typing import Literal

import httpx

from tunebench.targets.meters.polled import ReadError

_MAX_ANSWER_B = 64 * 1024


class HttpDevice:
    """One device.

    Args:
        host: name or address, optionally with ``:port``.
        login: how the device wants to be authenticated to, user and password; ``None``: not at all. ``digest`` knows
            SHA-256 and keeps the device's challenge, so that only the first request is made twice.
        timeout_s: of connecting, and of every single wait for bytes.
    """

    def __init__(
        self, host: str, login: tuple[Literal["basic", "digest"], str, str] | None, timeout_s: float
    ) -> None:
        self._base = f"http://{host}"
        self._timeout_s = timeout_s
        self._auth: httpx.Auth | None = None
        if login is not None:
            way, user, password = login
            self._auth = (
                httpx.BasicAuth(user, password) if way == "basic" else httpx.DigestAuth(user, password)
            )
        self._client: httpx.Client | None = None

    def get(self, uri: str) -> tuple[int, str]:
        """Return the status and the body of an answer.

        Raises:
            ReadError: no whole answer in time, or too long a one.
        """
        try:
            if self._client is None:
                self._client = self._connected()
            with self._client.stream("GET", uri) as response:
                body = b""
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > _MAX_ANSWER_B:
                        raise ReadError(f"an answer of more than {_MAX_ANSWER_B} bytes")
        except httpx.TimeoutException:
            raise ReadError("no answer: timed out") from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, NotImplementedError) as error:
            # RuntimeError: closed meanwhile; NotImplementedError: a digest of a kind that httpx does not know.
            raise ReadError(f"no answer: {error or type(error).__name__}") from None
        return response.status_code, body.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the connection, also under a request in another thread; the next request opens it anew."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> httpx.Client:
        # No compressed answers: a small one could be large. Neither proxies nor credentials of the environment.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return httpx.Client(
            base_url=self._base, auth=self._auth, timeout=self._timeout_s, headers=headers, trust_env=False
        )
