"""Every endpoint of every service, asked with canaries wherever a text may stand: path, query, body, headers, names of files."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from tests.privacy.canaries import Canaries

_HEADERS = ("User-Agent", "Referer", "X-Request-ID", "X-Forwarded-For", "X-Correlation-ID", "Accept-Language", "From")


class Asker:
    """Asks one service.

    Parameters
    ----------
    name, url
        Of the service.
    token
        Bearer token of somebody who may do everything.
    canaries
        What to say.
    """

    def __init__(self, name: str, url: str, token: str, canaries: Canaries) -> None:
        self._name, self._canaries = name, canaries
        self._url = urlsplit(url)
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self._document = self._http.get("/openapi.json").json()
        self.asked: dict[str, list[int]] = {}
        """Status of each answer, by operation."""

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask_everything(self) -> None:
        """Ask each operation in every way."""
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                for request in self._requests(method, path, operation):
                    answer = self._http.send(request)
                    self.asked.setdefault(f"{self._name} {method.upper()} {path}", []).append(answer.status_code)

    def _requests(self, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[httpx.Request]:
        """Yield a request of the right types, one of the wrong types, and one whose body is something else."""
        for wrong in (False, True):
            origin = f"{self._name} {method.upper()} {path}" + (", wrong types" if wrong else "")
            address, query = path, {}
            for parameter in operation.get("parameters", ()):
                value = self._value(parameter["schema"], f"{origin}, {parameter['name']}", wrong)
                if parameter["in"] == "path":
                    address = address.replace(f"{{{parameter['name']}}}", quote(str(value), safe=""))
                else:
                    query[parameter["name"]] = value
            content = operation.get("requestBody", {}).get("content", {})
            headers = self._headers(origin)
            if not content:
                yield self._http.build_request(method, address, params=query, headers=headers)
            for kind, media in content.items():
                body = self._value(media["schema"], f"{origin}, body", wrong)
                sent: dict[str, Any] = {"json": body} if kind == "application/json" else self._form(body, origin)
                yield self._http.build_request(method, address, params=query, headers=headers, **sent)
        if content:
            text = self._canaries.text(f"{origin}, body that is none")
            for kind in (*content, f"text/{text.lower()}", f"multipart/form-data; boundary={text}"):
                headers = self._headers(origin) | {"Content-Type": kind}
                yield self._http.build_request(
                    method, address, content=f'{{"{text}": "{text}'.encode(), headers=headers
                )

    def _headers(self, origin: str) -> dict[str, str]:
        make = self._canaries.text
        headers = {name: make(f"{origin}, header {name}") for name in _HEADERS}
        headers["Cookie"] = f"{make(f'{origin}, cookie name')}={make(f'{origin}, cookie')}"
        headers[make(f"{origin}, name of a header")] = make(f"{origin}, header of that name")
        trace = make(f"{origin}, traceparent").encode().hex()[:22].ljust(32, "0")
        return headers | {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "tracestate": make(f"{origin}, tracestate")}

    def _form(self, body: Any, origin: str) -> dict[str, Any]:
        """Return a form: what is binary becomes a file with a canary as its name."""
        data, files = {}, {}
        for name, value in (body if isinstance(body, dict) else {"file": body}).items():
            if isinstance(value, (bytes, list)):
                file = value[0] if isinstance(value, list) else value
                kind = f"application/{self._canaries.text(f'{origin}, content type of {name}')}"
                files[name] = (f"{self._canaries.text(f'{origin}, file name of {name}')}.nii.gz", file, kind)
            else:
                data[name] = str(value)
        return {"data": data, "files": files or {"file": (self._canaries.text(f"{origin}, file name"), b"1")}}

    def _value(self, schema: Mapping[str, Any], origin: str, wrong: bool) -> Any:
        """Return a value for a schema, a canary wherever it may be text; ``wrong``: a canary whatever it may be."""
        if "$ref" in schema:
            return self._value(self._document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], origin, wrong)
        for choice in ("anyOf", "allOf", "oneOf"):
            if choice in schema:
                return self._value(schema[choice][0], origin, wrong)
        kind = schema.get("type")
        if kind == "object":
            fields = schema.get("properties", {})
            value = {name: self._value(field, f"{origin}.{name}", wrong) for name, field in fields.items()}
            if wrong:
                value[self._canaries.text(f"{origin}, unknown field")] = self._canaries.text(f"{origin}, in it")
            return value
        if schema.get("format") == "binary":
            return self._canaries.text(f"{origin}, content").encode() * 20
        if kind == "array":
            return [self._value(schema.get("items", {}), f"{origin}[]", wrong)]
        if wrong or (kind == "string" and "enum" not in schema) or kind is None:
            return self._canaries.text(origin)
        if "enum" in schema:
            return schema["enum"][0]
        return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": False}[kind]

    def ask_badly(self) -> None:
        """Send what is no HTTP, and what has no answer: bad requests, tokens, methods, paths, bodies cut off."""
        make, origin = self._canaries.text, f"{self._name}, bad request"
        for request in (
            f"{make(f'{origin}, method')} / HTTP/1.1\r\nHost: {make(f'{origin}, host')}\r\n\r\n",
            f"GET /{make(f'{origin}, version')} HTTP/9.9\r\n\r\n",
            f"GET /{make(f'{origin}, header')} HTTP/1.1\r\n{make(f'{origin}, no colon')}\r\n\r\n",
            f"POST /v1/{make(f'{origin}, length')} HTTP/1.1\r\nContent-Length: {make(f'{origin}, its length')}\r\n\r\n",
            f"POST /v1/uploads HTTP/1.1\r\nContent-Length: 9999\r\n\r\n{make(f'{origin}, cut off')}",
            f"POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{make(f'{origin}, chunk')}\r\n",
            f"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {make(f'{origin}, socket')}\r\n\r\n",
            f"GET /{make(f'{origin}, long path')}{'x' * 70_000} HTTP/1.1\r\n\r\n",
        ):
            self._raw(request.encode())
        for token in (make(f"{origin}, token"), f"{make(f'{origin}, token')}.e30.{make(f'{origin}, token')}"):
            self._http.get("/v1/status", headers={"authorization": f"Bearer {token}"})
            self._http.get("/v1/status", headers={"authorization": "", "cookie": f"radloop_token={token}"})
        self._http.get(
            f"/{make(f'{origin}, path')}", params={make(f"{origin}, parameter"): make(f"{origin}, its value")}
        )

    def _raw(self, data: bytes) -> None:
        with socket.create_connection((self._url.hostname, self._url.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            try:
                while connection.recv(65536):
                    pass
            except OSError:
                pass
