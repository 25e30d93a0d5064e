"""Who is told in this example: prints what Alertmanager sends, one line an alert.

python alerts.py [HOST:PORT]     listens on 127.0.0.1:9095 unless told otherwise

`/slack` takes what a Slack-compatible channel would be sent: the words of our template.
`/webhook` takes Alertmanager's own JSON: what a program would be sent.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY_BYTES_MAX = 1 << 20


def lines(path: str, message: Any) -> list[str]:
    """What to print of a message."""
    if path == "/slack":
        return [f"{each['title']}\n{each['text']}" for each in message["attachments"]]
    return [json.dumps(message, sort_keys=True)]


class Receiver(BaseHTTPRequestHandler):
    """One request, one answer."""

    def do_POST(self) -> None:
        """Print the message."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path not in ("/slack", "/webhook") or not 0 < length <= BODY_BYTES_MAX:
            self.send_error(404 if length <= BODY_BYTES_MAX else 413)
            return
        for line in lines(self.path, json.loads(self.rfile.read(length))):
            # One piece: other messages are printed by threads of their own.
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        # Slack's own answer: Alertmanager takes another one for a refusal.
        answer = b"ok"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing but the alerts."""


def main() -> None:
    """Serve until stopped."""
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9095").rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Receiver) as server:
        print(f"alerts are printed here; listening on {host}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
