"""The command ``glow-studio``, and ``python app.py``: read options, build the page, launch it."""

from __future__ import annotations

import argparse
import errno
import re
import signal
import socket
import sys
import time
import webbrowser

from glow_app import __version__
from glow_app.common import cli
from glow_app.common.errors import UserError

_FIRST_PORT, _TRIES = 7860, 40


def command() -> int:
    """Run the command and return its exit status."""
    # SIGTERM ends like Ctrl+C, so that uploaded photos are removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return cli.run(main)


def main(argv: list[str] | None = None) -> None:
    """Serve the page until Ctrl+C.
    Raises UserError: the file of users, the address or the port is of no use."""
    options = _parse(argv)
    from glow_app.ui.security import is_loopback, read_users

    users = read_users(options.auth) if options.auth else None
    find_port(options.host, options.port)  # before the model is loaded, which takes seconds
    if users is None and (options.name or not is_loopback(options.host)):
        whoever = f"who reaches {options.name[0]}" if options.name else "in your network"
        cli.say(f"Everybody {whoever} can use this page: --auth FILE asks for a password.")
    print("Starting…", flush=True)

    from glow_app.editing.editor import Editor
    from glow_app.ui.page import build_page, launch_options
    from glow_app.ui.page_faces import OpeningMorph

    editor = Editor(options.checkpoint, options.device)
    opening = OpeningMorph(editor)
    page = build_page(editor, opening)
    _, url, _ = page.launch(
        server_name=f"[{options.host}]" if ":" in options.host else options.host,
        server_port=options.port,  # None: Gradio looks once more, as others may have been quicker
        prevent_thread_lock=True,
        **launch_options(options.host, users, options.name, options.root_path),
    )
    url = url.replace("[::]", "[::1]")  # of all addresses one that a browser can open
    opening.warm_up()
    print(f"Glow Studio is at {url} (Ctrl+C stops it)", flush=True)
    if options.open:
        webbrowser.open(url)
    try:
        while True:
            time.sleep(1)
    finally:
        opening.close()
        page.close(verbose=False)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.Parser(description="Glow Studio in the browser.")
    cli.add_model_arguments(parser)
    parser.add_argument(
        "--host",
        type=_host,
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0, or :: for IPv6, lets your network in (default: this"
        " computer only)",
    )
    parser.add_argument(
        "--port",
        type=cli.whole(1, 65535),
        help=f"port to listen on (default: the first free one from {_FIRST_PORT})",
    )
    parser.add_argument(
        "--auth",
        metavar="FILE",
        help="let in only the users of this file, name:password on each line; others must not be"
        " able to read it (scripts/add_user.py writes such files without the passwords)",
    )
    parser.add_argument(
        "--name",
        type=_name,
        action="append",
        default=[],
        metavar="NAME",
        help="name under which a reverse proxy offers the page, such as glow.example.org; more"
        " than once for several (docs/proxy.md)",
    )
    parser.add_argument(
        "--root-path",
        type=_root_path,
        default="",
        metavar="PATH",
        help="where under that name, such as /glow (default: at its root)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in your browser")
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args(argv)


def _host(text: str) -> str:
    """Return, as an argparse type, an address or name of this computer, IPv6 unbracketed."""
    if "%" in text:  # fe80::1%eth0: browsers cannot open such an address
        raise argparse.ArgumentTypeError(f"must be an address without a zone, not {text!r}")
    return text[1:-1] if re.fullmatch(r"\[.*\]", text) else text


def _name(text: str) -> str:
    """Return, as an argparse type, a host name as browsers send it, lower case and ASCII."""
    try:
        name = text.lower().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?", name):
        raise argparse.ArgumentTypeError(
            f"must be a name such as glow.example.org, without http:// and port, not {text!r}"
        )
    return name


def _root_path(text: str) -> str:
    """Return, as an argparse type, "/" and more, without a slash at its end; "" for "/" itself."""
    path = text.rstrip("/")
    if text and not re.fullmatch(r"(/[A-Za-z0-9._~-]*[A-Za-z0-9_~-])*", path):
        raise argparse.ArgumentTypeError(f"must be a path such as /glow, not {text!r}")
    return path


def find_port(host: str, wanted: int | None) -> int:
    """Return ``wanted`` if it is free, or the first free port when none is asked for.
    Raises UserError: no such port is free, or the host is none of this machine's addresses."""
    for port in [wanted] if wanted else range(_FIRST_PORT, _FIRST_PORT + _TRIES):
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            _probe(family, address)
            _probe(socket.AF_INET, ("127.0.0.1", port))  # Gradio wants it free there, too
            return port
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"{host} is not an address of this computer.") from error
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"Cannot listen on port {port}: {error.strerror}.") from error
    if wanted:
        raise UserError(f"Port {wanted} is in use: choose another with --port.")
    raise UserError(
        f"Ports {_FIRST_PORT} to {_FIRST_PORT + _TRIES - 1} are all in use: use --port."
    )


def _probe(family: int, address: tuple) -> None:
    """Raise OSError where the server could not listen, with the options that it would set."""
    with socket.socket(family) as probe:
        if sys.platform != "win32":  # there it would allow a port in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
