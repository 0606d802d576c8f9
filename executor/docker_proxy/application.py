"""The calls that the proxy lets through; all others get a 403.

Each handler turns a request into the call that Docker gets, or raises RefusedError.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web
from yarl import URL

from executor import config
from executor.config import DockerSettings
from executor.docker_proxy import bodies
from executor.docker_proxy.bodies import RefusedError
from executor.engines.container_options import EXECUTOR_LABEL
from executor.engines.images import pulled_as

logger = logging.getLogger(__name__)

SOCKET = "/var/run/docker.sock"
LARGEST_BODY = 256 * 1024
# Engine 19.03 and later. Before 1.24, `start` took all options of `create`.
VERSION = r"{version:v1\.(?:4\d|[5-9]\d)}"
ID = "{id:[0-9a-f]{64}}"
LOG_PARAMETERS = ("stdout", "stderr", "follow", "timestamps", "tail")
NOT_ALLOWED = "The Docker proxy does not allow this call."
NO_DOCKER = "The Docker proxy cannot reach Docker: {}"


@dataclass(frozen=True)
class Call:
    """A call to Docker; its method is that of the request."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None


Handler = Callable[[web.Request], Awaitable[Call]]


class Proxy:
    """The calls of one executor, whose settings it shares."""

    def __init__(self, docker: DockerSettings, work_dir: Path, databases_dir: Path) -> None:
        self.docker = docker
        self._container_rules = bodies.container_rules(docker, work_dir, databases_dir)
        self._network_rules = bodies.network_rules(docker)
        # Ids seen under the names of the tools' images: a job may still use one whose name has moved on.
        self._images: set[str] = set()
        self._session: aiohttp.ClientSession

    async def connect(self, _app: web.Application) -> None:
        """Prepare the connections to Docker."""
        socket = self.docker.variables.get("DOCKER_HOST", SOCKET).removeprefix("unix://")
        # No limit: each running tool has a connection, on which its log comes.
        connector = aiohttp.UnixConnector(socket, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def close(self, _app: web.Application) -> None:
        """Close the connections to Docker."""
        await self._session.close()

    def routes(self) -> list[web.RouteDef]:
        """Return all calls, each with and without the version of the API."""
        calls: list[tuple[str, str, Handler]] = [
            ("GET", "/_ping", self.ping),
            ("HEAD", "/_ping", self.ping),
            ("GET", "/version", self.version),
            ("GET", "/images/{name:.+}/json", self.image),
            ("POST", "/images/create", self.pull),
            ("GET", "/networks", self.networks),
            ("GET", f"/networks/{ID}", self.network),
            ("POST", "/networks/create", self.create_network),
            ("GET", "/containers/json", self.containers),
            ("POST", "/containers/create", self.create_container),
            ("GET", f"/containers/{ID}/json", self.of_container("/json")),
            ("GET", f"/containers/{ID}/logs", self.of_container("/logs", *LOG_PARAMETERS)),
            ("POST", f"/containers/{ID}/start", self.of_container("/start")),
            ("POST", f"/containers/{ID}/stop", self.of_container("/stop", "t")),
            ("DELETE", f"/containers/{ID}", self.of_container("", "v", "link", "force")),
        ]
        return [
            web.route(method, prefix + path, self._answering(handler))
            for method, path, handler in calls
            for prefix in ("", f"/{VERSION}")
        ]

    async def ping(self, request: web.Request) -> Call:
        """Ask whether Docker answers."""
        return Call("/_ping", _query(request))

    async def version(self, request: web.Request) -> Call:
        """Ask which version Docker has."""
        return Call("/version", _query(request))

    async def image(self, request: web.Request) -> Call:
        """Describe an image of the tools."""
        name = request.match_info["name"]
        if name not in self.docker.images.values():
            raise RefusedError(f"{name[:100]} is not an image of the tools.")
        return Call(_image_path(name), _query(request))

    async def pull(self, request: web.Request) -> Call:
        """Pull an image of the tools from its registry."""
        query = _query(request, "fromImage", "tag")
        # What is named by its id is in no registry.
        names = [name for name in self.docker.images.values() if not name.startswith("sha256:")]
        if (query.get("fromImage", ""), query.get("tag", "")) not in map(pulled_as, names):
            raise RefusedError("Only the images of the tools can be pulled.")
        return Call("/images/create", query)

    async def networks(self, request: web.Request) -> Call:
        """Look for the tools' network."""
        filters = {"name": [self.docker.network]}
        if bodies.parsed(_query(request, "filters").get("filters", "").encode()) != filters:
            raise RefusedError("Only the tools' network can be looked for.")
        return Call("/networks", {"filters": json.dumps(filters)})

    async def network(self, request: web.Request) -> Call:
        """Describe the tools' network."""
        path = f"/networks/{request.match_info['id']}"
        found = await self._described(request, path)
        if found and found["Name"] != self.docker.network:
            raise RefusedError("This is not the network of the tools.")
        return Call(path, _query(request))

    async def create_network(self, request: web.Request) -> Call:
        """Create the tools' network."""
        body = bodies.allowed(self._network_rules, await request.read())
        return Call("/networks/create", _query(request), body)

    async def containers(self, request: web.Request) -> Call:
        """List containers of an executor."""
        query = _query(request, "all", "limit", "size", "trunc_cmd", "filters")
        filters = bodies.allowed(bodies.LABEL_FILTER, query.get("filters", "").encode())
        return Call("/containers/json", {**query, "filters": json.dumps(filters)})

    async def create_container(self, request: web.Request) -> Call:
        """Create a container from an image of the tools."""
        body = bodies.allowed(self._container_rules, await request.read())
        if body["Image"] not in self._images:
            for name in self.docker.images.values():
                found = await self._described(request, _image_path(name))
                self._images |= {found["Id"]} if found else set()
        if body["Image"] not in self._images:
            raise RefusedError("Image: This is not an image of the tools.")
        return Call("/containers/create", _query(request), body)

    def of_container(self, path: str, *parameters: str) -> Handler:
        """Return the handler of a call about one of the executor's containers."""

        async def handle(request: web.Request) -> Call:
            container = f"/containers/{request.match_info['id']}"
            found = await self._described(request, f"{container}/json")
            if found and (
                EXECUTOR_LABEL not in (found["Config"]["Labels"] or {})
                or found["HostConfig"]["NetworkMode"] != self.docker.network
            ):
                raise RefusedError("This container does not belong to the executor.")
            return Call(container + path, _query(request, *parameters))

        return handle

    async def _described(self, request: web.Request, path: str) -> dict[str, Any] | None:
        """Return what Docker says of an object; None if there is none."""
        async with self._session.get(_url(request, path)) as answer:
            found: dict[str, Any] | None = await answer.json() if answer.ok else None
            return found

    def _answering(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                if "Content-Encoding" in request.headers:
                    raise RefusedError("A compressed body is not read.")
                call = await handler(request)
                return await self._sent(request, call)
            except RefusedError as error:
                logger.warning("Refused %s %s: %s", request.method, request.path[:200], ascii(str(error)))
                return _message(403, f"The Docker proxy does not allow this. {error}")
            except (aiohttp.ClientError, OSError) as error:
                return _message(503, NO_DOCKER.format(error))

        return answer

    async def _sent(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Send a call to Docker, and its answer back as it comes."""
        url = _url(request, call.path).with_query(call.query)
        async with self._session.request(request.method, url, json=call.body) as answer:
            type_ = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            if request.method == "HEAD" or answer.status in (204, 304):
                return web.Response(status=answer.status)
            passed_on = web.StreamResponse(status=answer.status, headers=type_)
            await passed_on.prepare(request)
            async for piece in answer.content.iter_any():
                await passed_on.write(piece)
            await passed_on.write_eof()
            return passed_on


def create_app(variables: Mapping[str, str]) -> web.Application:
    """Return the proxy of the executor that has these settings.

    Raise ConfigError for the first that is missing or wrong.
    """
    proxy = Proxy(
        DockerSettings.read(variables, config.profile(variables)),
        Path(variables["EXECUTOR_WORK_DIR"]),
        config.databases_dir(variables),
    )
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_refuse_the_rest])
    app.on_startup.append(proxy.connect)
    app.on_cleanup.append(proxy.close)
    app.add_routes(proxy.routes())
    return app


@web.middleware
async def _refuse_the_rest(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer as Docker does, with JSON, where no route does."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        logger.warning("Refused %s %s", request.method, ascii(request.path[:200]))
        return _message(403, NOT_ALLOWED)
    except web.RequestPayloadError:
        return _message(400, "The body could not be read.")
    except web.HTTPRequestEntityTooLarge:
        return _message(403, f"The Docker proxy reads at most {LARGEST_BODY} bytes.")


def _query(request: web.Request, *names: str) -> dict[str, str]:
    """Return the parameters of a request.

    Raise RefusedError for one that is not in `names`, or stands there twice.
    """
    if extra := set(request.query) - set(names):
        raise RefusedError(f"The parameter {min(extra)[:100]} is not among {', '.join(names) or 'none'}.")
    if len(request.query) > len(set(request.query)):
        raise RefusedError("A parameter stands there twice.")
    return dict(request.query)


def _image_path(name: str) -> str:
    return f"/images/{quote(name)}/json"


def _url(request: web.Request, path: str) -> URL:
    version = request.match_info.get("version")
    return URL(f"http://docker{f'/{version}' if version else ''}{path}", encoded=True)


def _message(status: int, text: str) -> web.Response:
    """Return an error in the form of Docker's own."""
    return web.json_response({"message": text}, status=status)
