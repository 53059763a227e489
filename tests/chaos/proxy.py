"""A TCP proxy that can stand still: connections stay open, and nothing passes any more."""

import contextlib
import selectors
import socket
import threading


class Proxy:
    """Passes bytes between a loopback port of its own and another one, until it is frozen."""

    def __init__(self, port):
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._frozen = threading.Event()
        self._other = {}
        self._selector = selectors.DefaultSelector()
        self._wake, waker = socket.socketpair()
        self._waker = waker
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def freeze(self):
        """From now on nothing is read, and nobody is told; new connections are accepted by the kernel alone."""
        self._frozen.set()
        self._waker.send(b"x")

    def thaw(self):
        """What was held up goes on its way, late."""
        self._frozen.clear()
        self._waker.send(b"x")

    def _run(self):
        while not self._ended:
            for key, _ in self._selector.select():
                one = key.fileobj
                if one is self._wake:
                    one.recv(4096)
                elif self._frozen.is_set():
                    self._wait_thawed()
                    break
                elif one is self._listener:
                    self._accept()
                else:
                    self._pass(one)

    def _wait_thawed(self):
        while self._frozen.is_set() and not self._ended:
            self._wake.recv(4096)

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        self._other.update({client: server, server: client})
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, one):
        if one not in self._other:
            return
        try:
            content = one.recv(65536)
            if content:
                self._other[one].sendall(content)
                return
        except OSError:
            pass
        for end in (one, self._other.pop(one)):
            self._other.pop(end, None)
            self._selector.unregister(end)
            end.close()

    def close(self):
        self._ended = True
        self._waker.send(b"x")
        self._thread.join()
        for one in [*self._other, self._listener, self._wake, self._waker]:
            with contextlib.suppress(OSError):
                one.close()
        self._selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
