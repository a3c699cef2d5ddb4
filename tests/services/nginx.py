"""nginx as it comes: before another server, or with a folder of its own.

It drops headers whose names it does not like.
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from tests.services.processes import (
    find_program,
    free_port,
    missing_programs,
    private_folder,
    server_process,
    started,
)

_CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""
_BEFORE = """\
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }}
"""
_FOLDER = """\
        location / {{
            default_type image/png;
            alias {folder}/;
        }}
"""


def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a server."""
    return missing_programs(("nginx",), "nginx", "nginx-light")


def before(upstream: str, locations: str = "") -> AbstractContextManager[int]:
    """Run nginx before the server at an address until the block is left; yield its port.

    ``locations`` are further ones, as in its configuration.
    """
    return started(partial(_start, _BEFORE.format(upstream=upstream) + locations))


def of_folder(folder: Path) -> AbstractContextManager[int]:
    """Run nginx with the files of a folder, which are pictures unless it knows their names."""
    return started(partial(_start, _FOLDER.format(folder=folder)))


def _start(locations: str, stack: ExitStack) -> int:
    folder = stack.enter_context(private_folder("nginx"))
    port = free_port()
    configuration = folder / "nginx.conf"
    text = _CONFIGURATION.format(folder=folder, port=port, locations=locations)
    configuration.write_text(text)
    command = [find_program("nginx") or "nginx", "-p", folder, "-e", "stderr", "-c", configuration]
    stack.enter_context(server_process(command, folder, partial(_answers, port)))
    return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
