"""Say on port 8123 with which words, environment and rights this was started."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

FOLDERS = (os.getcwd(), "/var/tmp", "/etc", "/usr", "/home")


def may_write(folder: str) -> bool:
    """Return whether a file can be made in a folder."""
    try:
        with open(f"{folder}/echo", "w", encoding="utf-8"):
            return True
    except OSError:
        return False


class Echo(BaseHTTPRequestHandler):
    """Answers every GET with JSON."""

    def do_GET(self) -> None:
        """Answer."""
        said = {
            "words": sys.argv[1:],
            "environment": dict(os.environ),
            "user": os.getuid(),
            "pid": os.getpid(),
            "writes": [folder for folder in FOLDERS if may_write(folder)],
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", 8123), Echo).serve_forever()
