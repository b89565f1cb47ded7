"""Parsing of the `sciserver` command and its subcommands."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from docker.errors import DockerException

from casjobs_service.contexts import Contexts
from casjobs_service.demo import loading
from sciserver_cli import contexts, data, doctor, engine_setup, files, processes
from sciserver_cli.contexts import progress
from sciserver_cli.errors import OperatorError
from sciserver_common.deployment import Deployment, DeploymentError
from sciserver_spawner import images
from sciserver_spawner.network import with_network

Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status (0 done, 1 could not be done, 2 wrong usage)."""
    options = _parser().parse_args(arguments)
    as_json = getattr(options, "json", False)
    try:
        result: Result = options.run(options)
    except (OperatorError, DeploymentError, images.ImageError, images.ImageBuildError) as error:
        return _failed(str(error), as_json)
    except DockerException as error:
        return _failed(f"The Docker Engine refused: {error}. `sciserver doctor` looks for the cause.", as_json)
    except KeyboardInterrupt:
        return _failed("Interrupted. Run the same command again to go on.", as_json)
    text = result.pop("text", "")
    status = result.pop("exit_status", 0)
    print(json.dumps(result, indent=2) if as_json else text)
    return int(status)


def _failed(message: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message}, indent=2))
    else:
        print(f"sciserver: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    # Accepted before and after the subcommand: people write both.
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="directory of the deployment (default: $SCISERVER_HOME, else ./var of the checkout)",
    )
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for scripts")
    parser = argparse.ArgumentParser(prog="sciserver", description="Run a SciServer deployment.", parents=[common])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], Result], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=run)
        return command

    command = add("up", up, "Set up what is missing and start the platform.")
    command.add_argument("--port", type=int, help="TCP port of the public address (default 8000)")
    command.add_argument(
        "--url", help="public origin, e.g. https://sciserver.example.org (default: this machine only)"
    )
    command.add_argument(
        "--bind",
        metavar="ADDRESS",
        help="IP address to listen on (default: this machine only, except for a public http:// origin)",
    )
    command.add_argument("--foreground", action="store_true", help="stay in the foreground (for systemd)")
    add("down", down, "Stop the platform; users' containers and data stay.")
    add("status", status, "Show the address and the state of each process.")
    add("doctor", run_doctor, "Look for what is wrong with this deployment and say how to mend it.")
    command = add("logs", logs, "Show the logs.")
    command.add_argument("process", nargs="?", choices=processes.PROCESSES, help="of this process only")
    command.add_argument("-n", "--lines", type=int, default=30, help="how many lines (default 30)")
    command.add_argument("-f", "--follow", action="store_true", help="go on as lines are written")

    user = commands.add_parser("user", help="Accounts of the embedded portal.").add_subparsers(required=True)
    for name, run, text in (
        ("add", user_add, "Make an account."),
        ("password", user_password, "Set the password of an account."),
    ):
        command = user.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=run)
        command.add_argument("name", metavar="NAME", help="user name")
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        if name == "add":
            command.add_argument("--admin", action="store_true", help="may manage users and the hub")
            command.add_argument("--email", help="address for the portal's mails")
    for name, locked, text in (
        ("lock", True, "End all access of a person: nobody signs in, tokens are void, servers stop, files stay."),
        ("unlock", False, "Let a person sign in again."),
    ):
        command = user.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=user_lock, locked=locked)
        command.add_argument("name", metavar="NAME", help="user name")

    contexts.add_parser(commands, common)
    data.add_parser(commands, common)
    files.add_parser(commands, common)

    image = commands.add_parser("image", help="Images of the notebook servers.").add_subparsers(required=True)
    command = image.add_parser(
        "build", help="Build an image and those it is based on.", description="Build an image.", parents=[common]
    )
    command.set_defaults(run=image_build)
    command.add_argument("name", metavar="NAME", nargs="+", help="name of a directory in images/")
    return parser


