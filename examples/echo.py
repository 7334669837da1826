#!/usr/bin/env python3
"""An echo server of a few lines, to be measured as any other program:

fourtuple run --server-command "python3 examples/echo.py {port}" --connections 100
"""

import asyncio
import sys


class Echo(asyncio.Protocol):
    """What comes goes back. asyncio sets TCP_NODELAY itself."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        # A peer that does not read is not read from either.
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "0.0.0.0", port, backlog=4096)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
