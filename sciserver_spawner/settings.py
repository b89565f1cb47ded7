"""What an operator can set, and what we set differently from DockerSpawner."""

from __future__ import annotations

from typing import Any

from dockerspawner import DockerSpawner
from traitlets import Bool, Dict, Float, Int, List, Tuple, Unicode, default

from sciserver_spawner import options
from sciserver_spawner.naming import container_name


class SpawnerSettings(DockerSpawner):
    """Options and defaults of `SciServerSpawner`; its help texts are the reference in the documentation."""

    deployment_id = Unicode(
        "default",
        help="""
        Short name of this deployment. It becomes part of the names and labels of containers, so that two deployments
        can share an engine.
        """,
    ).tag(config=True)

    engine_url = Unicode(
        help="""
        Docker Engine that runs the containers, e.g. `unix:///run/docker.sock`.

        Empty (the default) means what the environment says (`DOCKER_HOST`), else the local socket.
        """,
    ).tag(config=True)

    images: List[Any] = List(
        help="""
        Images that users may choose, the default first; each a dictionary.

        `name` is what a request gives as `image`; `image` is the engine's reference; `title` and `description` are
        shown in the menu; `cmd` is the command that starts its server, where that is not the spawner's `cmd`. For
        example::

            c.SciServerSpawner.images = [
                {
                    "name": "python-astro",
                    "image": "sciserver/python-astro:0123456789ab",
                    "title": "Python for astronomy",
                    "description": "JupyterLab with numpy, pandas, astropy …",
                },
            ]
        """,
    ).tag(config=True)

    volumes_root = Unicode(
        help="""
        Directory on the storage that holds users' volumes, as `<root volume>/<user>/<volume>`. Every node mounts it
        at the same place.
        """,
    ).tag(config=True)

    user_volumes = List(
        Tuple(Unicode(), Unicode()),
        default_value=[("Storage", "persistent"), ("Temporary", "scratch")],
        help="""
        Volumes that each user has: pairs of root volume and name. They are made before the first start and mounted at
        `/home/idies/workspace/<root volume>/<user>/<name>`.
        """,
    ).tag(config=True)

    scidrive = Bool(
        True,
        help="""
        Whether each user's SciDrive is mounted, at `/home/idies/workspace/SciDrive/<user>`. Set it to False where
        SciDrive is kept in an object store.
        """,
    ).tag(config=True)

    mounts_url = Unicode(
        help="""
        Address at which SciDrive's service says which other volumes a user has, and which ones others share with them.
        Empty: only the default volumes are mounted.
        """,
    ).tag(config=True)

    mounts_token = Unicode(
        help="""
        Token of SciDrive's service, with which it is asked.
        """,
    ).tag(config=True)

    mounts_timeout = Float(
        3,
        min=0.1,
        help="""
        Seconds that the service has for its answer. After it a server starts with the default volumes alone.
        """,
    ).tag(config=True)

    data_root = Unicode(
        help="""
        Directory whose subdirectories are data volumes: each is mounted read-only at `/home/idies/workspace/<name>`.
        """,
    ).tag(config=True)

    client_settings = Dict(
        help="""
        Content of `/etc/sciserver/sciscript.json` in every container: where the client libraries find the services.
        """,
    ).tag(config=True)

    pids_limit = Int(
        2048,
        help="""
        Processes and threads that one container may have. Numerical libraries start a thread per core in each kernel;
        a fork bomb ends here.
        """,
    ).tag(config=True)

    shm_size = Unicode(
        "512M",
        help="""
        Size of `/dev/shm` in a container, which counts against `mem_limit`. Docker's 64 MiB is too small for
        multiprocessing with large arrays.
        """,
    ).tag(config=True)

    ready_timeout = Float(
        120,
        help="""
        Seconds that a started container has until its server answers.
        """,
    ).tag(config=True)

    concurrent_boots = Int(
        0,
        help="""
        Containers that boot at the same time on one engine; 0 (the default) means one more than its machine has CPUs.

        Most of a boot is computing. Eight at once on two cores are all slow; a few at a time, the first are ready
        when the last begin, and none is later than it would have been. One more than CPUs, because a part of each
        boot is waiting for the engine.
        """,
    ).tag(config=True)

    boot_slot_timeout = Float(
        15,
        help="""
        Seconds after which a booting container no longer counts for `concurrent_boots`: one that hangs must not hold
        up the others.
        """,
    ).tag(config=True)

    term_timeout = Int(
        10,
        help="""
        Seconds that a server has to end by itself, saving what its kernels hold, before it is killed.
        """,
    ).tag(config=True)

    @default("cmd")
    def _cmd_default(self) -> list[str]:
        # Named here, the engine need not be asked for the image's own command at each start.
        return ["jupyterhub-singleuser"]

    @default("remove")
    def _remove_default(self) -> bool:
        # A kept container would come back with an old token, old limits and an old image (dockerspawner #423).
        return True

    @default("use_internal_ip")
    def _use_internal_ip_default(self) -> bool:
        # No published port: nothing on the machine's other interfaces leads to a container.
        return True

    @default("mem_limit")
    def _mem_limit_default(self) -> str:
        return "2G"

    @default("cpu_limit")
    def _cpu_limit_default(self) -> float:
        return 2.0

    @default("start_timeout")
    def _start_timeout_default(self) -> int:
        # Only a last resort: each phase of a start has a limit of its own, and a pull may take minutes.
        return 1200

    @default("options_form")
    def _options_form_default(self) -> Any:
        def render(spawner: SpawnerSettings) -> str:
            return options.render_form(spawner.menu, str(spawner.user_options.get("image", "")))

        # Without a choice there is no form, and the server starts at once.
        return render if len(self.images) > 1 else ""

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return options.from_form

    @default("allowed_images")
    def _allowed_images_default(self) -> dict[str, str]:
        return {item.name: item.image for item in self.menu}

    @default("object_name")
    def _object_name_default(self) -> str:
        return container_name(self.deployment_id, self.user.name, self.name)

    @property
    def menu(self) -> list[options.MenuItem]:
        """`images` as objects."""
        return [options.MenuItem(**item) for item in self.images]
