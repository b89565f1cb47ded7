"""`SciServerSpawner`: JupyterHub's door to users' containers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from jupyterhub import orm
from jupyterhub.utils import url_escape_path, url_path_join

from sciserver_spawner import client_config, container, errors, mounts, options, volumes
from sciserver_spawner.container import Limits
from sciserver_spawner.engine import UNREACHABLE, Engine, engine_at
from sciserver_spawner.naming import LABEL, container_labels
from sciserver_spawner.progress import Event, Progress
from sciserver_spawner.pull import pull
from sciserver_spawner.readiness import ServerDied, wait_ready
from sciserver_spawner.settings import SpawnerSettings

LOG_LINES = 20
"""Lines of the container's log that a failed start shows."""


class SciServerSpawner(SpawnerSettings):
    """Starts each user's server in a hardened container with the user's storage mounted.

    Inherits DockerSpawner's options and templates; replaces how the engine is reached (`sciserver_spawner.engine`),
    how readiness is seen (`sciserver_spawner.readiness`) and what `poll` says when it cannot know.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = Progress()
        self._engine_lost = False
        self._item: options.MenuItem | None = None
        self._mounts: list[mounts.Mount] = []

    @property
    def engine(self) -> Engine:
        """The engine on which this server runs."""
        return engine_at(self.engine_url)

    @property
    def client(self) -> docker.APIClient:
        """This thread's client, for inherited code; calls that do I/O go through `docker`."""
        return self.engine.client()

    async def docker(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Await an engine's method in the lane for its kind of work; every inherited method comes through here."""
        return await self.engine.call(method, *args, **kwargs)

    def get_env(self) -> dict[str, str]:
        """The hub's variables and SciServer's (contract §0.2)."""
        env: dict[str, str] = super().get_env()
        env["SCISERVER_USER_ID"] = str(self.user.id)
        env["SCISERVER_USER_NAME"] = self.user.name
        return env

    def owned_volumes(self) -> list[volumes.UserVolume]:
        """The user's default volumes.

        Raises
        ------
        volumes.VolumeError
            The user's name cannot be a directory's.
        """
        owned = [volumes.UserVolume(root, self.user.name, name) for root, name in self.user_volumes]
        return [*owned, volumes.UserVolume(volumes.SCIDRIVE, self.user.name)] if self.scidrive else owned

    @property
    def volume_binds(self) -> dict[str, dict[str, str]]:
        """DockerSpawner's configured binds, the user's volumes, those shared with the user, and the data volumes."""
        binds: dict[str, dict[str, str]] = super().volume_binds
        reserved = {volumes.SCIDRIVE, *(root for root, _ in self.user_volumes)}
        if self.volumes_root:
            root = Path(self.volumes_root)
            owned = [mounts.Mount(volume, "rw") for volume in self.owned_volumes()]
            for mount in [*self._mounts, *owned]:
                reserved.add(mount.volume.root)
                binds[str(mount.volume.host_path(root))] = {"bind": mount.volume.mount_point, "mode": mount.mode}
        if self.data_root:
            for source, target in volumes.data_volumes(Path(self.data_root), reserved).items():
                binds[source] = {"bind": target, "mode": "ro"}
        return binds

    async def start(self) -> tuple[str, int]:
        """Make, start and await the user's container.

        Returns
        -------
        (str, int)
            Address and port at which the hub and the proxy reach the server.

        Raises
        ------
        jupyterhub.spawner.SpawnException
            The server could not be started; its text is for the user, its `reason` for the metrics.
        """
        # A page may have opened before the start: it reads the object that is there.
        if self._progress.finished:
            self._progress = Progress()
        progress = self._progress
        try:
            item = options.find(self.menu, self.user_options.get("image"))
            self.image = item.image
            self._item = item
            progress.step(5, "Preparing your storage")
            await asyncio.gather(self._make_volumes(), self._find_mounts())
            async with self._boot_slot():
                progress.step(20, f"Creating a container of “{item.title or item.name}”")
                await self._create_container()
                progress.step(40, "Starting the container")
                # Before the start, though it costs a few hundredths of a second: an image's own script may read them.
                await self._deliver_files()
                await self.start_object()
                host, port = await self.get_ip_and_port()
                progress.step(60, "Starting JupyterLab")
                await self._wait_ready(host, port)
            progress.step(95, "Opening the route to your server")
            return host, port
        except volumes.VolumeError as error:
            raise errors.failure(str(error), reason="volume") from error
        except (APIError, *UNREACHABLE) as error:
            await self._remove_failed()
            raise errors.from_engine(error) from error
        except asyncio.CancelledError:
            # The user stopped it, or `start_timeout` is over. Nobody waits: the hub goes on at once.
            self._remove_later()
            raise
        finally:
            progress.finish()

    async def progress(self) -> AsyncIterator[Event]:
        """Events of the start under way, for the hub's progress page."""
        async for event in self._progress:
            yield event

    async def _make_volumes(self) -> None:
        if not self.volumes_root:
            return
        root = Path(self.volumes_root)
        owned = self.owned_volumes()
        left = await asyncio.to_thread(volumes.make, owned, root)
        if not left:
            return

        async def make_through_engine() -> None:
            await self.engine.run(lambda client: volumes.make_through_engine(client, self.image, left, root))

        try:
            await make_through_engine()
        except ImageNotFound:
            await self.pull_image(self.image)
            await make_through_engine()

    async def _find_mounts(self) -> None:
        """Learn which volumes there are beside the default ones; without an answer there are none."""
        self._mounts = []
        if not (self.mounts_url and self.volumes_root):
            return
        groups = [group.name for group in self.user.groups]
        try:
            found, left_out = await mounts.ask(
                self.mounts_url, self.mounts_token, self.user.name, groups, self.mounts_timeout
            )
        except mounts.MountsUnknown as error:
            self.log.warning("%s gets the default volumes only: SciDrive was asked, %s", self._log_name, error)
            self._progress.step(15, "SciDrive does not answer: volumes beside the default ones are not mounted")
            return
        if not self.scidrive:
            found = [mount for mount in found if mount.volume.root != volumes.SCIDRIVE]
        self._mounts = await asyncio.to_thread(mounts.existing, found, Path(self.volumes_root))
        left_out += [f"{mount.volume} (it has no directory)" for mount in found if mount not in self._mounts]
        if left_out:
            self.log.warning("Not mounted for %s: %s", self._log_name, "; ".join(left_out))

    @asynccontextmanager
    async def _boot_slot(self) -> AsyncIterator[None]:
        """Wait for a turn to boot, and give it back when the block ends or `boot_slot_timeout` is over."""
        slots = await self.engine.boot_slots(self.concurrent_boots)
        if slots.locked():
            self._progress.step(10, "Waiting for other servers that are starting")
        await slots.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                slots.release()

        timer = asyncio.get_running_loop().call_later(self.boot_slot_timeout, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    async def _create_container(self) -> None:
        """Create the container, first removing a stale one of its name and pulling a missing image."""
        try:
            created = await self.create_object()
        except APIError as error:
            if isinstance(error, ImageNotFound):
                await self.pull_image(self.image)
            elif error.status_code == 409:
                # Left by a hub that was killed while it started or stopped this server.
                self.log.warning("Removing the stale container %s", self.object_name)
                try:
                    await self.docker("remove_container", self.object_name, force=True, v=True)
                except NotFound:
                    pass
            else:
                raise
            created = await self.create_object()
        self.object_id = created[self.object_id_key]
        self.log.info("Created container %s of %s for %s", self.object_name, self.image, self._log_name)

    async def get_command(self) -> list[str]:
        """The chosen image's start command, with the site's arguments."""
        if self._item and self._item.cmd:
            return [*self._item.cmd, *self.get_args()]
        command: list[str] = await super().get_command()
        return command

    async def create_object(self) -> dict[str, Any]:
        """Create the container, with as few rights as work (DESIGN §5); site options are merged last."""
        extra_create = await self._site_options(self.extra_create_kwargs)
        extra_host = await self._site_options(self.extra_host_config)
        limits = Limits(self.mem_limit, self.cpu_limit, self.pids_limit, self.shm_size)
        host_config = container.host_config(
            limits=limits,
            network=self.network_name,
            binds=self.volume_binds,
            mounts=self.mount_binds,
            port_bindings={} if self.use_internal_ip else {self.port: (self.host_ip,)},
            extra=extra_host,
        )
        create: dict[str, Any] = {
            "image": self.image,
            "name": self.object_name,
            "command": await self.get_command(),
            "environment": self.get_env(),
            "volumes": self.volume_mount_points,
            "ports": [self.port],
            "labels": container_labels(self.deployment_id, self.user.name, self.name) | {f"{LABEL}.image": self.image},
        }
        create |= {key: value for key, value in extra_create.items() if key != "labels"}
        create["labels"] |= extra_create.get("labels", {})
        creation = asyncio.ensure_future(
            self.engine.run(
                lambda client: client.create_container(host_config=client.create_host_config(**host_config), **create)
            )
        )
        try:
            return await asyncio.shield(creation)
        except asyncio.CancelledError:
            # The engine is at it and will not be interrupted: what it makes goes when it is made.
            creation.add_done_callback(self._remove_created)
            raise

    def _remove_created(self, creation: asyncio.Future[dict[str, Any]]) -> None:
        if not creation.cancelled() and not creation.exception():
            self.engine.remove_later(creation.result()[self.object_id_key])

    async def _site_options(self, value: Any) -> dict[str, Any]:
        """One of DockerSpawner's dictionaries of extra options, which may be a callable and hold templates."""
        value = self._eval_if_callable(value)
        if asyncio.iscoroutine(value):
            value = await value
        return dict(self._render_templates(value))

    async def pull_image(self, image: str) -> None:
        """Fetch `image`, showing how far the engine is.

        Raises
        ------
        jupyterhub.spawner.SpawnException
            The image cannot be had.
        """
        # Built here and in no registry: asking one would only give a confusing answer, or somebody else's image.
        if image.startswith("sciserver/") or self.pull_policy == "never":
            raise errors.from_engine(ImageNotFound(image))
        await pull(self.engine, image, lambda message: self._progress.step(20, message))

    async def _deliver_files(self) -> None:
        """Put the token and the client configuration into the container before it runs."""
        data = client_config.archive(self.api_token, self.client_settings)
        await self.docker("put_archive", self.object_id, "/", data)

    async def _wait_ready(self, host: str, port: int) -> None:
        async def is_running() -> bool:
            return await self.poll() is None

        path = url_path_join(self.server.base_url, "api")
        try:
            await wait_ready(host, port, path, limit=self.ready_timeout, is_running=is_running)
        except ServerDied:
            message = container.death_message(await self._inspect(), self.mem_limit)
            lines = await self._last_log_lines()
            await self._remove_failed()
            raise errors.failure(message, reason="server", log_lines=lines) from None
        except TimeoutError:
            lines = await self._last_log_lines()
            await self._remove_failed()
            raise errors.failure(
                f"The server did not answer within {self.ready_timeout:g} seconds. Try again; if it happens again, "
                "choose another image or tell the operator.",
                reason="timeout",
                log_lines=lines,
            ) from None

    async def _last_log_lines(self) -> list[str]:
        """The end of the container's log, without the token; empty where it cannot be read."""
        try:
            output = await self.docker("logs", self.object_id, tail=LOG_LINES)
        except (APIError, *UNREACHABLE):
            return []
        text = output.decode(errors="replace")
        if self.api_token:
            text = text.replace(self.api_token, "…")
        return list(deque(text.splitlines(), maxlen=LOG_LINES))

    async def _remove_failed(self) -> None:
        """Remove the container of a failed start, now or as soon as the engine does it."""
        if not self.object_id:
            return
        try:
            await self.docker("remove_container", self.object_id, force=True, v=True)
        except (APIError, *UNREACHABLE) as error:
            self.log.warning("The container of %s is not removed yet: %s", self._log_name, error)
            self._remove_later()
        self.object_id = ""

    def _remove_later(self) -> None:
        if self.object_id:
            self.engine.remove_later(self.object_id)
        self.object_id = ""

    def run_post_stop_hook(self) -> Any:
        """See that the server's tokens end with it, before the site's hook runs.

        The hub deletes the token that it remembers, and it remembers none after a restart: in the database there is
        only a hash.
        """
        base_url = url_path_join(self.user.base_url, url_escape_path(self.name), "/")
        database = self.user.db
        tokens = database.query(orm.APIToken).filter_by(
            user_id=self.user.id, client_id="jupyterhub", note=f"Server at {base_url}"
        )
        for token in tokens:
            database.delete(token)
        database.commit()
        return super().run_post_stop_hook()

    def clear_state(self) -> None:
        """Forget the container, and see that it goes: nobody would know of it any more.

        The hub forgets a server also when its container ended by itself, and when `stop` failed.
        """
        super().clear_state()
        self._remove_later()

    async def _inspect(self) -> dict[str, Any] | None:
        """The engine's record of this container; None when it has none.

        Raises
        ------
        docker.errors.APIError, or one of `sciserver_spawner.engine.UNREACHABLE`
            The engine does not know now; the container may well run.
        """
        try:
            record: dict[str, Any] = await self.docker("inspect_container", self.object_id or self.object_name)
        except NotFound:
            return None
        # A copy of a deployment, restored from a backup beside the original, must not take over its containers.
        if record["Config"]["Labels"].get(f"{LABEL}.deployment") != self.deployment_id:
            self.log.warning("Container %s belongs to another deployment", record["Id"][:12])
            # Forgotten here, so that nothing that follows removes it.
            self.object_id = ""
            return None
        return record

    async def get_object(self) -> dict[str, Any] | None:
        """As DockerSpawner's, but an engine in trouble never makes us forget a container."""
        record = await self._inspect()
        self.object_id = record[self.object_id_key] if record else ""
        return record

    async def poll(self) -> int | None:
        """None while the container runs or nobody can know, else its exit code.

        "Unknown" must read as running: at a restart the hub stops every server whose `poll` fails, and the engine
        may only be restarting too.
        """
        if not self.object_id:
            return 0
        try:
            record = await self._inspect()
        except (APIError, *UNREACHABLE) as error:
            # Logged when it changes, not at every poll of every server.
            if not self._engine_lost:
                self.log.warning("Cannot ask the engine about %s: %s", self._log_name, error)
            self._engine_lost = True
            return None
        if self._engine_lost:
            self.log.info("The engine answers again about %s", self._log_name)
        self._engine_lost = False
        if record is None:
            self.log.warning("The container of %s is gone", self._log_name)
            return 1
        state = record["State"]
        # "created" is the moment between creation and start; a paused container runs on when it is resumed.
        if state["Running"] or state["Status"] == "created":
            return None
        self.log.info(
            "The container of %s ended: exit code %s%s",
            self._log_name,
            state["ExitCode"],
            ", out of memory" if state.get("OOMKilled") else "",
        )
        if self.ready:
            # The container goes, and its log with it; a start that fails shows the lines itself.
            for line in await self._last_log_lines():
                self.log.info("%s: %s", self._log_name, line)
        return int(state["ExitCode"])

    async def stop(self, now: bool = False) -> None:
        """Stop and remove the container; files on the user's volumes stay.

        When the engine does not do it now, it is asked again in the background. An exception would not help: the hub
        forgets the server all the same, but would leave its token valid.
        """
        if not self.object_id:
            return
        self.log.info("Stopping container %s of %s", self.object_name, self._log_name)
        try:
            if now:
                await self.docker("remove_container", self.object_id, force=True, v=True)
            else:
                await self.docker("stop", self.object_id, timeout=self.term_timeout)
                # By force: a start that was under way may have got in between.
                await self.docker("remove_container", self.object_id, force=True, v=True)
        except (APIError, *UNREACHABLE) as error:
            # 404: gone; 409: being removed already. Either way it is what we want.
            if not isinstance(error, APIError) or error.status_code not in {404, 409}:
                self.log.warning("The container of %s is not stopped yet: %s", self._log_name, error)
                self._remove_later()
        self.object_id = ""
