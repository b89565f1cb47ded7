"""What a shell keeps from one magic to the next: the client, the last job, what is known of the databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from SciServer.magics.schema import Schema

if TYPE_CHECKING:
    from SciServer.core import Client, Job
    from SciServer.magics.running import Runner


class Session:
    """A shell's. Nothing of the client is imported before the first use."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.last_job: Job | None = None
        self.schema = Schema()
        self._client: Client | None = None

    def client(self) -> Client:
        """The client for this machine's settings, made at first use.

        Raises
        ------
        SciServerError
            The settings cannot be used.
        """
        if self._client is None:
            from SciServer.core import Client

            self._client = Client()
        return self._client

    def runner(self) -> Runner:
        """Runs queries."""
        from SciServer.magics.running import Runner

        return Runner(self.shell, self.client())

    def close(self) -> None:
        """End the connections."""
        self.schema.close()
        if self._client is not None:
            self._client.close()
