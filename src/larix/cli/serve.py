"""larix serve"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.remote.serve import Server


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--address", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1)")
    parser.add_argument("-P", "--port", type=int, default=8080, help="Port to listen on, 0 for any (default: 8080)")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo, Server(repo, args.address, args.port) as server:
        print(f"Serving {repo.path} at {server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
