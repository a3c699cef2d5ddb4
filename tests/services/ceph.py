"""S3: Ceph's RADOS Gateway on one monitor and one OSD that keeps its objects in memory."""

from __future__ import annotations

import http.client
import os
import secrets
import uuid
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.services.processes import (
    find_program,
    free_port,
    missing_programs,
    private_folder,
    run_tool,
    server_process,
    started,
)

ENVIRONMENT = "SQLALCHEMY_FILE_TEST_S3"
_PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw", "radosgw-admin")
_CONFIGURATION = """\
[global]
fsid = {cluster}
mon_host = [v2:127.0.0.1:{monitor_port}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {folder}
admin_socket =
log_file = {folder}/$name.log
crash_dir = {folder}
mon_cluster_log_file = {folder}/cluster.log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 2
osd_pool_default_pgp_num = 2
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
# the defaults gather changes for a second before they take effect
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[mon]
mon_data = {folder}/mon
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_op_num_shards = 2
[client.rgw.a]
rgw_data = {folder}/gateway
# without tcp_nodelay every PUT takes 40 ms more
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_dns_name = localhost
rgw_crypt_require_ssl = false
rgw_thread_pool_size = 32
rgw_run_sync_thread = false
rgw_enable_usage_log = false
rgw_enable_apis = s3, admin
# the gateway's default, "secure", hangs where cephx is switched off
ms_mon_client_mode = crc
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running S3 server, reached over plain HTTP."""

    host: str
    port: int
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def missing() -> str | None:
    """Return one line that says what to install, or None where the tests can have a server."""
    if os.environ.get(ENVIRONMENT):
        return None
    packages = "ceph-mon, ceph-osd, ceph-common and radosgw"
    return missing_programs(_PROGRAMS, "Ceph's S3 gateway", packages)


def running() -> AbstractContextManager[S3Server]:
    """Run a server, or use the developer's own, until the block is left."""
    if address := os.environ.get(ENVIRONMENT):
        return nullcontext(_developers_own(address))
    return started(_start)


def _developers_own(address: str) -> S3Server:
    parts = urlsplit(address)
    if parts.scheme != "http" or not (parts.hostname and parts.username and parts.password):
        raise ValueError(f"{ENVIRONMENT} is to look like http://key:secret@host:port")
    access_key, secret_key = unquote(parts.username), unquote(parts.password)
    return S3Server(parts.hostname, parts.port or 80, access_key, secret_key)


def _start(stack: ExitStack) -> S3Server:
    folder = stack.enter_context(private_folder("ceph"))
    server = S3Server("127.0.0.1", free_port(), secrets.token_hex(10), secrets.token_hex(20))
    _configure(folder, free_port(), server.port)
    stack.enter_context(_daemon("ceph-mon", "a", folder))
    _add_osd(folder)
    stack.enter_context(_daemon("ceph-osd", "0", folder))
    _add_user(folder, server)
    answers = partial(_answers, server)
    stack.enter_context(
        server_process([*_command("radosgw", folder), "-n", "client.rgw.a", "-f"], folder, answers)
    )
    return server


def _configure(folder: Path, monitor_port: int, port: int) -> None:
    cluster = str(uuid.uuid4())
    text = _CONFIGURATION.format(
        cluster=cluster, folder=folder, monitor_port=monitor_port, port=port
    )
    (folder / "ceph.conf").write_text(text)
    address = f"[v2:127.0.0.1:{monitor_port}]"
    create = ["--create", "--fsid", cluster, "--addv", "a", address, str(folder / "monmap")]
    run_tool([*_command("monmaptool", folder), *create], folder)
    mkfs = ["-i", "a", "--mkfs", "--monmap", str(folder / "monmap")]
    run_tool([*_command("ceph-mon", folder), *mkfs], folder)


def _add_osd(folder: Path) -> None:
    identity = str(uuid.uuid4())
    patience = ["--connect-timeout", "20"]
    run_tool([*_command("ceph", folder), *patience, "osd", "new", identity, "0"], folder)
    run_tool(["mkdir", folder / "osd"], folder)
    mkfs = ["-i", "0", "--mkfs", "--osd-uuid", identity]
    run_tool([*_command("ceph-osd", folder), *mkfs], folder)


def _add_user(folder: Path, server: S3Server) -> None:
    user = ["--uid=tests", "--display-name=tests", "--log-to-stderr=false"]
    user += [f"--access-key={server.access_key}", f"--secret-key={server.secret_key}"]
    admin = [*_command("radosgw-admin", folder), "-n", "client.rgw.a"]
    run_tool([*admin, "user", "create", *user], folder)


def _daemon(program: str, identity: str, folder: Path) -> AbstractContextManager[None]:
    # -f: daemons that fork themselves away could not be stopped by process id
    command = [*_command(program, folder), "-i", identity, "-f"]
    return server_process(command, folder, lambda: True)


def _command(program: str, folder: Path) -> list[str | Path]:
    return [find_program(program) or program, "-c", folder / "ceph.conf"]


def _answers(server: S3Server) -> bool:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