def _deployment(options: argparse.Namespace) -> Deployment:
    deployment = Deployment.load(getattr(options, "home", None))
    # The hub's configuration file, which accounts are read with, finds the deployment by this.
    os.environ["SCISERVER_HOME"] = str(deployment.home)
    return deployment


def _made(options: argparse.Namespace) -> Deployment:
    """The deployment, which `sciserver up` must have made before."""
    deployment = _deployment(options)
    if not deployment.internal_host:
        raise OperatorError(f"There is no deployment in {deployment.home} yet: run `sciserver up` first.")
    return deployment


def prepare(deployment: Deployment) -> Deployment:
    """Make what a deployment needs before its processes start: engine, images, network, directories."""
    client = engine_setup.ensure_engine(progress)
    for image in images.catalogue():
        engine_setup.ensure_image(client, image, progress)
    return with_network(deployment, client.api)


def up(options: argparse.Namespace) -> Result:
    """`sciserver up`."""
    deployment = _deployment(options)
    if options.port:
        was_local = deployment.is_local
        deployment = deployment.replace(port=options.port)
        if was_local:
            deployment = deployment.replace(public_url=f"http://127.0.0.1:{options.port}")
    if options.url:
        deployment = deployment.replace(public_url=options.url.rstrip("/"))
    if options.bind is not None:
        deployment = deployment.replace(bind=options.bind)
    _check_port_unless_ours(deployment, options)
    deployment = prepare(deployment)
    # Also makes the secrets that the configuration names, which the proxy reads from their files.
    config = processes.check_config()
    if config.CasJobs.get("demo_data", True):
        loading.ensure_demo(Contexts.of(deployment), progress)
    progress("Starting portal, proxy, hub, CasJobs and SciDrive")
    supervisor = processes.Supervisor(deployment)
    supervisor.start(foreground=options.foreground)
    processes.wait_answers(deployment, supervisor)
    text = (
        f"\nSciServer runs at  {deployment.public_url}\n"
        f"Logs:              {deployment.logs_dir}   (`sciserver logs`)\n"
        f"Data and users:    {deployment.home}\n"
    )
    if _lacks_admin(deployment):
        text += (
            "\nThere is no administrator yet. Make the first account with\n"
            f"    {sys.argv[0]} user add NAME --admin{_home_argument(options)}\n"
        )
    return {"url": deployment.public_url, "home": str(deployment.home), "text": text}


def _check_port_unless_ours(deployment: Deployment, options: argparse.Namespace) -> None:
    before = _deployment(options)
    ours = processes.Supervisor(before).processes()["proxy"]["pid"] is not None
    if not (ours and (before.bind_address, before.port) == (deployment.bind_address, deployment.port)):
        processes.check_port(deployment)


def _home_argument(options: argparse.Namespace) -> str:
    home = getattr(options, "home", None)
    return f" --home {home}" if home else ""


def down(options: argparse.Namespace) -> Result:
    """`sciserver down`."""
    deployment = _deployment(options)
    processes.Supervisor(deployment).stop()
    return {
        "home": str(deployment.home),
        "text": "Stopped. Users' containers run on and are found again by `sciserver up`.",
    }


def status(options: argparse.Namespace) -> Result:
    """`sciserver status`."""
    deployment = _deployment(options)
    supervisor = processes.Supervisor(deployment)
    found = supervisor.processes()
    lines = [f"{deployment.public_url}   (home: {deployment.home})"]
    for name, info in found.items():
        since = f", pid {info['pid']}, for {_duration(time.time() - info['since'])}" if info["pid"] else ""
        lines.append(f"  {name:<9}{info['state']}{since}")
    if any(info["state"] == "unsupervised" for info in found.values()):
        lines.append("The supervisor was killed: nothing restarts a process that dies now. Run `sciserver up`.")
    running = all(info["state"] == "running" for info in found.values())
    return {
        "url": deployment.public_url,
        "home": str(deployment.home),
        "running": running,
        "processes": found,
        "text": "\n".join(lines),
        "exit_status": 0 if running else 3,
    }


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def run_doctor(options: argparse.Namespace) -> Result:
    """`sciserver doctor`."""
    checks = doctor.examine(_deployment(options))
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}")
        if not check.ok:
            lines.append(f"      {check.remedy}")
    healthy = all(check.ok for check in checks)
    return {
        "healthy": healthy,
        "checks": [vars(check) for check in checks],
        "text": "\n".join(lines),
        "exit_status": 0 if healthy else 1,
    }


