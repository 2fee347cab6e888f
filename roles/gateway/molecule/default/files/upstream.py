"""Answers each POST over TLS with its path. Arguments: the port, and the certificate's name."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Says which path it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with the path."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
keys = "/var/lib/flowerbed/keys"
context.load_cert_chain(f"{keys}/{sys.argv[2]}.crt", f"{keys}/{sys.argv[2]}.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
