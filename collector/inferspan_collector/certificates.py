"""Certificates that are renewed while the collector runs: read again when their files change.

At each handshake the files are looked at, some microseconds, and read if they are others than
before. New connections have what they say; open ones keep what they began with. Files that cannot
be used, as between the writing of a certificate and of its key, leave the old ones in use, and the
log says so once.
"""

from __future__ import annotations

import logging
import ssl
import threading
from typing import Final

import grpc

from inferspan_collector.config import Tls

Stamp = tuple[tuple[int, int, int] | None, ...]
_logger = logging.getLogger(__name__)


class Certificates:
    """Those of one collector, for all of its listeners. Thread-safe.

    Raises:
        ValueError: a file cannot be read or used.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamp = self._stamp_now()
        self._refused: Stamp = ()  # of files that changed and could not be used
        self._current = tls.context()

    def context(self) -> ssl.SSLContext | None:
        """What a listener speaks TLS by; None where it speaks in the clear."""
        context = self._tls.context()
        if context is not None:
            context.sni_callback = self._take_newest
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """The same for gRPC."""
        if self._current is None:
            return None
        given = self._grpc_configuration()
        last = [self._stamp]

        def changed() -> grpc.ServerCertificateConfiguration | None:
            self._look()
            stamp = self._stamp
            if last[0] == stamp:
                return None
            try:
                newest = self._grpc_configuration()
            except OSError:
                return None
            last[0] = stamp
            return newest

        return grpc.dynamic_ssl_server_credentials(
            given, changed, require_client_authentication=self._tls.client_ca is not None
        )

    def _take_newest(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        self._look()
        if self._current is not None:
            connection.context = self._current

    def _look(self) -> None:
        stamp = self._stamp_now()
        with self._lock:
            if stamp in (self._stamp, self._refused):
                return
            try:
                self._current = self._tls.context()
            except ValueError as error:
                self._refused = stamp
                _logger.error("the certificates that were read before stay in use: %s", error)
                return
            self._stamp = stamp
        _logger.info("%s was read again", self._tls.certificate)

    def _grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        tls = self._tls
        assert tls.certificate is not None
        assert tls.key is not None
        return grpc.ssl_server_certificate_configuration(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())],
            root_certificates=tls.client_ca.read_bytes() if tls.client_ca else None,
        )

    def _stamp_now(self) -> Stamp:
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self._tls.certificate, self._tls.key, self._tls.client_ca):
            try:
                found = None if path is None else path.stat()
            except OSError:
                found = None
            stamps.append(found and (found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)


NO_CERTIFICATES: Final = Certificates(Tls())