def logs(options: argparse.Namespace) -> Result:
    """`sciserver logs`."""
    deployment = _deployment(options)
    names = [options.process] if options.process else list(processes.PROCESSES)
    if options.follow:
        files = [str(processes.log_file(deployment, name)) for name in names]
        subprocess.run(["tail", "-F", "-n", str(options.lines), *files])
        return {"text": ""}
    tails = {name: processes.log_tail(deployment, name, options.lines) for name in names}
    text = "\n\n".join(f"==> {processes.log_file(deployment, name)} <==\n{tail}" for name, tail in tails.items())
    return {"logs": tails, "text": text}


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise OperatorError("There is no terminal to ask for the password: use --password-stdin.")
    first = getpass.getpass(f"Password for {options.name}: ")
    if first != getpass.getpass("Once more: "):
        raise OperatorError("The two passwords differ. Nothing was changed.")
    return first


@contextmanager
def _accounts() -> Iterator[Any]:
    """The portal's module of accounts, imported late: it brings the whole identity provider."""
    # Its migrations and warnings belong to the portal's log; here they would bury the answer.
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    from sciserver_auth.portal import accounts

    try:
        yield accounts
    except accounts.AccountError as error:
        raise OperatorError(str(error)) from error


def _lacks_admin(deployment: Deployment) -> bool:
    with _accounts() as accounts:
        try:
            return not accounts.has_admin(deployment, config_file=str(processes.CONFIG_FILE))
        except accounts.AccountsElsewhere:
            # Who administers is then a matter of the configuration.
            return False


def user_add(options: argparse.Namespace) -> Result:
    """`sciserver user add`."""
    deployment = _made(options)
    password = _password(options)
    with _accounts() as accounts:
        accounts.add_user(
            deployment,
            options.name,
            password,
            admin=options.admin,
            email=options.email,
            config_file=str(processes.CONFIG_FILE),
        )
    kind = "administrator" if options.admin else "account"
    return {"name": options.name, "admin": options.admin, "text": f"Made the {kind} {options.name}."}


def user_password(options: argparse.Namespace) -> Result:
    """`sciserver user password`."""
    deployment = _made(options)
    password = _password(options)
    with _accounts() as accounts:
        accounts.set_password(deployment, options.name, password, config_file=str(processes.CONFIG_FILE))
    return {"name": options.name, "text": f"The password of {options.name} was changed."}


def user_lock(options: argparse.Namespace) -> Result:
    """`sciserver user lock` and `unlock`."""
    deployment = _made(options)
    with _accounts() as accounts:
        accounts.set_locked(deployment, options.name, options.locked, config_file=str(processes.CONFIG_FILE))
    if not options.locked:
        text = f"{options.name} can sign in again."
    elif processes.Supervisor(deployment).is_running():
        text = f"{options.name} is locked. Sessions, tokens and servers end within seconds."
    else:
        text = f"{options.name} is locked. The platform is down: tokens end, and servers stop, when it is up again."
    return {"name": options.name, "locked": options.locked, "text": text}


def image_build(options: argparse.Namespace) -> Result:
    """`sciserver image build`."""
    wanted = [images.find(name) for name in options.name]
    client = engine_setup.ensure_engine(progress)
    for image in wanted:
        engine_setup.ensure_image(client, image, progress)
    tags = {image.name: image.tag for image in wanted}
    return {"images": tags, "text": "\n".join(f"{name}: {tag}" for name, tag in tags.items())}
