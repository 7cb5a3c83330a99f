"""A server that only sends as many bytes: the limit of ours.

``python -m web.bench.service.bare SIZE PORT_FILE``
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any


def serve(size: int, port_file: str) -> None:
    """Serve the same number of bytes from the same server with the least possible application."""
    import uvicorn

    body = b"x" * size
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(size).encode()),
        (b"etag", b'"0123456789abcdef0123456789abcdef"'),
    ]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    Path(port_file).write_text(str(listener.getsockname()[1]), "utf-8")
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
