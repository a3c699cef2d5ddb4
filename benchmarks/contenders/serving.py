"""Serves an ASGI application under uvicorn, to a client that downloads as fast as it can."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from typing import Any

import uvicorn

from benchmarks.kit import Round, Setting


def serve(app: Any, path: str, setting: Setting, this: Round) -> None:
    """Let a process of its own download from this one; measure time, memory and stalls."""
    asyncio.run(_serve(app, path, setting, this))


async def _serve(app: Any, path: str, setting: Setting, this: Round) -> None:
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    gc.collect()
    gc.freeze()  # as the guide advises: else passes of the collector are the longest stalls
    processor = time.process_time()
    with this.memory_watched():
        async with this.loop_watched():
            seconds, rate = await _downloaded(port, path, setting, this)
    this.measured["processor_seconds"] = time.process_time() - processor
    this.measured |= {"seconds": seconds, "bytes_a_second": rate}
    server.should_exit = True
    await serving


async def _downloaded(port: int, path: str, setting: Setting, this: Round) -> tuple[float, float]:
    slowly = (setting.options.get("rate", 0), setting.options.get("seconds", 0))
    arguments = map(str, (port, path, this.n, setting.at_once, this.size, *slowly))
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.downloads", *arguments, stdout=subprocess.PIPE
    )
    output, _ = await client.communicate()
    if client.returncode:
        raise RuntimeError("a download failed; what the client printed says why")
    seconds, rate = map(float, output.split())
    return seconds, rate
