"""larix serve"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.remote.serve import Server

MAX_PORT = 65535


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--address", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1)")
    parser.add_argument("-P", "--port", type=port, default=8080, help="Port to listen on, 0 for any (default: 8080)")


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port; they go from 0 to {MAX_PORT}")
    return number


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo, Server(repo, args.address, args.port) as server:
        print(f"Serving {repo.path} at {server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
